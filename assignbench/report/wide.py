"""Long tables laid out to be read: a method is a row, a group is a column, and what is resolved stands out.

Which Results are laid out how is found by their keys; the rows as they were stay on the page, folded, and in the CSV.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.analysis.result import SEEDS, Result
from assignbench.analysis.signs import rounded, signed
from assignbench.analysis.verdicts import HIGHER, LOWER
from assignbench.report.tables import (
    BESIDE,
    HUNDREDTHS,
    KEYS,
    PLACES,
    Mark,
    Table,
    band_name,
    interval_note,
    place_names,
    seeds_note,
    short_places,
    without_constants,
)

MOST_COLUMNS = 6  # of groups; more of them, and more than methods, are rows, and the methods columns
PERCENTS = ("points", "AP")  # units of numbers that lie in 0..100 already
Name = tuple[str, tuple[str, ...], str]  # of a number: its place, its method, its group
Row = Mapping[Any, Any]  # of a Result's frame, by column
_COUNTED = ("",)  # in place of a method: a row of counts
WORDS: Mapping[str, Mark] = {HIGHER: "up", LOWER: "down"}


@dataclass(frozen=True)
class Value:
    """A column of numbers that becomes a table: its title, the column of its half-widths and of its verdicts."""

    column: str
    title: str
    half: str = ""
    verdict: str = ""
    signed: bool = False  # a difference, which a baseline does not have
    family: str = "the whole table"  # over which its verdicts are corrected


@dataclass(frozen=True)
class Layout:
    """The column whose values become columns, the numbers, and the column by which tables are parted.

    `fewest`: the column of what stands beside a missing number, which is one of so few. `ordered`: whether the columns
    stand in the order of their names, as bins do.
    """

    columns: str
    values: tuple[Value, ...]
    split: str = ""
    fewest: str = ""
    ordered: bool = False


_GAIN = Value("gain", "gain over the baseline", "gain_half", "verdict", signed=True)
_GROUPS = Layout("group", (_GAIN, Value("AP", "AP", "AP_half")))
LAYOUTS: Mapping[str, Layout] = {
    "differences": Layout(
        "metric",
        (Value("difference", "method minus baseline", "half", "verdict", True, "the comparisons of each metric"),),
    ),
    "metrics": Layout(
        "measure",
        (
            Value("value", "value", "value_half"),
            Value("difference", "method minus baseline", "difference_half", signed=True),
        ),
    ),
    "classes": Layout(
        "class",
        (
            Value("difference", "method minus baseline", "half", "verdict", signed=True),
            Value("AP", "AP", "AP_half"),
        ),
    ),
    "size": _GROUPS,
    "crowdedness": _GROUPS,
    "crowdedness.image": _GROUPS,
    "crowdedness.per_image": _GROUPS,
    "aspect_ratio": _GROUPS,
    "aspect_ratio.categories": Layout("category", (Value("gain", "gain over the baseline", signed=True),)),
    "factors": Layout("factor", (Value("slope", "gain per unit of the factor", "half", "verdict", signed=True),)),
    "factors.groups": Layout("group", (Value("gain", "gain", "gain_half", signed=True),), split="factor"),
    # Of the two scores the one that NMS and AP sort by; all rows hold the other one too, which is nearly the same.
    "divergence.groups": Layout(
        "group", (Value("spearman_rank", "Spearman of the ranking score", "spearman_rank_half"),), split="by"
    ),
    "quality.reliability": Layout(
        "bin", (Value("true", "true IoU by predicted IoU", "true_half"),), fewest="fewest", ordered=True
    ),
    "orphans": Layout(
        "size",
        (
            Value("orphans_cls", "objects without a prior for the class"),
            Value("orphans_box", "objects without a prior for the box"),
            Value("disagreement", "priors positive for one task alone"),
        ),
        fewest="objects",
    ),
    "churn": Layout("task", (Value("churn", "positives that were none at the visit before", "churn_half"),)),
    "evolution": Layout(
        "priors", (Value("cls_score", "class score", "cls_score_half"), Value("iou", "IoU", "iou_half"))
    ),
}


def wide_tables(result: Result, places: Sequence[tuple[str, str]]) -> list[Table]:
    """A Result's tables as `LAYOUTS` says; none for a Result without a layout or without such columns."""
    layout = LAYOUTS.get(result.key)
    if layout is None or not {layout.columns, "method"} <= set(result.frame):
        return []
    tables: list[Table] = []
    for name, part in _parts(result.frame, layout.split):
        shown: list[Value] = []
        for value in layout.values:
            if value.column not in part or not part[value.column].notna().any():
                continue
            if any(part[value.column].equals(part[other.column]) for other in shown):
                same = f"The same in every row: {value.title}."  # as of two scores, of which a method has one alone
                tables[-1] = replace(tables[-1], notes=[*tables[-1].notes, same])
                continue
            shown.append(value)
            tables.append(_Wide(result, part, layout, value, places).table(name))
    return tables


