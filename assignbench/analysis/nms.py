"""What NMS loses (LTM): recall after over recall before, and the AP that a perfectly ranked NMS would reach."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torchvision.ops import batched_nms, box_iou

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.statistics import over_seeds
from assignbench.measure.matching import BOX, Overlaps, average_precision, match, mean_over_classes, overlaps_of

THRESHOLDS: tuple[float, ...] = tuple(np.arange(0.5, 0.91, 0.05).round(2).tolist())
UNLIMITED = 10**9
Floats = npt.NDArray[np.float64]


def recalls(overlaps: Overlaps, thresholds: tuple[float, ...] = THRESHOLDS) -> dict[str, Floats]:
    """Recall [T] of all counted objects in both readings.

    coverage: an object counts if any box of its class reaches the IoU; one_to_one: a box serves one object, greedily
    by score (COCO's matching). NaN without an object.
    """
    counted = ~overlaps.left_out
    total = max(int(counted.sum()), 1) if counted.any() else np.nan
    best = np.zeros(len(counted))
    np.maximum.at(best, overlaps.pair_object, overlaps.pair_iou)
    coverage = (best[counted, None] >= np.asarray(thresholds)).sum(axis=0) / total
    reached = match(overlaps, thresholds=thresholds, max_detections=UNLIMITED).reached()
    return {"coverage": coverage, "one_to_one": reached[counted].sum(axis=0) / total}


def nms_recall(before: Overlaps, after: Overlaps, thresholds: tuple[float, ...] = THRESHOLDS) -> dict[str, Floats]:
    """NR_tau [T] in both readings; NaN where nothing is recalled before NMS."""
    first, last = recalls(before, thresholds), recalls(after, thresholds)
    blank = np.full(len(thresholds), np.nan)
    return {k: np.divide(last[k], first[k], out=blank.copy(), where=first[k] > 0) for k in first}


def suppress(boxes: pd.DataFrame, iou: float, rank_by: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.int64]:
    """Rows that a per-class NMS keeps, image by image in falling rank (by default the score; lower row on ties)."""
    score = boxes.score.to_numpy(np.float64) if rank_by is None else rank_by
    return _suppressed(boxes, iou, score)[0]


def _suppressed(
    boxes: pd.DataFrame, iou: float, rank_by: npt.NDArray[np.float64], *, scored: bool = False
) -> tuple[npt.NDArray[np.int64], Floats]:
    """The kept rows and, if `scored`, the best score among each kept box and those that it suppressed first."""
    image, label = boxes.image_id.to_numpy(), torch.tensor(boxes.label.to_numpy(np.int64))
    order = np.lexsort((-rank_by, image))
    bounds = np.flatnonzero(np.r_[True, np.diff(image[order]) != 0, True]) if len(order) else np.zeros(1, int)
    corners = torch.tensor(boxes[BOX].to_numpy(np.float64))
    score = torch.tensor(boxes.score.to_numpy(np.float64))
    kept, best = [np.zeros(0, np.int64)], [np.zeros(0)]
    for begin, end in pairwise(bounds):
        rows = torch.from_numpy(order[begin:end])
        # Ranks instead of scores: equal scores keep the order of the rows.
        rank = torch.arange(len(rows), 0, -1, dtype=torch.float64)
        keep = batched_nms(corners[rows], rank, label[rows], iou)
        kept.append(rows[keep].numpy())
        if scored:
            best.append(_cluster_scores(corners[rows], label[rows], score[rows], keep, iou).numpy())
    return np.concatenate(kept), np.concatenate(best)


def _cluster_scores(
    corners: torch.Tensor, label: torch.Tensor, score: torch.Tensor, keep: torch.Tensor, iou: float
) -> torch.Tensor:
    """Best score of every kept box's cluster: a box belongs to the first kept one of its class that covers it."""
    covers = (box_iou(corners[keep], corners) > iou) & (label[keep].unsqueeze(1) == label.unsqueeze(0))
    covers[torch.arange(len(keep)), keep] = True
    owner = covers.byte().argmax(dim=0)
    owner[keep] = torch.arange(len(keep))
    owned = covers.any(dim=0)
    return score[keep].scatter_reduce(0, owner[owned], score[owned], "amax")


def oracle_nms(cell: CellData, boxes: pd.DataFrame, before: Overlaps) -> pd.DataFrame:
    """The boxes that an NMS ranked by true IoU would keep, each with the best score of what it suppressed.

    Boxes that overlap no object keep their places behind all others, by score.
    """
    truth = np.zeros(len(boxes))
    np.maximum.at(truth, before.row[before.pair_detection], before.pair_iou)
    rank = np.where(truth > 0, 1 + truth, 0.5 * boxes.score.to_numpy(np.float64))
    kept, best = _suppressed(boxes, float(cell.config["method"]["nms"]), rank, scored=True)
    return boxes.iloc[kept].assign(score=best)


@analysis(
    "nms",
    title="What NMS loses",
    question="Do the scores rank the boxes of an object as their IoU would, or does NMS throw the good ones away?",
    definition=(
        "NR_τ: recall after NMS over recall before it at IoU τ, NR: mean over τ = 0.50:0.05:0.90, where anything was "
        "recalled before. coverage: an object counts if any box of its class reaches τ; one-to-one: a box serves one "
        "object, greedily by score. Before NMS: the boxes above the study's score floor, at most `pre_nms` per image. "
        "Oracle NMS: the same boxes with NMS ranked by the true IoU with an object of their class, a kept box taking "
        "the best score of what it suppressed; misranking: its AP minus the detector's own."
    ),
    paper="LTM, section 4.2 and Table 4",
)
def nms(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """NR and NR_tau in both readings, and AP with the oracle NMS; nothing for imports without pre-NMS boxes."""
    rows, oracle = [], []
    for cell in study.data():
        recall = cell_recall(cell)
        if recall is None:
            continue
        for reading, values in recall.items():
            row = {**cell.keys, "reading": reading.replace("_", "-"), "NR": mean_recall(values)}
            rows.append({**row, **{f"NR{round(100 * t)}": v for t, v in zip(THRESHOLDS, values, strict=True)}})
        ideal = cell.once("oracle_nms", partial(_oracle_precision, cell))
        own = float(mean_over_classes(cell.precision()))
        oracle.append({**cell.keys, "AP": own, "AP_oracle": ideal, "misranking": ideal - own})
    if not rows:
        return {}
    return {
        "NMS recall": over_seeds(pd.DataFrame(rows)),
        "AP with NMS ranked by the true IoU": over_seeds(pd.DataFrame(oracle)),
    }


def _oracle_precision(cell: CellData) -> float:
    """AP with the oracle NMS."""
    boxes = cell.pre_nms()
    if boxes is None:
        return float("nan")
    best = oracle_nms(cell, boxes, overlaps_of(cell.images, cell.objects, boxes, len(cell.classes)))
    found = average_precision(match(overlaps_of(cell.images, cell.objects, best, len(cell.classes))))[0]
    return float(mean_over_classes(found))


def cell_recall(cell: CellData) -> dict[str, Floats] | None:
    """NR_tau [T] of a cell in both readings; None without boxes from before NMS."""

    def compute() -> dict[str, Floats] | None:
        boxes = cell.pre_nms()
        if boxes is None or not len(boxes):
            return None
        return nms_recall(overlaps_of(cell.images, cell.objects, boxes, len(cell.classes)), cell.overlaps)

    return cell.once("nms_recall", compute)


def mean_recall(values: Floats) -> float:
    """NR: the mean over the thresholds where anything was recalled before NMS; NaN if nothing was."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
