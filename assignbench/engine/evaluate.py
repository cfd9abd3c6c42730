"""The test split through a trained detector: detections, candidates and objects as record tables."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from assignbench.assigners.mlc import MutualLabeling
from assignbench.boxes import pairwise_iou
from assignbench.contract import Objects, Predictions
from assignbench.data.base import DetectionData
from assignbench.data.stream import Batch, evaluation_batches
from assignbench.detectors import Detector
from assignbench.engine.postprocess import Candidates, candidates_of, ranking_scores, suppress, vote
from assignbench.engine.telemetry import seen_by
from assignbench.measure.coco import rank_correlation
from assignbench.measure.matching import crowdedness, overlaps_of
from assignbench.methods import Method
from assignbench.priors import Priors

CANDIDATE_IOU = 0.1  # predictions below this IoU with an object are not its candidates


@dataclass(frozen=True)
class EvaluationSettings:
    """`floor` on class scores, `pre_nms` boxes per image before and `max_detections` after NMS."""

    floor: float = 0.01
    pre_nms: int = 1000
    max_detections: int = 100
    batch: int = 8


def image_table(data: DetectionData) -> pd.DataFrame:
    """image_id, name, width, height of every image, with or without objects."""
    rows = [(i.id, i.name, i.width, i.height) for i in data.images]
    return pd.DataFrame(rows, columns=["image_id", "name", "width", "height"])


def object_table(data: DetectionData) -> pd.DataFrame:
    """One row per object: box (original px), class, sizes, crowdedness, the factors that the data set knows."""
    parts = []
    for image in data.images:
        boxes = image.boxes.astype(np.float64)
        crowded = crowdedness(np.zeros(len(boxes), np.int64), boxes)
        width, height = image.boxes[:, 2] - image.boxes[:, 0], image.boxes[:, 3] - image.boxes[:, 1]
        table = {
            "image_id": np.full(len(boxes), image.id),
            "object_id": image.ids,
            "label": image.labels,
            **{n: image.boxes[:, i] for i, n in enumerate(("x1", "y1", "x2", "y2"))},
            "area": image.areas,
            "aspect_ratio": np.maximum(width / height, height / width),
            "crowdedness": crowded,
            "image_crowdedness": np.full(len(boxes), crowded.max(initial=0.0)),
            "objects_in_image": np.full(len(boxes), len(boxes)),
            "crowd": image.crowd,
            "difficult": image.difficult,
            **image.attributes,
        }
        parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True)


def predict(
    detector: Detector, method: Method, data: DetectionData, size: int, settings: EvaluationSettings
) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """Tables detections, pre_nms and candidates of a split (boxes in original px), and seconds per image."""
    device = detector.get_buffer("mean").device
    detector.eval()
    tables: dict[str, list[pd.DataFrame]] = {"detections": [], "pre_nms": [], "candidates": []}
    seconds = {"forward": 0.0, "postprocess": 0.0}
    with torch.no_grad():
        for batch in evaluation_batches(data, list(range(len(data))), size, settings.batch):
            start = time.perf_counter()
            batch = replace(batch, objects=seen_by(detector, batch.objects))
            priors, predictions = detector(batch.images.to(device))
            predictions = predictions.to("cpu")
            middle = time.perf_counter()
            before = candidates_of(predictions, method.ranking, (size, size), settings.floor, settings.pre_nms)
            after = [suppress(c, method.nms, settings.max_detections, method.nms_kind) for c in before]
            if method.voting > 0:
                after = [vote(a, b, method.voting) for a, b in zip(after, before, strict=True)]
            seconds["forward"] += middle - start
            seconds["postprocess"] += time.perf_counter() - middle
            tables["pre_nms"] += [_boxes(c, batch, i) for i, c in enumerate(before)]
            tables["detections"] += [_boxes(c, batch, i) for i, c in enumerate(after)]
            tables["candidates"].append(_candidates(predictions, method.ranking, batch, priors.to("cpu")))
    cost = {f"{k}_ms_per_image": 1e3 * v / max(1, len(data)) for k, v in seconds.items()}
    return {k: pd.concat(v, ignore_index=True) for k, v in tables.items()}, cost


def _boxes(found: Candidates, batch: Batch, place: int) -> pd.DataFrame:
    scale = batch.scale[place].repeat(2)
    boxes = (found.boxes * scale).numpy()
    return pd.DataFrame(
        {
            "image_id": np.full(len(boxes), batch.image_ids[place]),
            "label": found.labels.numpy(),
            "score": found.scores.numpy(),
            "cls_score": found.cls_scores.numpy(),
            "quality_score": found.quality_scores.numpy(),
            "prior": found.priors.numpy(),
            **{n: boxes[:, i] for i, n in enumerate(("x1", "y1", "x2", "y2"))},
        }
    )


def _candidates(predictions: Predictions, ranking: str, batch: Batch, priors: Priors) -> pd.DataFrame:
    """Every prediction with IoU >= CANDIDATE_IOU to an object, whatever its score, and every one of its set J_k.

    J_k are MLC's candidates (column `in_jk`): for anchors those that RetinaNet's rule gives or would ignore, for points
    those inside the object.
    """
    objects: Objects = batch.objects
    if not objects.labels.shape[1]:
        objects = objects.with_room()
    overlap = pairwise_iou(objects.boxes, predictions.boxes) * objects.valid.unsqueeze(-1)
    owner, _, _ = MutualLabeling("retina" if priors.kind == "anchor" else "fcos").match(priors, objects)
    in_jk = owner.unsqueeze(1) == torch.arange(objects.labels.shape[1])[None, :, None]
    b, g, a = torch.nonzero((overlap >= CANDIDATE_IOU) | in_jk, as_tuple=True)
    label = objects.labels[b, g]
    scores, cls, quality = ranking_scores(predictions, ranking)
    level = torch.bucketize(a, torch.tensor(priors.level_starts()), right=True) - 1

    def column(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return values[b, a, label].numpy()

    return pd.DataFrame(
        {
            "image_id": np.asarray(batch.image_ids)[b.numpy()],
            "object_id": (batch.object_ids[b, g] if batch.object_ids.shape[1] else label).numpy(),
            "prior": a.numpy(),
            "level": level.numpy().astype(np.int8),
            "in_jk": in_jk[b, g, a].numpy(),
            "cls_score": column(cls),
            "quality_score": column(quality),
            "score": column(scores),
            "iou": overlap[b, g, a].numpy(),
        }
    )


def describe_objects(objects: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The object table with candidates (J_k) counted, their rank correlation, and the best IoU before and after NMS."""
    candidates = tables["candidates"]
    candidates = candidates[candidates.in_jk]
    grouped = candidates.groupby("object_id")
    objects = objects.merge(grouped.size().rename("num_candidates").reset_index(), how="left", on="object_id")
    objects["num_candidates"] = objects["num_candidates"].fillna(0).astype(int)
    objects = objects.merge(rank_correlation(candidates), how="left", on="object_id")
    objects["best_iou_before"] = _best_iou(objects, tables["pre_nms"])
    objects["best_iou_after"] = _best_iou(objects, tables["detections"])
    return objects


def _best_iou(objects: pd.DataFrame, boxes: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Largest IoU of each object with a box of its class in its image (0 without one)."""
    images = pd.DataFrame({"image_id": objects.image_id.unique()})
    classes = 1 + int(np.concatenate([objects.label, boxes.label, [0]]).max())
    pairs = overlaps_of(images, objects.assign(crowd=False), boxes, classes, least=1e-9)
    best = np.zeros(len(objects))
    np.maximum.at(best, pairs.pair_object, pairs.pair_iou)
    return best