def _parts(frame: pd.DataFrame, split: str) -> Iterator[tuple[str, pd.DataFrame]]:
    if not split:
        yield "", frame
        return
    for name, part in frame.groupby(split, sort=False):
        yield str(name).replace("_", " "), part


def levels_of(frame: pd.DataFrame, column: str) -> list[str]:
    """The groups that a column names, in one order for all places, of which none need have them all: by their middles
    where there are any, else so that no place has its own groups turned round.
    """
    names = frame[column].astype(str)
    if "middle" in frame and frame.middle.notna().all():
        return list(frame.middle.astype(float).groupby(names, sort=False).mean().sort_values(kind="stable").index)
    by = [c for c in (*PLACES, "method") if c in frame]
    rows = names.groupby([frame[c] for c in by], sort=False) if by else [("", names)]
    return _merged([list(dict.fromkeys(mine)) for _, mine in rows])


def _merged(orders: Sequence[Sequence[str]]) -> list[str]:
    """One order that agrees with all of these; of names that none of them compares, the lower begins or was first."""
    before: dict[str, set[str]] = {name: set() for order in orders for name in order}
    for order in orders:
        for one, other in pairwise(order):
            before[other].add(one)
    waiting, found = list(before), list[str]()
    while waiting:
        free = [name for name in waiting if not before[name] & set(waiting)]
        found.append(min(free or waiting[:1], key=_start))  # orders that contradict each other have no free name
        waiting.remove(found[-1])
    return found


def _start(name: str) -> float:
    """The number that a range begins with: 4 of "4-7"; infinite where it begins with none."""
    number = re.match(r"-?\d+(\.\d+)?", name)
    return float(number[0]) if number else float("inf")


