"""Pairs of a method and its baseline: what each is compared with, the gain seed by seed, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assignbench.analysis import measures
from assignbench.analysis.base import CellData, StudyRecord
from assignbench.analysis.estimates import Estimate, Floats, Measured, estimates
from assignbench.analysis.moderation import related
from assignbench.analysis.shares import shares
from assignbench.config.evaluation import LEAST_OBJECTS

KEYS = ["data", "detector", "method", "baseline", "pair"]


@dataclass(frozen=True)
class Pair:
    """A method and what it is compared with on one data set, with the finished cells of both by seed.

    Both are of one detector, unless `other` says of which detector and method the baseline is; `baseline` then names
    both.
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
    least_objects: int = LEAST_OBJECTS  # in a group that a trend rests on
    other: tuple[str, str] | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The columns that identify a pair in every table."""
        values = (self.data, self.detector, self.method, self.baseline, self.kind)
        return dict(zip(KEYS, values, strict=True))

    @property
    def sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Detector and method of both sides, by which pairs hang together."""
        return (self.detector, self.method), self.other or (self.detector, self.baseline)

    @property
    def seeds(self) -> list[int]:
        """The seeds that both sides have finished."""
        return [s for s in self.ours if s in self.theirs]

    @property
    def cells(self) -> list[CellData]:
        """The cells of both sides."""
        return [*self.ours.values(), *self.theirs.values()]

    def measured(self, measure: str, *, images: bool = True, relative: bool = False) -> Measured:
        """The paired difference of a measure, seed by seed, and its replicates over test images (if asked for, and if
        there are enough images to tell).

        `relative`: as a share of the other side's mean over these seeds.
        """
        seeds = self.seeds
        ours, theirs = ([measures.measured(c[s], measure) for s in seeds] for c in (self.ours, self.theirs))
        if not images or not seeds or measures.too_few_images(self.ours[seeds[0]], measure):
            return Measured(_gap(np.array([ours], float), np.array([theirs], float), relative)[0])
        both = (np.stack([measures.replicated(c[s], measure) for s in seeds], 1) for c in (self.ours, self.theirs))
        ours_drawn, theirs_drawn = (np.concatenate([[v], d]) for v, d in zip((ours, theirs), both, strict=True))
        found = _gap(ours_drawn, theirs_drawn, relative)
        return Measured(found[0], found[1:], measures.image_freedom(self.ours[seeds[0]], measure))


def _gap(ours: Floats, theirs: Floats, relative: bool) -> Floats:
    """Differences [1 + R, S], or their shares of the mean over seeds; NaN where that is not above 0."""
    gap = ours - theirs
    return shares(gap, theirs.mean(axis=-1, keepdims=True)) if relative and gap.shape[-1] else gap


def pair_of(study: StudyRecord, method: str, baseline: str, place: tuple[str, str]) -> Pair:
    """Two methods at a data set and detector, whatever the study says they are compared with."""
    ours, theirs = (_by_seed(study, name, place) for name in (method, baseline))
    missing = [without_cells(study, n, place) for n, cells in ((method, ours), (baseline, theirs)) if not cells]
    if not missing and not set(ours) & set(theirs):
        missing = [f"{method} and {baseline} have no finished seed in common"]
    kind, reason = study.pair(method, baseline, place), "; ".join(missing)
    return Pair(*place, method, baseline, kind, ours, theirs, reason, study.least_objects)


def pair_across(study: StudyRecord, data: str, ours: tuple[str, str], theirs: tuple[str, str]) -> Pair:
    """Two detectors with a method each (detector, method) on a data set, paired by seed: with one seed they see the
    same images in the same order, but do not begin with the same weights.
    """
    cells, missing = {}, []
    for detector, method in (ours, theirs):
        cells[detector, method] = _by_seed(study, method, (data, detector))
        if not cells[detector, method]:
            missing.append(f"{without_cells(study, method, (data, detector))} on {detector}")
    if not missing and not set(cells[ours]) & set(cells[theirs]):
        missing = ["the two have no finished seed in common"]
    named, reason = f"{theirs[1]} on {theirs[0]}", "; ".join(missing)
    both = (cells[ours], cells[theirs])
    return Pair(data, *ours, named, "detector", *both, reason, study.least_objects, other=theirs)


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


def without_cells(study: StudyRecord, method: str, place: tuple[str, str]) -> str:
    """Why a method has no finished cell at a place: the states of those it has."""
    told = ", ".join(f"{n} {state}" for state, n in study.states_of(method, place).items())
    absent = "not among the rows of this table" if study.about.get("table") else "not in the study here"
    return f"no finished cell of {method} ({told or absent})"


def over_pairs(pairs: Sequence[Pair], samples: Sequence[Measured], *, moderate: bool = True) -> list[Estimate]:
    """What each pair's differences are worth; seed variances are moderated over the pairs of a data set."""
    found: dict[int, Estimate] = {}
    for data in dict.fromkeys(p.data for p in pairs):
        mine = [k for k, p in enumerate(pairs) if p.data == data]
        shared = related([pairs[k].sides for k in mine])
        found |= zip(mine, estimates([samples[k] for k in mine], shared, moderate=moderate), strict=True)
    return [found[k] for k in range(len(pairs))]


def estimated(
    pairs: Sequence[Pair],
    measure: str,
    *,
    beside: Sequence[Pair] = (),
    moderate: bool = True,
    relative: bool = False,
) -> list[Estimate]:
    """The difference of every pair in a measure; pairs `beside` help to know the spread and are not asked about.

    `relative`: as shares of the baseline.
    """
    every = [*pairs, *others_of(pairs, beside)]
    samples = [p.measured(measure, relative=relative) for p in every]
    return over_pairs(every, samples, moderate=moderate)[: len(pairs)]


def others_of(pairs: Sequence[Pair], beside: Sequence[Pair]) -> list[Pair]:
    """The pairs `beside` that are none of these."""
    return [p for p in beside if not any(_same(p, q) for q in pairs)]


def _same(one: Pair, other: Pair) -> bool:
    """Whether two are one comparison, whichever way round: its spread is known once."""
    return one.data == other.data and set(one.sides) == set(other.sides)


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
