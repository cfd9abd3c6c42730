"""The test split through a trained detector: detections, candidates and objects as record tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from assignbench.assigners.candidates import divergence_candidates
from assignbench.boxes import pairwise_iou
from assignbench.config.data import DataSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.contract import Predictions
from assignbench.data.base import DetectionData
from assignbench.data.stream import Batch, evaluation_batches
from assignbench.detectors import Detector
from assignbench.engine.scoring import boxes_before_nms, ranking_scores
from assignbench.engine.stopwatch import Stopwatch
from assignbench.measure.correlation import rank_correlation
from assignbench.measure.matching import overlaps_of
from assignbench.measure.nms import Boxes, thin_out, vote
from assignbench.measure.objects import described
from assignbench.priors import Priors

CANDIDATE_IOU = 0.1  # predictions below this IoU with an object are not recorded as its candidates
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


def predict(
    detector: Detector, method: MethodConfig, data: DetectionData, spec: DataSpec, evaluation: Evaluation
) -> tuple[Tables, dict[str, float]]:
    """Tables detections, pre_nms and candidates of a split (boxes in original px), and the cost per image.

    The cost is in milliseconds, those that passed and those of the processor. NMS is always done on the processor.
    """
    device = detector.device
    detector.eval()
    tables: dict[str, list[pd.DataFrame]] = {"detections": [], "pre_nms": [], "candidates": []}
    parts = ("forward", "postprocess")
    cost = {f"{part}_{kind}_per_image": 0.0 for part in parts for kind in ("ms", "cpu_ms")}
    with torch.no_grad():
        for batch in evaluation_batches(data, range(len(data)), spec, evaluation.batch):
            watch = Stopwatch(torch.device("cpu"))  # fetching the predictions waits for the device
            priors, predictions = detector(batch.images.to(device), batch.extents)
            priors, predictions = priors.to("cpu"), predictions.to("cpu")
            watch.mark()
            before = boxes_before_nms(predictions, priors, method, evaluation, batch.sizes, batch.scale)
            after = [detections_of(boxes, method, evaluation.max_detections) for boxes in before]
            watch.mark()
            for number, part in enumerate(parts):
                lap = watch.lap(number)
                cost[f"{part}_ms_per_image"] += lap.ms / len(data)
                cost[f"{part}_cpu_ms_per_image"] += lap.cpu_ms / len(data)
            tables["pre_nms"].append(_box_rows(before, batch, "ranking_score"))
            tables["detections"].append(_box_rows(after, batch, "score"))
            judged = replace(batch, objects=detector.taught(batch.objects))
            tables["candidates"].append(_candidate_rows(predictions, method, judged, priors))
    return {k: pd.concat(v, ignore_index=True) for k, v in tables.items()}, cost


def detections_of(before: Boxes, method: MethodConfig, limit: int) -> Boxes:
    """What the method's NMS, and its voting where it has one, make of the boxes of one image."""
    kept = thin_out(before, method.nms, limit)
    return kept if method.voting is None else vote(kept, before, method.voting)


def _box_rows(found: Sequence[Boxes], batch: Batch, score: str) -> pd.DataFrame:
    """The boxes of a batch's images as a table whose column `score` holds their scores."""

    def column(name: str) -> npt.NDArray[np.generic]:
        return np.concatenate([getattr(boxes, name) for boxes in found])

    corners = column("boxes")
    return pd.DataFrame(
        {
            "image_id": np.repeat(np.asarray(batch.image_ids), [len(boxes) for boxes in found]),
            "label": column("labels"),
            score: column("scores"),
            "cls_score": column("cls_scores"),
            "quality_score": column("quality_scores"),
            "prior": column("priors"),
            **{n: corners[:, i] for i, n in enumerate(("x1", "y1", "x2", "y2"))},
        }
    )


def _candidate_rows(predictions: Predictions, method: MethodConfig, batch: Batch, priors: Priors) -> pd.DataFrame:
    """Every prediction with IoU >= CANDIDATE_IOU to an object, whatever its score, and every one of its set J_k.

    `in_jk` marks the members of J_k, which depend on priors and objects alone (`divergence_candidates`).
    """
    objects = batch.objects.with_room()
    overlap = pairwise_iou(objects.boxes, predictions.boxes) * objects.valid.unsqueeze(-1)
    owner = divergence_candidates(priors, objects)
    in_jk = owner.unsqueeze(1) == torch.arange(objects.labels.shape[1])[None, :, None]
    b, g, a = torch.nonzero((overlap >= CANDIDATE_IOU) | in_jk, as_tuple=True)
    label = objects.labels[b, g]
    ranking, cls, quality = ranking_scores(predictions, method.ranking)

    def column(values: Tensor) -> npt.NDArray[np.float32]:
        return np.asarray(values[b, a, label].numpy(), np.float32)

    return pd.DataFrame(
        {
            "image_id": np.asarray(batch.image_ids)[b.numpy()],
            "object_id": (batch.object_ids[b, g] if batch.object_ids.shape[1] else label).numpy(),
            "prior": a.numpy(),
            "level": priors.levels()[a].numpy().astype(np.int8),
            "in_jk": in_jk[b, g, a].numpy(),
            "cls_score": column(cls),
            "quality_score": column(quality),
            "ranking_score": column(ranking),
            "iou": overlap[b, g, a].numpy(),
        }
    )


def describe_objects(objects: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The object table with candidates (J_k) counted, the rank correlations of their IoU with the ranking score and
    with the class score alone, and the best IoU before and after NMS.
    """
    candidates = tables["candidates"]
    candidates = candidates[candidates.in_jk]
    sizes = candidates.groupby("object_id").size().rename("num_candidates").reset_index()
    objects = objects.merge(sizes, how="left", on="object_id")
    objects["num_candidates"] = objects["num_candidates"].fillna(0).astype(int)
    for column, score in (("spearman", "ranking_score"), ("spearman_cls", "cls_score")):
        found = rank_correlation(candidates, score).rename(columns={"spearman": column})
        objects = objects.merge(found, how="left", on="object_id")
    objects["best_iou_before"] = _best_iou(objects, tables["pre_nms"])
    objects["best_iou_after"] = _best_iou(objects, tables["detections"])
    return objects


def _best_iou(objects: pd.DataFrame, boxes: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Largest IoU of each object with a box of its class in its image (0 without one)."""
    images = pd.DataFrame({"image_id": objects.image_id.unique()})
    classes = 1 + int(np.concatenate([objects.label, boxes.label, [0]]).max())
    found = boxes.rename(columns={"ranking_score": "score"})
    pairs = overlaps_of(images, objects.assign(crowd=False), found, classes, least=1e-9)
    best = np.zeros(len(objects))
    np.maximum.at(best, pairs.pair_object, pairs.pair_iou)
    return best
