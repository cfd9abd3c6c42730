"""Orders of many boxes at once, and the pairs that they make, in portions that a processor's cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
PAIRS = 1 << 16  # whose overlap is worked out at once
SMALL = 1 << 15  # from which on a number needs more than 16 bits, which NumPy sorts by radix


def stable_order(*keys: npt.NDArray[np.integer[Any]]) -> Ints:
    """The order [N] by the first of the keys [N] of whole numbers, then by the next one; equal ones as they come.

    NumPy sorts numbers several times as fast as it finds a stable order of them. So numbers are sorted here: places,
    with the bits of the keys above them, as many at once as fit.
    """
    count = len(keys[0])
    if len(keys) == 1 and count and 0 <= keys[0].min() <= keys[0].max() < SMALL:
        return np.asarray(np.argsort(keys[0].astype(np.int16), kind="stable"))
    width, order = np.uint64(count.bit_length()), np.arange(count)
    for number, digit in enumerate(_digits(keys, 64 - count.bit_length())):
        digit = digit[order] if number else digit
        digit <<= width
        digit |= np.arange(count, dtype=np.uint64)
        digit.sort()
        digit &= (np.uint64(1) << width) - np.uint64(1)
        order = order[digit.view(np.int64)] if number else digit.view(np.int64)
    return order


def descending(scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.signedinteger[Any]]:
    """Whole numbers [N] that rise as the scores fall: equal ones for equal scores (also 0 and -0), the largest for NaN.

    A key for `stable_order`, which sorts those of float32 in half the time of those of float64.
    """
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float64)
    bits: npt.NDArray[np.signedinteger[Any]] = scores.view(np.int32 if scores.dtype == np.float32 else np.int64)
    most = np.iinfo(bits.dtype).max
    keys = -bits
    below, unknown = np.flatnonzero(bits < 0), np.flatnonzero(np.isnan(scores))
    keys[below] = bits[below] & most  # a float's bits are its sign and its magnitude
    keys[unknown] = most
    return keys


def _digits(keys: Sequence[npt.NDArray[np.integer[Any]]], size: int) -> Iterator[npt.NDArray[np.uint64]]:
    """The keys as the digits, each of `size` bits, of one number [N]: the lowest first, which is of the last key.

    Bits above a digit's `size` mean nothing. The arrays are the caller's.
    """
    while keys and (keys[-1][1:] >= keys[-1][:-1]).all():  # it says no more than the places
        keys = keys[:-1]
    digit, filled = np.zeros(1, np.uint64), 0
    for key in reversed(keys):
        values = np.subtract(key, key.min(), dtype=np.int64).view(np.uint64)
        used = int(np.bitwise_or.reduce(values))
        free = max((used & -used).bit_length() - 1, 0)  # low bits that no value has, as of doubles that were floats
        values, width = values >> np.uint64(free), used.bit_length() - free
        while filled + width >= size:
            yield digit | values << np.uint64(filled)
            values, width = values >> np.uint64(size - filled), width - size + filled
            digit, filled = np.zeros(1, np.uint64), 0
        digit, filled = digit | values << np.uint64(filled), filled + width
    if filled:
        yield digit


def changes(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether an entry differs from the one before it; the first one does."""
    return np.asarray(np.r_[True, values[1:] != values[:-1]][: len(values)])


def places_within(sorted_keys: npt.NDArray[Any]) -> Ints:
    """The place [N] of every entry among the equal ones around it."""
    at = np.arange(len(sorted_keys))
    return at - np.maximum.accumulate(np.where(changes(sorted_keys), at, 0))


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
