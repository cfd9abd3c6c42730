"""Intervals over seeds: Student-t, never a percentile bootstrap over a handful of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """Mean of n values with the half-width of its two-sided t-interval (None below two values)."""

    mean: float
    half: float | None
    n: int

    @property
    def resolvable(self) -> bool:
        """Whether a verdict may rest on it: three values at least."""
        return self.n >= 3 and self.half is not None


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The interval of a mean; NaN for no values."""
    array = np.asarray([v for v in values if v is not None and np.isfinite(v)], float)
    n = len(array)
    if n == 0:
        return Interval(float("nan"), None, 0)
    if n == 1:
        return Interval(float(array[0]), None, 1)
    quantile = float(stats.t.ppf(0.5 + level / 2, n - 1))
    return Interval(float(array.mean()), quantile * float(array.std(ddof=1)) / n**0.5, n)