class _Wide:
    """One number of a Result, methods down and groups across (or the other way round where these are many)."""

    def __init__(
        self, result: Result, part: pd.DataFrame, layout: Layout, value: Value, places: Sequence[tuple[str, str]]
    ) -> None:
        asked = part[part.baseline.ne("") & part.baseline.notna()] if value.signed and "baseline" in part else part
        if len(places) == 1:
            asked = asked.drop(columns=[c for c in PLACES if c in asked])
        self.asked = asked
        self.frame, self.constant = without_constants(asked)
        self.result, self.layout, self.value = result, layout, value
        known = asked[asked[value.column].notna()]
        self.levels = levels_of(known, layout.columns)
        self.unknown = [v for v in levels_of(asked, layout.columns) if v not in self.levels]
        if layout.ordered:
            self.levels, self.unknown = sorted(self.levels), sorted(self.unknown)
        self.places = [c for c in PLACES if c in self.frame]
        told = ("method", "baseline", "pair") if value.signed else ("method",)
        self.keys = [k for k in KEYS if k in self.frame and k in told] or ["method"]
        self.scale = 100.0 if result.units.get(value.column) in HUNDREDTHS else 1.0
        self.digits = 1 if self.scale != 1.0 or self._large() or self._unit().endswith(PERCENTS) else 2

    def _large(self) -> bool:
        return bool(self.frame[self.value.column].abs().max() >= 10)

    def table(self, part: str) -> Table:
        """The table; `part` names the one of several that it is."""
        frame = self.frame.assign(_place=place_names(self.frame, self.places) if self.places else "")
        records: list[Row] = frame.to_dict("records")
        keys = list(dict.fromkeys(map(self._key, records)))
        found = {(row["_place"], self._key(row), str(row[self.layout.columns])): row for row in records}
        bands = list(dict.fromkeys(frame["_place"]))
        turned = len(self.levels) > MOST_COLUMNS and len(self.levels) >= len(keys)
        counts = {} if turned else self._counts(frame)
        lines: list[tuple[str, tuple[str, ...], list[Name]]]
        if turned:
            head = [self.layout.columns.replace("_", " "), *(BESIDE.join(key) for key in keys)]
            lines = [(band, (level,), [(band, key, level) for key in keys]) for band in bands for level in self.levels]
        else:
            head = [*self.keys, *(self._head(level, self.frame, counted=not counts) for level in self.levels)]
            ordered = [(band, key) for band in bands for key in ([_COUNTED] if counts else []) + keys]
            lines = [(band, key, [(band, key, level) for level in self.levels]) for band, key in ordered]
        lines = [line for line in lines if line[1] == _COUNTED or any(name in found for name in line[2])]
        first = 1 if turned else len(self.keys)
        marks = {
            (i, j): mark
            for i, (_, _, names) in enumerate(lines)
            for j, name in enumerate(names, start=first)
            if name in found and (mark := self._mark(found[name]))
        }
        rows = []
        for band, begin, names in lines:
            if begin == _COUNTED:
                rows.append(counts[band])
            elif turned:
                here = frame[frame["_place"] == band]
                rows.append([self._head(begin[0], here), *self._cells(names, found)])
            else:
                rows.append([*begin, *self._cells(names, found)])
        return Table(
            f"{self.result.caption}{f', by {part}' if part else ''}: {self.value.title}{self._unit()}",
            head,
            rows,
            self._notes(bool(marks)),
            marks=marks,
            owners=[] if turned else self._owners(begin for _, begin, _ in lines),
            name="-".join(filter(None, (self.result.key, part.replace(" ", "_"), self.value.column))),
            constants=self._constants(),
            bands=[band for band, *_ in lines] if len(bands) > 1 else [],
            band=band_name(self.places) if len(bands) > 1 else "",
        )

    def _owners(self, begins: Iterable[tuple[str, ...]]) -> list[str]:
        """The method of each row; "" of a row of counts."""
        method = self.keys.index("method")
        return ["" if begin == _COUNTED else begin[method] for begin in begins]

    def _counts(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """By place a row of how many images or objects each group holds there, from least to most where methods differ
        in it; none where the heads say it, since it is the same at all places.
        """
        column, groups = self._counted(), frame[self.layout.columns].astype(str)
        if not column or all(frame[column][groups == v].nunique() == 1 for v in self.levels):
            return {}
        held = frame.groupby(["_place", groups], sort=False)[column].agg(["min", "max"]).astype(int).astype(str)
        shown = {name: "-".join(dict.fromkeys(ends)) for name, *ends in held.itertuples()}
        begin = [column, *[""] * (len(self.keys) - 1)]
        return {band: [*begin, *(shown.get((band, v), "–") for v in self.levels)] for band in frame["_place"].unique()}

    def _counted(self) -> str:
        """What a group is counted in, of the columns that the rows have."""
        known = (c for c in ("images", "objects") if c in self.frame and self.frame[c].notna().all())
        return next(known, "")

    def _key(self, row: Row) -> tuple[str, ...]:
        return tuple("–" if row[k] == "" else str(row[k]) for k in self.keys)

    def _mark(self, row: Row) -> Mark | None:
        return WORDS.get(str(row.get(self.value.verdict))) if self.value.verdict else None

    def _cells(self, names: Sequence[Name], found: Mapping[Name, Row]) -> list[str]:
        return [self._shown(found.get(name)) for name in names]

    def _shown(self, row: Row | None) -> str:
        if row is None:
            return "–"
        number = float(row[self.value.column])
        if not np.isfinite(number):
            few = row.get("too_few")
            if isinstance(few, str) and few:
                return f"– ({few})"
            return f"– ({int(row[self.layout.fewest])})" if self.layout.fewest in row else "n/a"
        text = (signed if self.value.signed else rounded)(self.scale * number, self.digits)
        half = float(row.get(self.value.half, np.nan)) if self.value.half else np.nan
        return text if np.isnan(half) else f"{text} ± {self.scale * half:.{self.digits}f}"

    def _head(self, level: str, frame: pd.DataFrame, *, counted: bool = True) -> str:
        """A group's name, with what of it is the same in all rows of the frame: its mean aspect ratio, its images or
        objects (if they are `counted` here).
        """
        here = (frame[self.layout.columns].astype(str) == level).to_numpy()
        told = []
        if "aspect_ratio" in frame and frame.aspect_ratio[here].nunique() == 1:
            told.append(f"aspect ratio {frame.aspect_ratio[here].iloc[0]:.1f}")
        column = self._counted()
        if counted and column and frame[column][here].nunique() == 1:
            count = int(frame[column][here].iloc[0])
            return f"{level} ({', '.join([*told, f'{count} {column if count != 1 else column[:-1]}'])})"
        return level.replace("_", " ") if self.layout.columns == "factor" else level

    def _unit(self) -> str:
        unit = self.result.units.get(self.value.column, "")
        unit = HUNDREDTHS.get(unit, "" if unit in ("1", "Spearman", "IoU") else unit)
        if not unit and "unit" in self.constant:
            unit = self.constant["unit"].removeprefix("In ").removesuffix(".")
        return f", {unit}" if unit else ""

    def _constants(self) -> list[str]:
        """What is the same for the whole table."""
        known = (*PLACES, "baseline", "pair", "n") if self.value.signed else (*PLACES, "n")
        told = [self.constant[k] for k in known if k in self.constant]
        if "n" in self.frame:
            seeds = self.frame[self.frame.n.astype(float) > 0].groupby("method", sort=False).n.max()
            told.append(seeds_note({str(m): float(n) for m, n in seeds.items()}))
        half = self.frame.get(self.value.half)
        return told if half is None or not half.notna().any() else [*told, *self._population()]

    def _notes(self, marked: bool) -> list[str]:
        """What stands below the table: its verdicts, and the groups of which it has no number."""
        unknown = ", ".join(self._head(level, self.frame) for level in self.unknown)
        return [*self._verdicts(marked), *([f"No number for any method: {unknown}."] if unknown else [])]

    def _verdicts(self, marked: bool) -> list[str]:
        if self.value.verdict and self.value.verdict in self.frame:
            seeds = self.result.frame.get("n")
            if seeds is not None and not marked and bool((seeds.fillna(0) < LEAST_SEEDS).all()):
                return ["With fewer than three seeds no verdict can rest on an interval.", *self.result.notes]
            what = "Marked: resolved" if marked else "Nothing here is resolved"
            return [f"{what} after Holm's correction over {self.value.family}.", *self.result.notes]
        return list(self.result.notes)

    def _population(self) -> list[str]:
        """For whom the intervals speak: for most of them, and what speaks for others."""
        own = f"{self.value.column}_population"
        column = own if own in self.asked else "population"
        if column not in self.asked:
            return [interval_note(self.result.population or SEEDS)]
        told = self.asked[self.asked[self.value.half].notna()]
        words = told[column].fillna("")
        words = words.where(words != "", told.get("population", "")).rename("words")
        told = told.assign(words=words, place=short_places(told, self.places))
        told = told[told.words.fillna("") != ""]
        if told.empty:
            return []
        most = str(told.words.value_counts(sort=True).index[0])
        others = [w for w in dict.fromkeys(told.words) if w != most]
        parts = [f"{', '.join(self._named(told, str(w)))}: {w}" for w in others]
        return ["; ".join([interval_note(most).removesuffix("."), *parts]) + "."]

    def _named(self, told: pd.DataFrame, words: str) -> Iterator[str]:
        """Which intervals speak for these: "dense on bccd", "dense" where it is so everywhere, "bccd" where all do."""
        column, left = self.layout.columns, told[told.words == words]
        for place in dict.fromkeys(left.place):
            if place and (told[told.place == place].words == words).all():
                yield place
                left = left[left.place != place]
        for level in (v for v in self.levels if v in set(left[column].astype(str))):
            here = told[told[column].astype(str) == level]
            if (here.words == words).all():
                yield level
                continue
            for place, mine in here[here.words == words].groupby("place", sort=False):
                every = here[here.place == place]
                who = "" if len(every) == len(mine) else f" of {', '.join(dict.fromkeys(mine.method))}"
                yield f"{level}{who}{f' on {place}' if place else ''}"
