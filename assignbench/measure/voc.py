"""PASCAL VOC's average precision: its own matching rule, with the 11-point and the area interpolation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.measure.matching import COCO_THRESHOLDS, Matches, Overlaps, overlaps_of
from assignbench.measure.ordering import changes
from assignbench.measure.precision import average_precision, mean_over_classes

VOC_THRESHOLDS: tuple[float, ...] = tuple(np.arange(0.5, 1.0, 0.05).round(2).tolist())


def match_voc(overlaps: Overlaps, *, thresholds: tuple[float, ...] = COCO_THRESHOLDS) -> Matches:
    """PASCAL's rule: every detection names its best-overlapping object; the first one at the threshold is right.

    Needs overlaps of all pairs (`least` 0). Detections whose best object is difficult are ignored.
    """
    o = overlaps
    best = np.full(len(o.label), -1)
    value = np.zeros(len(o.label))
    if len(o.pair_detection):
        start = np.flatnonzero(changes(o.pair_detection))
        top = np.maximum.reduceat(o.pair_iou, start)
        size = np.diff(np.r_[start, len(o.pair_iou)])
        spread = np.repeat(top, size)
        at = np.where(o.pair_iou == spread, np.arange(len(spread)), len(spread))
        who = o.pair_detection[start]
        best[who], value[who] = o.pair_object[np.minimum.reduceat(at, start)], top
    found = np.full((len(best), len(thresholds)), -1)
    ignored = np.zeros(found.shape, np.bool_)
    for t, threshold in enumerate(thresholds):
        reaches = np.flatnonzero((best >= 0) & (value >= threshold))
        ignored[reaches, t] = o.left_out[best[reaches]]
        _, first = np.unique(best[reaches], return_index=True)
        found[reaches[first], t] = best[reaches[first]]
    return Matches(o, thresholds, found, ignored, ~o.left_out)


def voc_evaluate(objects: pd.DataFrame, detections: pd.DataFrame, classes: list[str]) -> dict[str, float]:
    """Mean over classes by both interpolations: AP07 (mean of ten thresholds), AP07_50, AP07_75 and AP50_area.

    Difficult objects and what matches them are left out; 0 where no class has an object that counts.
    """
    images = pd.DataFrame({"image_id": np.union1d(objects.image_id, detections.image_id)})
    overlaps = overlaps_of(images, objects, detections, len(classes), least=0.0)
    matches = match_voc(overlaps, thresholds=VOC_THRESHOLDS)
    by07 = average_precision(matches, interpolation="voc07")[0]
    area = average_precision(matches, interpolation="area")[0]
    values = {
        "AP07": by07,
        "AP07_50": by07[[VOC_THRESHOLDS.index(0.5)]],
        "AP07_75": by07[[VOC_THRESHOLDS.index(0.75)]],
        "AP50_area": area[[VOC_THRESHOLDS.index(0.5)]],
    }
    means = {name: float(mean_over_classes(value)) for name, value in values.items()}
    return {name: 0.0 if np.isnan(value) else value for name, value in means.items()}
