"""Pairs of a method and its baseline: what each is compared with, the gain seed by seed, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assignbench.analysis import measures
from assignbench.analysis.base import CellData, StudyRecord
from assignbench.analysis.estimates import Estimate, Floats, Measured, estimates
from assignbench.analysis.intervals import over_seeds

KEYS = ["data", "detector", "method", "baseline", "pair"]


@dataclass(frozen=True)
class Pair:
    """A method and what it is compared with at one data set and detector, with the finished cells of both by seed.

    `untestable` says why nothing can be compared; "" where at least one seed has both.
    """

    data: str
    detector: str
    method: str
    baseline: str
    kind: str
    ours: dict[int, CellData]
    theirs: dict[int, CellData]
    untestable: str = ""

    @property
    def keys(self) -> dict[str, str]:
        """The columns that identify a pair in every table."""
        values = (self.data, self.detector, self.method, self.baseline, self.kind)
        return dict(zip(KEYS, values, strict=True))

    @property
    def seeds(self) -> list[int]:
        """The seeds that both sides have finished."""
        return [s for s in self.ours if s in self.theirs]

    def measured(self, measure: str, *, images: bool = True) -> Measured:
        """The paired difference of a measure, seed by seed, and its replicates over test images (if asked for)."""
        seeds = self.seeds
        ours, theirs = [self.ours[s] for s in seeds], [self.theirs[s] for s in seeds]
        values = [
            measures.measured(a, measure) - measures.measured(b, measure) for a, b in zip(ours, theirs, strict=True)
        ]
        if not images or not seeds:
            return Measured(np.asarray(values, float))
        gaps = [
            measures.replicated(a, measure) - measures.replicated(b, measure) for a, b in zip(ours, theirs, strict=True)
        ]
        return Measured(np.asarray(values, float), np.stack(gaps, axis=1))


def pair_of(study: StudyRecord, method: str, baseline: str, place: tuple[str, str]) -> Pair:
    """Two methods at a data set and detector, whatever the study says they are compared with."""
    ours, theirs = (_by_seed(study, name, place) for name in (method, baseline))
    missing = [_missing(study, n, place) for n, cells in ((method, ours), (baseline, theirs)) if not cells]
    if not missing and not set(ours) & set(theirs):
        missing = [f"{method} and {baseline} have no finished seed in common"]
    return Pair(*place, method, baseline, study.pair(method, baseline, place), ours, theirs, "; ".join(missing))


def pairs_of(study: StudyRecord) -> list[Pair]:
    """Every method with a baseline at every data set and detector, also those that cannot be compared."""
    found = []
    for place in study.places:
        for method in study.present_at(place):
            baseline = study.baseline_of(method, place)
            if baseline:
                found.append(pair_of(study, method, baseline, place))
    return found


def _by_seed(study: StudyRecord, method: str, place: tuple[str, str]) -> dict[int, CellData]:
    cells = (c for c in study.data() if (c.keys["data"], c.keys["detector"], c.keys["method"]) == (*place, method))
    return {c.keys["seed"]: c for c in cells}


def _missing(study: StudyRecord, method: str, place: tuple[str, str]) -> str:
    """Why a method has no finished cell at a place: the states of those it has."""
    mine = [
        c
        for c in study.cells
        if (c.config.data.name, c.config.detector.label, c.config.method.name) == (*place, method)
    ]
    states = pd.Series([c.state if c.state != "done" else "without annotations" for c in mine]).value_counts()
    told = ", ".join(f"{n} {state}" for state, n in states.items())
    return f"no finished cell of {method} ({told or 'not in the study here'})"


def over_pairs(pairs: Sequence[Pair], samples: Sequence[Measured], *, moderate: bool = True) -> list[Estimate]:
    """What each pair's differences are worth; seed variances are moderated over the pairs of a data set."""
    found: dict[int, Estimate] = {}
    for data in dict.fromkeys(p.data for p in pairs):
        mine = [k for k, p in enumerate(pairs) if p.data == data]
        shared = [(pairs[k].detector, pairs[k].baseline) for k in mine]
        found |= zip(mine, estimates([samples[k] for k in mine], shared, moderate=moderate), strict=True)
    return [found[k] for k in range(len(pairs))]


def estimated(
    pairs: Sequence[Pair], measure: str, *, beside: Sequence[Pair] = (), moderate: bool = True
) -> list[Estimate]:
    """The difference of every pair in a measure; pairs `beside` help to know the spread and are not asked about."""
    every = [*pairs, *(p for p in beside if not any(_same(p, q) for q in pairs))]
    return over_pairs(every, [p.measured(measure) for p in every], moderate=moderate)[: len(pairs)]


def _same(one: Pair, other: Pair) -> bool:
    return (one.data, one.detector, one.method, one.baseline) == (
        other.data,
        other.detector,
        other.method,
        other.baseline,
    )


def by_seed(pair: Pair, measure: str) -> tuple[Floats, Floats]:
    """A measure of method and baseline, seed by seed."""
    ours = [measures.measured(pair.ours[s], measure) for s in pair.seeds]
    theirs = [measures.measured(pair.theirs[s], measure) for s in pair.seeds]
    return np.asarray(ours, float), np.asarray(theirs, float)


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
    named = [study.baseline_of(m, p) for m, p in zip(table.method, places, strict=True)]
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
    # Relative to the baseline's mean over the seeds that both have, as the trends over images are: a seed whose
    # baseline finds next to nothing does not make the mean.
    keys = ["data", "detector", "method", by]
    base = gained.of_baseline.where(gained.gain.notna()).groupby([gained[k] for k in keys], sort=False)
    mean_of_baseline = base.transform("mean")
    gained["relative_gain"] = (gained.gain / mean_of_baseline).where(mean_of_baseline > 0)
    extra = over_seeds(gained[[*KEYS, by, "seed", "gain", "relative_gain"]]).drop(columns="n")
    return mean.merge(extra, on=keys, how="left")
