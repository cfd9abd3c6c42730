"""Localization recall precision: one error made of missed objects, false alarms and loose boxes.

Oksuz, Cam, Akbas and Kalkan, "Localization Recall Precision (LRP): A New Performance Metric for Object Detection", ECCV
2018; "One Metric to Measure them All", TPAMI 2021. Of the detections of a class that score s or more,

    LRP(s) = (sum over right ones of (1 - IoU) / (1 - 0.5) + false alarms + missed) / (right + false alarms + missed),

and oLRP is its minimum over s: 0 is perfect, 1 finds nothing. At that s its components say where the error comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assignbench.measure.matching import Bools, Floats, Ints, Matches, Overlaps
from assignbench.measure.sums import blocks, sums_up_to, weight_of

AT = 0.5  # the IoU from which a box is right


@dataclass(frozen=True)
class Lrp:
    """oLRP [R, C] and its components at the best score [R, C]; NaN for classes without an object.

    `localization`: mean 1 - IoU of the right boxes; `false_alarms`: their share of the detections; `missed`: share of
    the objects. The first two are NaN where nothing is right, or nothing is detected.
    """

    optimal: Floats
    localization: Floats
    false_alarms: Floats
    missed: Floats


def lrp(matches: Matches, weights: Floats | None = None) -> Lrp:
    """oLRP by class for weights [R, I] of the images (one row of ones by default).

    `matches` hold IoU 0.5 as their first threshold: detections and objects are matched as for AP. Scores that several
    detections share are one threshold. Raises ValueError for matches that begin with another IoU.
    """
    if matches.thresholds[0] != AT:
        raise ValueError(f"LRP needs matches whose first threshold is {AT}, not {matches.thresholds[0]}")
    o = matches.overlaps
    weights = np.ones((1, len(o.images))) if weights is None else weights
    loose = _looseness(o, matches.found[:, 0])
    parts = np.full((4, len(weights), o.classes), np.nan)
    bounds = np.searchsorted(o.label, np.arange(o.classes + 1))
    for rows in blocks(len(weights), int(np.diff(bounds).max(initial=1))):
        by_image = np.ascontiguousarray(weights[rows].T)
        for c in range(o.classes):
            mine = matches.counted & (o.object_label == c)
            if mine.any():
                present = weight_of(o.object_image[mine], by_image)
                part = slice(bounds[c], bounds[c + 1])
                parts[:, rows, c] = _of_class(matches, part, loose, by_image, present)
    return Lrp(*parts)


def _looseness(o: Overlaps, found: Ints) -> Floats:
    """1 - IoU [N] of every detection with the object that it found; 0 without one."""
    taken = o.pair_object == found[o.pair_detection]
    loose = np.zeros(len(found))
    loose[o.pair_detection[taken]] = 1 - o.pair_iou[taken]
    return loose


def _of_class(matches: Matches, part: slice, loose: Floats, by_image: Floats, present: Floats) -> Floats:
    """oLRP and components [4, R] of one class, whose detections are a slice of the table."""
    counts = ~matches.ignored[part, 0]
    right = (matches.found[part, 0] >= 0) & counts
    ends = _ends(matches.overlaps.score[part], right)
    if not len(ends):
        nothing = np.full(len(present), np.nan)
        known = np.where(present > 0, 1.0, np.nan)
        return np.stack([known, nothing, nothing, known])
    found, false = np.flatnonzero(right), np.flatnonzero(counts & ~right)
    image = matches.overlaps.image[part]
    sums = [sums_up_to(ends, which, image, by_image) for which in (found, false)]
    sums.append(sums_up_to(ends, found, image, by_image, loose[part]))
    return _best(sums[0].T, sums[1].T, sums[2].T, present[:, None])


def _ends(score: Floats, right: Bools) -> Ints:
    """The last places of the scores that a right detection has: elsewhere a lower threshold only adds false alarms."""
    last = np.searchsorted(-score, -score[right], side="right") - 1
    return np.unique(last)


def _best(right: Floats, wrong: Floats, loose: Floats, present: Floats) -> Floats:
    """oLRP and components [4, R] from the sums [R, H] at every threshold; `present` [R, 1] weighs the objects."""
    total = present + wrong
    error = np.divide(loose / (1 - AT) + wrong + present - right, total, out=np.ones_like(total), where=total > 0)
    place = error.argmin(axis=1)[:, None]
    right, wrong, loose, error = (np.take_along_axis(v, place, axis=1)[:, 0] for v in (right, wrong, loose, error))
    objects = present[:, 0]
    nothing = np.full_like(right, np.nan)
    localization = np.divide(loose, right, out=nothing.copy(), where=right > 0)
    false_alarms = np.divide(wrong, right + wrong, out=nothing.copy(), where=right + wrong > 0)
    missed = np.divide(objects - right, objects, out=nothing.copy(), where=objects > 0)
    return np.stack([np.where(objects > 0, np.minimum(error, 1.0), np.nan), localization, false_alarms, missed])
