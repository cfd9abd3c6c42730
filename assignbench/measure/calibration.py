"""Does a score of 0.8 mean that eight boxes of ten are right? The calibration error of a detector's scores.

Küppers, Kronenberger, Shantia and Haselhoff, "Multivariate Confidence Calibration for Object Detection", CVPR Workshops
2020 (D-ECE, its form that looks at the score alone): over bins of the score the mean gap between the share of right
boxes and the mean score, each bin with its share of the boxes as its weight.
"""

from __future__ import annotations

import numpy as np

from assignbench.measure.matching import Floats, Matches

BINS = 20
LEAST_SCORE = 0.3  # boxes below are not looked at: thousands of them would hide all others


def calibration_error(
    matches: Matches, weights: Floats | None = None, *, bins: int = BINS, least: float = LEAST_SCORE
) -> Floats:
    """D-ECE [R] over all classes for weights [R, I] of the images (one row of ones by default).

    A box is right if it found an object at the first threshold of `matches`; ignored ones do not count. Bins are equal
    parts of 0..1. NaN where no box scores `least` or more, and where scores are no probabilities (outside of 0..1).
    """
    o = matches.overlaps
    weights = np.ones((1, len(o.images))) if weights is None else weights
    counts = ~matches.ignored[:, 0]
    if not counts.any() or o.score[counts].min() < 0 or o.score[counts].max() > 1:
        return np.full(len(weights), np.nan)
    kept = counts & (o.score >= least)
    place = o.image[kept], np.minimum((o.score[kept] * bins).astype(np.int64), bins - 1)
    boxes, gap = np.zeros((2, len(o.images), bins))
    np.add.at(boxes, place, 1.0)
    np.add.at(gap, place, (matches.found[kept, 0] >= 0) - o.score[kept])
    total = (weights @ boxes).sum(axis=1)
    wrong = np.abs(weights @ gap).sum(axis=1)
    return np.asarray(np.divide(wrong, total, out=np.full(len(weights), np.nan), where=total > 0))
