"""Orders of many boxes at once, and the pairs that they make, in portions that a processor's cache holds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
PAIRS = 1 << 16  # whose overlap is worked out at once
SMALL = 1 << 15  # from which on a number needs more than 16 bits, which NumPy sorts by radix


def stable_order(keys: npt.NDArray[np.integer[Any]]) -> Ints:
    """The order [N] of whole numbers (no others), equal ones as they come. Small ones are sorted much faster."""
    if len(keys) and 0 <= keys.min() <= keys.max() < SMALL:
        keys = keys.astype(np.int16)
    return np.asarray(np.argsort(keys, kind="stable"))


def ranges(starts: Ints, counts: Ints) -> Ints:
    """The whole numbers from each start on, so many of each."""
    edge = np.cumsum(counts) - counts
    return np.repeat(starts - edge, counts) + np.arange(counts.sum())


def portions(count: Ints) -> Iterator[slice]:
    """Slices over entries that have so many pairs each, of about `PAIRS` pairs."""
    total = np.cumsum(count)
    edges = np.searchsorted(total, np.arange(0, int(total[-1]) if len(total) else 0, PAIRS), side="right")
    edges = np.unique(np.r_[edges, len(count)])
    return (slice(int(a), int(b)) for a, b in pairwise(edges))
