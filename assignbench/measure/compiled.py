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
        weight, sums, found = by_image[image[h]], counted[h], wrong[h]
        for r in range(columns):
            right[r] += weight[r]
            found[r] = max(sums[r] - right[r], 0.0)
    return wrong


def _area(  # noqa: C901, PLR0912 - one way down and one up: calls in between would keep it from being vectorised
    by_image: Floats, image: Ints, others: Floats, share: Floats, whole: Floats, levels: Floats
) -> Floats:
    rows, columns = others.shape
    top = len(levels) - 1
    if not len(whole):
        whole = np.zeros(columns)
        for h in range(rows):
            whole += by_image[image[h]]
    whole = np.where(whole > 0, whole, np.inf)
    right, before = np.zeros(columns), np.zeros(columns)
    precision, rise = np.empty((rows, columns)), np.empty((rows, columns))
    for h in range(rows):
        weight, other, here, step = by_image[image[h]], others[h], precision[h], rise[h]
        if len(share):
            for r in range(columns):
                right[r] += weight[r]
                here[r] = right[r] / (other[r] * share[r] + right[r] + EPSILON)
        else:
            for r in range(columns):
                right[r] += weight[r]
                here[r] = right[r] / (other[r] + EPSILON)
        if top:
            for r in range(columns):
                recall = right[r] / whole[r]
                place = np.floor(recall * top + 1e-9)
                place += 1.0 if place * levels[1] <= recall else 0.0
                step[r] = place - before[r]
                before[r] = place
        else:
            for r in range(columns):
                recall = right[r] / whole[r]
                step[r] = recall - before[r]
                before[r] = recall
    best, total = np.zeros(columns), np.zeros(columns)
    for h in range(rows - 1, -1, -1):
        here, step = precision[h], rise[h]
        for r in range(columns):
            best[r] = max(best[r], here[r])
            total[r] += step[r] * best[r]
    return total / len(levels)
