"""The arithmetic of precision-recall curves that `precision` does with NumPy, compiled by Numba (extra `fast`).

A row of replicates is read once on the way down and once on the way up, where NumPy passes over [detections,
replicates] a dozen times. Operations and their order are the same: where sums of weights are exact, as those of the
jackknife are, both give the same numbers to the last bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Numbers [H, R] from which on a call is worth the second that compiling takes, once in a process.
MANY = 10_000_000
EPSILON = 2.0**-52  # as pycocotools adds it: nothing right of nothing is no precision


class Wrong(Protocol):
    """What is wrong before each right detection [H, R]."""

    def __call__(self, by_image: Floats, image: Ints, counted: Floats) -> Floats:
        """Of weights [I, R] of the images, the rows [H] of the right detections in them, and what counts up to each."""


class Area(Protocol):
    """AP [R] under the curves of right detections [H], best first."""

    def __call__(
        self, by_image: Floats, image: Ints, others: Floats, share: Floats, whole: Floats, levels: Floats
    ) -> Floats:
        """Of weights [I, R] of the images, and the rows [H] of the detections in them.

        `others` [H, R] is what counts up to each of them; with a `share` [R] (else empty) it is what is wrong, of which
        so much counts. `whole` [R] is what there is to be found; empty: all of it was. AP is the mean over evenly
        spaced `levels` of recall, 0 and 1 among them, or the area if there is but one.
        """


class Arithmetic(NamedTuple):
    """Both, one way or the other."""

    wrong: Wrong
    area: Area


@lru_cache(maxsize=1)
def compiled() -> Arithmetic | None:
    """Both for this processor, compiled when first called; None where Numba is missing or refuses this NumPy."""
    try:
        import numba
    except ImportError:
        return None
    made: Any = numba.njit(error_model="numpy")
    return Arithmetic(made(_wrong), made(_area))


def _wrong(by_image: Floats, image: Ints, counted: Floats) -> Floats:
    rows, columns = counted.shape
    right, wrong = np.zeros(columns), np.empty((rows, columns))
    for h in range(rows):
        for r in range(columns):
            right[r] += by_image[image[h], r]
            wrong[h, r] = max(counted[h, r] - right[r], 0.0)
    return wrong


def _area(  # noqa: C901, PLR0912 - one way down and one up: calls in between would keep it from being vectorised
    by_image: Floats, image: Ints, others: Floats, share: Floats, whole: Floats, levels: Floats
) -> Floats:
    # Loops alone: Numba takes three times as long to compile expressions of whole arrays.
    rows, columns = others.shape
    top, shared, all_found = len(levels) - 1, len(share) > 0, len(whole) == 0
    right, before = np.zeros(columns), np.zeros(columns)
    precision, rise = np.empty((rows, columns)), np.empty((rows, columns))
    total = np.zeros(columns)  # of what there is to be found
    for h in range(rows if all_found else 0):
        for r in range(columns):
            total[r] += by_image[image[h], r]
    for r in range(columns):
        found = total[r] if all_found else whole[r]
        total[r] = found if found > 0 else np.inf
    for h in range(rows):
        for r in range(columns):
            right[r] += by_image[image[h], r]
        if shared:
            for r in range(columns):
                precision[h, r] = right[r] / (others[h, r] * share[r] + right[r] + EPSILON)
        else:
            for r in range(columns):
                precision[h, r] = right[r] / (others[h, r] + EPSILON)
        if top:
            for r in range(columns):
                recall = right[r] / total[r]
                place = np.floor(recall * top + 1e-9)
                place += 1.0 if place * levels[1] <= recall else 0.0
                rise[h, r] = place - before[r]
                before[r] = place
        else:
            for r in range(columns):
                recall = right[r] / total[r]
                rise[h, r] = recall - before[r]
                before[r] = recall
    best, area = np.zeros(columns), np.zeros(columns)
    for h in range(rows - 1, -1, -1):
        for r in range(columns):
            best[r] = max(best[r], precision[h, r])
            area[r] += rise[h, r] * best[r]
    for r in range(columns):
        area[r] /= len(levels)
    return area
