"""Sums over detections that weigh as much as their image does, for many weightings at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from assignbench.measure.matching import Floats, Ints

AT_ONCE = 4_000_000  # numbers in a block of weights
FEW = 100  # columns, or rows, that NumPy accumulates as fast alone


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices over rows, so that a block of them holds about `AT_ONCE` numbers."""
    step = max(1, AT_ONCE // max(1, width))
    return (slice(begin, begin + step) for begin in range(0, rows, step))


def weight_of(image: Ints, by_image: Floats) -> Floats:
    """What objects or detections of these images [N] weigh together [R]."""
    return np.asarray(by_image[image].sum(axis=0))


def sums_up_to(ends: Ints, which: Ints, image: Ints, by_image: Floats, values: Floats | None = None) -> Floats:
    """What the detections at the places `which` weigh together up to each place in `ends`, itself included [H, R].

    Both lists rise; `image` [N] names each detection's row of `by_image` [I, R], and `values` [N] multiply its weight.
    """
    edges = np.searchsorted(which, ends, side="right")
    if not len(edges) or not edges[-1]:
        return np.zeros((len(ends), by_image.shape[1]))
    from scipy.sparse import csr_array  # a quarter of a second to load

    used = which[: edges[-1]]
    factors = np.ones(len(used)) if values is None else values[used]
    between = csr_array((factors, image[used], np.r_[0, edges]), shape=(len(ends), len(by_image)))
    return running(np.add, np.asarray(between @ by_image))


def running(operation: np.ufunc, rows: Floats) -> Floats:
    """`operation.accumulate` over the rows [H, R], in place.

    NumPy walks down one column after the other there. Here rows are taken whole: first the k-th ones of all blocks of
    rows at once, then what a block ends with goes into the next one. Of 200 columns that takes four fifths of the time
    for 200 rows, and less than half for a thousand.
    """
    if min(rows.shape) < FEW:
        return operation.accumulate(rows, axis=0, out=rows)
    size = math.isqrt(len(rows))
    ends = len(rows) - len(rows) % size
    parts = rows[:ends].reshape(-1, size, rows.shape[1])
    for k in range(1, size):
        operation(parts[:, k], parts[:, k - 1], out=parts[:, k])
    for before, part in pairwise(parts):
        operation(part, before[-1], out=part)
    for place in range(ends, len(rows)):
        operation(rows[place], rows[place - 1], out=rows[place])
    return rows
