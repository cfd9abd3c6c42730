"""Pairs of a method and its baseline: the gain seed by seed, and whether the two differ in the assigner alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord
from assignbench.analysis.intervals import over_seeds

KEYS = ["data", "detector", "method", "baseline", "pair"]


def gains(table: pd.DataFrame, study: StudyRecord, value: str = "AP") -> pd.DataFrame:
    """One row per cell that has a baseline, with `baseline`, `pair`, `of_baseline` and `gain`.

    `baseline` is the method that the study compares this one with; `pair` is "assigner" where the two differ in
    nothing else, "recipe" where they do and "import" where nobody knows. `of_baseline` is the baseline's `value` for
    the same data set, detector, seed and group, and `gain` is what the method's own value adds to it.
    """
    columns = [*table.columns, "baseline", "pair", "of_baseline", "gain"]
    if table.empty:
        return pd.DataFrame(columns=columns)
    places = list(zip(table.data, table.detector, strict=True))
    present = {p: list(dict.fromkeys(g.method)) for p, g in table.groupby(["data", "detector"], sort=False)}
    named = [study.baseline_of(m, present[p]) for m, p in zip(table.method, places, strict=True)]
    pairs = [study.pair(m, b, p) if b else "" for m, b, p in zip(table.method, named, places, strict=True)]
    paired = table.assign(baseline=named, pair=pairs)
    paired = paired[paired.baseline != ""]
    groups = [c for c in table.columns if c not in ("method", "seed") and not pd.api.types.is_numeric_dtype(table[c])]
    on = [*groups, "seed"]
    theirs = table[[*on, "method", value]].rename(columns={"method": "baseline", value: "of_baseline"})
    merged = paired.merge(theirs, on=[*on, "baseline"], how="left")
    return merged.assign(gain=merged[value] - merged.of_baseline)[columns]


def with_gains(table: pd.DataFrame, study: StudyRecord, by: str = "group") -> pd.DataFrame:
    """A table of one row per cell and group over seeds, with the paired gain in AP and the relative gain."""
    if table.empty:
        return table
    mean = over_seeds(table)
    gained = gains(table, study)
    if gained.empty:
        return mean
    known = gained.of_baseline > 0
    gained["relative_gain"] = np.where(known, gained.gain / gained.of_baseline.where(known, 1.0), np.nan)
    keys = ["data", "detector", "method", by]
    extra = over_seeds(gained[[*KEYS, by, "seed", "gain", "relative_gain"]]).drop(columns="n")
    return mean.merge(extra, on=keys, how="left")
