"""Measures of scores and boxes beside AP, for weights [R, I] of the test images: does NMS lose the good boxes, do
scores rank an object's predictions by their IoU, and is a predicted IoU the true one?
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData
from assignbench.analysis.candidates import JK, rule_candidates
from assignbench.analysis.nms import THRESHOLDS
from assignbench.analysis.quality import GOOD_IOU, predicts_iou, true_of_kept
from assignbench.measure.correlation import rank_correlation
from assignbench.measure.matching import Floats, Overlaps

NR_AT = {f"NR{round(100 * t)}": number for number, t in enumerate(THRESHOLDS)}  # places among the thresholds


def nms_recall(part: slice, cell: CellData, weights: Floats) -> Floats:
    """NR [R] by coverage (LTM): recall after NMS over recall before it, mean over a part of the thresholds."""
    before = cell.before
    if before is None or not len(before.row):
        return np.full(len(weights), np.nan)
    best = cell.once("best IoU before and after NMS", lambda: (_largest(before), _largest(cell.overlaps)))
    counted = ~cell.overlaps.left_out
    weight = weights[:, cell.overlaps.object_image[counted]]
    reached = [weight @ (b[counted, None] >= np.asarray(THRESHOLDS[part])) for b in best]
    ratio = np.divide(reached[1], reached[0], out=np.full_like(reached[0], np.nan), where=reached[0] > 0)
    return mean_of_known(ratio)


def _largest(overlaps: Overlaps) -> Floats:
    """The largest IoU [M] of every object with a box of its class."""
    best = np.zeros(len(overlaps.left_out))
    np.maximum.at(best, overlaps.pair_object, overlaps.pair_iou)
    return best


def spearman_of_objects(score: str, cell: CellData, weights: Floats) -> Floats:
    """Mean [R] over objects of the rank correlation of a column of scores with the IoU over J_k (MLC); NaN where J_k
    was not recorded.
    """
    values = cell.once(("spearman of objects", score), partial(_object_correlations, score, cell))
    usable = np.isfinite(values)
    if not usable.any():
        return np.full(len(weights), np.nan)
    weight = weights[:, cell.overlaps.object_image[usable]]
    return np.asarray(weight @ values[usable] / weight.sum(axis=1))


def _object_correlations(score: str, cell: CellData) -> Floats:
    candidates = rule_candidates(cell, JK)
    if candidates is None:
        return np.full(len(cell.objects), np.nan)
    by_object = rank_correlation(candidates, score).set_index("object_id").spearman
    values = cell.objects.object_id.map(by_object).to_numpy(float)
    return np.where(cell.objects.crowd, np.nan, values)


def iou_error(cell: CellData, weights: Floats) -> Floats:
    """Mean |predicted - true IoU| [R] over the kept detections of true IoU 0.5 and more (PAA, Table 2); NaN where no
    head predicts the IoU.
    """
    if not predicts_iou(cell):
        return np.full(len(weights), np.nan)
    boxes, error = cell.once("sums of IoU errors", partial(_error_sums, cell))
    count = weights @ boxes
    return np.asarray(np.divide(weights @ error, count, out=np.full(len(weights), np.nan), where=count > 0))


def _error_sums(cell: CellData) -> tuple[Floats, Floats]:
    """Of every test image [I] the boxes that count, and the sum of their errors."""
    boxes = cell.detections
    true = true_of_kept(cell)
    good = true >= GOOD_IOU
    gap = np.abs(boxes.quality_score.to_numpy(float) - true)[good]
    place = pd.Index(cell.overlaps.images).get_indexer(boxes.image_id)[good]
    images = len(cell.overlaps.images)
    boxes_of, errors = np.zeros((2, images))
    np.add.at(boxes_of, place, 1.0)
    np.add.at(errors, place, gap)
    return boxes_of, errors


def mean_of_known(values: Floats) -> Floats:
    """Row means of [R, T] without NaN; NaN where a row has nothing else."""
    usable = np.isfinite(values)
    count = usable.sum(axis=1)
    total = np.where(usable, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))
