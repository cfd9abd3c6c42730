"""The test split through a trained detector: detections, candidates and objects as record tables.

The tables are written piece by piece: of a split only its objects and detections are ever held whole.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.config.data import DataSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.data.base import DetectionData
from assignbench.detectors import Detector
from assignbench.engine.candidates import candidate_tables
from assignbench.engine.detect import Detected, View, detect, views_of
from assignbench.engine.staging import readers
from assignbench.measure.correlation import rank_correlation
from assignbench.measure.matching import overlaps_of
from assignbench.measure.objects import described
from assignbench.records import in_pieces
from assignbench.records.schema import CANDIDATES, DETECTIONS, PRE_NMS

Tables = dict[str, pd.DataFrame]


def image_table(data: DetectionData) -> pd.DataFrame:
    """image_id, name, width, height of every image, with or without objects."""
    rows = [(i.id, i.name, i.width, i.height) for i in data.images]
    return pd.DataFrame(rows, columns=["image_id", "name", "width", "height"])


def object_table(data: DetectionData) -> pd.DataFrame:
    """One row per object: box (original px), class, sizes, crowdedness, the factors that the data set knows."""
    parts = []
    for image in data.images:
        table = {
            "image_id": np.full(len(image.boxes), image.id),
            "object_id": image.ids,
            "label": image.labels,
            **{n: image.boxes[:, i] for i, n in enumerate(("x1", "y1", "x2", "y2"))},
            "area": image.areas,
            "crowd": image.crowd,
            "difficult": image.difficult,
            **image.attributes,
        }
        parts.append(pd.DataFrame(table))
    return described(pd.concat(parts, ignore_index=True))


@dataclass
class Predicted:
    """What is kept of a split's predictions: the detections table, what was found of each object, and the cost.

    `cost` is per image in milliseconds: those that passed (on a GPU: on the device), and those of the processor.
    """

    detections: pd.DataFrame
    found: pd.DataFrame
    cost: dict[str, float]


def predict(
    folder: Path,
    detector: Detector,
    method: MethodConfig,
    data: DetectionData,
    spec: DataSpec,
    evaluation: Evaluation,
    objects: pd.DataFrame,
    workers: int = 0,
) -> Predicted:
    """Writes detections, pre_nms and candidates of a split (boxes in original px) into a cell's folder.

    `objects` is the object table with the labels that the detector is judged by. `workers` threads read ahead (0: on a
    GPU some, else none).
    """
    detector.eval()
    kept: dict[str, list[pd.DataFrame]] = {"detections": [], "found": []}
    cost = _Cost(len(data))
    with ExitStack() as files:
        pieces = {s.name: files.enter_context(in_pieces(folder / s.file, s)) for s in (DETECTIONS, PRE_NMS, CANDIDATES)}
        reading = readers(workers, detector.device)
        for views in views_of(data, spec, evaluation, reading, detector.device):
            got = detect(detector, method, views, evaluation)
            tables = tables_of(got, views[0], method, evaluation, detector)
            cost.add(got, len(views))
            del got  # else its predictions are held while the next batch's are worked out
            counts = tables.pop("counts")
            for name, table in tables.items():
                pieces[name].add(table)
            mine = objects[objects.image_id.isin(views[0].batch.image_ids)]
            kept["found"].append(found_of(mine, {**tables, "counts": counts}))
            kept["detections"].append(tables["detections"])
    whole = {name: pd.concat(parts, ignore_index=True) for name, parts in kept.items()}
    return Predicted(whole["detections"], whole["found"], cost.per_image)


def tables_of(got: Detected, first: View, method: MethodConfig, evaluation: Evaluation, detector: Detector) -> Tables:
    """Tables detections, pre_nms and candidates of a batch, and `counts`: what candidates leaves out, per object."""
    batch = first.batch
    objects = detector.taught(batch.placed or batch.objects).to(detector.device)
    most = evaluation.candidates
    candidates, counts = candidate_tables(got.predictions, method, batch, objects, got.priors, most)
    return {
        "detections": got.after.rows(batch.image_ids, "score"),
        "pre_nms": got.before.rows(batch.image_ids, "ranking_score"),
        "candidates": candidates,
        "counts": counts,
    }


@dataclass
class _Cost:
    """Milliseconds per image of the network and of what comes after it."""

    images: int
    per_image: dict[str, float] = field(
        default_factory=lambda: {
            f"{part}_{kind}_per_image": 0.0 for part in ("forward", "postprocess") for kind in ("ms", "cpu_ms")
        }
    )

    def add(self, got: Detected, views: int) -> None:
        """Counts a batch in: laps of its views, network and selection in turn, and the lap of NMS and voting."""
        for number in range(2 * views + 1):
            part = "postprocess" if number % 2 or number == 2 * views else "forward"
            lap = got.watch.lap(number)
            self.per_image[f"{part}_ms_per_image"] += lap.ms / self.images
            self.per_image[f"{part}_cpu_ms_per_image"] += lap.cpu_ms / self.images


def found_of(objects: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """What a batch's tables say of its objects: candidates (J_k) counted, the rank correlations of their IoU with the
    ranking score and with the class score alone, what was left out, and the best IoU before and after NMS.
    """
    candidates = tables["candidates"]
    candidates = candidates[candidates.in_jk]
    told = objects[["object_id"]].merge(tables["counts"], how="left", on="object_id")
    sizes = candidates.groupby("object_id").size().rename("num_candidates").reset_index()
    told = told.merge(sizes, how="left", on="object_id")
    numbers = ["num_candidates", "left_out", "close_left_out"]  # crowd regions have no candidates
    told[numbers] = told[numbers].fillna(0).astype(np.int64)
    for column, score in (("spearman", "ranking_score"), ("spearman_cls", "cls_score")):
        found = rank_correlation(candidates, score).rename(columns={"spearman": column})
        told = told.merge(found, how="left", on="object_id")
    told["best_iou_before"] = _best_iou(objects, tables["pre_nms"])
    told["best_iou_after"] = _best_iou(objects, tables["detections"])
    return told


def _best_iou(objects: pd.DataFrame, boxes: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Largest IoU of each object with a box of its class in its image (0 without one)."""
    images = pd.DataFrame({"image_id": objects.image_id.unique()})
    classes = 1 + int(np.concatenate([objects.label, boxes.label, [0]]).max())
    found = boxes.rename(columns={"ranking_score": "score"})
    pairs = overlaps_of(images, objects.assign(crowd=False), found, classes, least=1e-9)
    best = np.zeros(len(objects))
    np.maximum.at(best, pairs.pair_object, pairs.pair_iou)
    return best
