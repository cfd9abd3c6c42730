"""Means over seeds with their Student-t interval: what a table of cells prints. Verdicts rest on `estimates`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assignbench.analysis.estimates import LEAST_SEEDS, LEVEL


@dataclass(frozen=True)
class Interval:
    """Mean of n values with the half-width of its two-sided t-interval (None below two values)."""

    mean: float
    half: float | None
    n: int

    @property
    def resolvable(self) -> bool:
        """Whether a verdict may rest on it: three values at least."""
        return self.n >= LEAST_SEEDS and self.half is not None

    @property
    def half_or_nan(self) -> float:
        """The half-width as a table's number: NaN below two values."""
        return float("nan") if self.half is None else self.half


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of a mean; NaN for no values."""
    array = np.asarray([v for v in values if v is not None and np.isfinite(v)], float)
    n = len(array)
    if n == 0:
        return Interval(float("nan"), None, 0)
    if n == 1:
        return Interval(float(array[0]), None, 1)
    from scipy.special import stdtrit  # scipy.stats takes a second to load

    quantile = float(stdtrit(n - 1, 0.5 + level / 2))
    return Interval(float(array.mean()), quantile * float(array.std(ddof=1)) / n**0.5, n)


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """A tidy per-cell table averaged over `seed`: columns X become X and X_half; n says how many seeds.

    Whole numbers that are the same for all seeds (the objects of a group) have no interval; those that vary (boxes
    kept) have one, as every mean.
    """
    fractions = [c for c in table.columns if c != "seed" and pd.api.types.is_float_dtype(table[c])]
    whole = [c for c in table.columns if c != "seed" and pd.api.types.is_integer_dtype(table[c])]
    keys = [c for c in table.columns if c not in ("seed", *fractions, *whole)]
    spread = table.groupby(keys, sort=False, observed=True, dropna=False)[whole].nunique().max()
    counts = [c for c in whole if spread[c] <= 1]
    values = [c for c in table.columns if c in (*fractions, *whole) and c not in counts]
    rows = []
    for key, group in table.groupby(keys, sort=False, observed=True, dropna=False):
        row = dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True))
        row |= {c: float(group[c].iloc[0]) for c in counts}
        for name in values:
            interval = t_interval(group[name].tolist())
            row |= {name: interval.mean, f"{name}_half": np.nan if interval.half is None else interval.half}
        rows.append({**row, "n": group.seed.nunique()})
    return pd.DataFrame(rows)
