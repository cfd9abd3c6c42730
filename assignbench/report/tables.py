"""Tables as the report prints them: strings in cells, one header row. How they are written down, `render` says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from assignbench.analysis.averages import METRICS
from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.power import smallest_told
from assignbench.analysis.result import SEEDS, Result
from assignbench.analysis.verdicts import NOT_COMPARED
from assignbench.report.numbers import (
    ONE_SEED,
    PRINTED,
    all_decimals,
    cell_of,
    decimals,
    difference,
    digits_of,
    is_number,
    percent,
)

INTERVAL = " ± "
BESIDE = " · "  # between a method and its baseline, over one column
# Units whose numbers lie in 0..1 and are printed times 100; all others are printed as they are.
HUNDREDTHS = {"share": "per cent", "AP": "points"}
_NUMBER = re.compile(r"[+-]?\d[\d.]*†?( ± [\d.]+)?( \(n=.*\))?|n/a")
Place = tuple[str, str]  # data set and detector
# What identifies a row stands first: the paper's name of it, else the method, which stays where a table scrolls.
KEYS = ("entry", "method", "data", "detector", "baseline", "pair")
PLACES = ("detector", "data")
# What the rows of a table are grouped by where that is more than their place.
BANDS: Mapping[str, tuple[str, ...]] = {
    "claims.tests": ("claim",),
    "claims.p": ("claim",),
    "levels": (*PLACES, "size"),
    "anchors": (*PLACES, "anchor"),
}
OF_METHODS = ("configuration.entries",)  # Results whose columns are methods, by their names
TALL = 24  # rows from which on only the first place of a table is open
PLACE_BANDS = ("detector", "data", "detector, data")
Mark = Literal["up", "down", "best"]
DECIDED: Mapping[str, Mark] = {"higher": "up", "supported": "up", "lower": "down", "contradicted": "down"}
UNPRINTED = ("1", "1e6", "1e9", "1/s")  # units that a heading does not repeat: the name says them


@dataclass(frozen=True)
class Table:
    """A caption, a header, rows of printable cells, and notes below: plain text, escaped by whoever renders it.

    `marks`: the cells that stand out, by row and column: "up" and "down" are resolved differences, "best" is the
    highest where it is resolvably above the second. `owners`: the method of each row, none where rows are no methods.
    `constants`: what is the same in all its rows, which stands with the caption. `bands`: per row what stands once
    above it and its neighbours, a detector or a claim, and `band` what these are; rows of one band lie together.
    `name`: the stem of its files, and `data` what its CSV holds, without which it is what is printed. `headline`: its
    verdicts are those of the study.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    headline: bool = False
    marks: Mapping[tuple[int, int], Mark] = field(default_factory=dict)
    owners: Sequence[str] = ()
    name: str = ""
    constants: list[str] = field(default_factory=list)
    bands: Sequence[str] = ()
    band: str = ""
    data: pd.DataFrame | None = field(default=None, compare=False)

    def mark(self, row: int, column: int) -> Mark | None:
        """How a cell stands out, if it does: as `marks` says, or as a decided verdict of the headline."""
        if self.headline and self.header[column].startswith("verdict"):
            return DECIDED.get(self.rows[row][column])
        return self.marks.get((row, column))

    @property
    def parts(self) -> Iterator[tuple[str, list[int]]]:
        """Its bands with the numbers of their rows, in order; one of the name "" where it has none."""
        found: dict[str, list[int]] = {}
        for line in range(len(self.rows)):
            found.setdefault(self.bands[line] if self.bands else "", []).append(line)
        yield from found.items()

    @property
    def open_parts(self) -> list[tuple[str, list[int]]]:
        """The parts that everybody sees: all, or of a tall table with several places the first."""
        return list(self.parts)[: 1 if self._is_tall else None]

    @property
    def folded_parts(self) -> list[tuple[str, list[int]]]:
        """The parts that are folded away."""
        return list(self.parts)[1:] if self._is_tall else []

    def columns_of(self, lines: Sequence[int]) -> list[int]:
        """The columns of a part: of a tall table less those of which it has no value, such as methods elsewhere."""
        every = range(len(self.header))
        return [k for k in every if not self._is_tall or any(self.rows[line][k] != "–" for line in lines)]

    @property
    def _is_tall(self) -> bool:
        return len(self.rows) > TALL and self.band in PLACE_BANDS

    @property
    def said(self) -> list[str]:
        """All sentences that stand with it."""
        return [*self.constants, *self.notes]

    @property
    def has_intervals(self) -> bool:
        """Whether half-widths stand in it, behind ± or in columns of their own."""
        inside = any(INTERVAL in cell for row in self.rows for cell in row)
        return inside or any(h == "half" or h.endswith(" half") for h in self.header)

    @cached_property
    def numeric(self) -> list[bool]:
        """Per column whether it holds numbers, which stand to the right; texts stand to the left."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.header)
        return [any(_NUMBER.fullmatch(c) for c in column) for column in columns]


def average_tables(
    averages: pd.DataFrame,
    methods: Sequence[str],
    lost: Mapping[Place, Mapping[str, str]] | None = None,
    split: str = "test",
) -> list[Table]:
    """One table per data set and detector: a row per method.

    `lost`: by data set and detector the methods without any number and what became of their cells, e.g. "failed".
    """
    tables = []
    groups = {place: group for place, group in averages.groupby(["data", "detector"], sort=False)}
    for (data, detector), group in groups.items():
        metrics = [m for m in METRICS if m in set(group.metric)]
        wide = {(r.method, r.metric): r for r in group.itertuples(index=False)}
        voc = ", VOC2007 11-point AP as AP07" if "AP07" in metrics else ""
        header = ["method", *metrics, f"Δ{metrics[0]}", "to"]
        gone = (lost or {}).get((data, detector), {})
        mixed = (group.n < 2).nunique() > 1
        rows: list[list[str]] = []
        marks: dict[tuple[int, int], Mark] = {}
        for method in methods:
            cells = [wide.get((method, m)) for m in metrics]
            if not any(cells):
                if method in gone:
                    rows.append([method, *[gone[method]] * len(metrics), "–", "–"])
                continue
            shown = [percent(c.mean, c.half, marked=mixed and c.n < 2) if c else "n/a" for c in cells]
            first = cells[0]
            gain = difference(first.delta, first.delta_half, first.delta_n) if first else "–"
            for column, cell in enumerate(cells, start=1):
                if cell and getattr(cell, "leads", False):
                    marks[len(rows), column] = "best"
            rows.append([method, *shown, gain, compared_to(first.baseline, first.pair) if first else "–"])
        caption = f"{detector} on {data}, {split} split: COCO AP{voc} in points"
        owners = [row[0] for row in rows]
        notes = _average_notes(group, mixed=mixed)
        seeds = [seeds_note(dict(zip(group.method, group.n, strict=True)))]
        tables.append(Table(caption, header, rows, notes, marks=marks, owners=owners, constants=seeds, data=group))
    for (data, detector), gone in (lost or {}).items():
        if (data, detector) not in groups:
            caption = f"{detector} on {data}, {split} split: COCO AP in points"
            tables.append(Table(caption, ["method", "AP"], [[method, state] for method, state in gone.items()]))
    return tables


def seeds_note(seeds: Mapping[str, float]) -> str:
    """On how many seeds a table's rows rest, by method: one number where it is the same for all."""
    counts = {name: int(n) for name, n in seeds.items() if np.isfinite(n)}
    if len(set(counts.values())) < 2:
        return f"n: {_count_of_seeds(next(iter(counts.values()), 0))}."
    return f"n: {', '.join(f'{_count_of_seeds(n)} of {name}' for name, n in counts.items())}."


def _count_of_seeds(count: int) -> str:
    return f"{count or 'no'} seed{'s' * (count > 1)}{' yet' * (not count)}"


def compared_to(baseline: str, pair: str) -> str:
    """The baseline's name, marked where the pair differs in more than the assigner."""
    if not baseline:
        return "–"
    return f"{baseline} (recipe)" if pair == "recipe" else baseline


def _average_notes(group: pd.DataFrame, *, mixed: bool) -> list[str]:
    notes = []
    if "leads" in group and bool(group.leads.any()):
        notes.append("Bold: resolvably above the second, after correction.")
    if bool((group.pair == "recipe").any()):
        notes.append("recipe: the pair differs in more than the assigner; the first section says in which parts.")
    if bool((group.n < 2).any()):
        who = f"{ONE_SEED} one seed: " if mixed else ""
        notes.append(f"{who}± is for other test images, these models; no verdict can rest on it.")
    told = group[group.reason != ""].drop_duplicates("method")
    notes += [f"Δ of {r.method} to {r.baseline} is not testable: {r.reason}." for r in told.itertuples()]
    gains = group[(group.metric == group.metric.iloc[0]) & (group.delta_n >= LEAST_SEEDS)]
    if len(gains):
        notes += [
            smallest_told(gains.detectable, gains.detectable_corrected, str(gains.metric.iloc[0])),
        ]
    else:
        notes.append("Fewer than three seeds: this study cannot resolve any difference between methods.")
    if bool((group.half.notna() & (group.n > 1)).any()):
        notes.append(
            "± of a method: for other seeds, on these test images; of Δ: for other seeds and other test images."
        )
    return notes


def result_table(result: Result, places: Sequence[tuple[str, str]] = ()) -> Table:
    """A Result in print: averaged over `seed` if it has one row per cell; units as the Result states them.

    A study with one place (data set and detector) is not told its name in every row, nor is anything else that is the
    same in all rows: the notes have it.
    """
    frame = over_seeds(result.frame) if "seed" in result.frame else result.frame
    if len(places) == 1:
        frame = frame.drop(columns=[c for c in ("data", "detector") if c in frame])
    frame, constant = without_constants(frame)
    first = [c for c in KEYS if c in frame] if "method" in frame else []
    ordered = frame[[*first, *(c for c in frame if c not in first)]]
    ordered, bands, band = banded(ordered, BANDS.get(result.key, ()))
    table = tidy_table(result.caption, ordered, result.units, result.notes)
    table = replace(table, constants=list(constant.values()), bands=bands, band=band)
    if result.key in OF_METHODS:
        names = {_heading(str(c), ""): str(c) for c in ordered}
        table = replace(table, header=[names.get(head, head) for head in table.header])
    population = result.population or (SEEDS if "seed" in result.frame else "")
    if population and table.has_intervals:
        table.constants.append(interval_note(population))
    owners = [str(m) for m in ordered.method] if "method" in ordered else []
    return replace(table, owners=owners, name=result.key, data=result.frame)


def banded(frame: pd.DataFrame, by: Sequence[str] = ()) -> tuple[pd.DataFrame, list[str], str]:
    """The frame without the columns that group its rows, the band of each row, and what the bands are.

    By default rows are grouped by their place where every place has its rows together, so that none changes its place
    in an order that means something; rows that are grouped `by` something else are put together.
    """
    columns = [c for c in by or PLACES if c in frame]
    if not columns or len(frame) < 2:
        return frame, [], ""
    bands = place_names(frame, columns)
    order = {band: number for number, band in enumerate(dict.fromkeys(bands))}
    numbers = [order[band] for band in bands]
    if len(order) == len(frame) or "" in order or (not by and numbers != sorted(numbers)):
        return frame, [], ""
    lines = sorted(range(len(frame)), key=numbers.__getitem__)
    return frame.iloc[lines].drop(columns=columns), [bands[line] for line in lines], band_name(columns)


def place_names(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Per row what these of its columns say; "" where one says nothing."""
    told = [[_level(column, str(value)) for value in frame[column].fillna("")] for column in columns]
    return [", ".join(row) if all(row) else "" for row in zip(*told, strict=True)]


def short_places(frame: pd.DataFrame, columns: Sequence[str] = PLACES) -> list[str]:
    """The place of every row within a sentence: its data set, with the detector where there are several on it."""
    if set(columns) != set(PLACES):
        return place_names(frame, columns) if columns else [""] * len(frame)
    several = frame.groupby("data", sort=False).detector.transform("nunique") > 1
    told = zip(frame.data, frame.detector, several, strict=True)
    return [f"{data} with {detector}" if many else str(data) for data, detector, many in told]


def _level(column: str, value: str) -> str:
    """A value that says what it is of: a number alone does not."""
    return f"{column.replace('_', ' ')} {value}" if value.replace(".", "", 1).isdigit() else value


def band_name(columns: Sequence[str]) -> str:
    """What a band is of which these columns say the name."""
    return ", ".join(c.replace("_", " ") for c in columns)


def interval_note(population: str) -> str:
    """For whom the intervals of a table speak."""
    return f"±: half of the 95 % interval for {population}."


def without_constants(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The columns that differ between rows, and sentences on those of `CONSTANTS` that do not, by column.

    A text that some rows lack (a baseline has none itself) is the same in all rows that have one.
    """
    told: dict[str, str] = {}
    for column, words in CONSTANTS.items():
        if column not in frame or len(frame) < 2:
            continue
        if _speaks_for_nobody(frame, column):
            told[column] = ""  # no interval, nobody that it speaks for
            continue
        known = _said(frame[column])
        if len(set(known)) == 1 and (column in PARTIAL or len(known) == len(frame)):
            told[column] = words(known[0])
    return frame.drop(columns=list(told)), {column: words for column, words in told.items() if words}


def _speaks_for_nobody(frame: pd.DataFrame, column: str) -> bool:
    """Whether a column says for whom intervals speak of which none is a number, as with one seed."""
    if not column.endswith("population"):
        return False
    of = f"{column.removesuffix('population')}half"  # of one number: gain_population of gain_half
    halves = [c for c in frame if (c == of if of != "half" else c == "half" or str(c).endswith("_half"))]
    return bool(halves) and not frame[halves].notna().to_numpy().any()


def _seeds(value: object) -> str:
    return seeds_note({"all": float(str(value))})


CONSTANTS: Mapping[str, Callable[[Any], str]] = {
    "data": lambda v: f"Data: {v}.",
    "detector": lambda v: f"Detector: {v}.",
    "n": _seeds,
    "population": interval_note,
    "baseline": lambda v: f"Compared with {v}.",
    "pair": lambda v: {"assigner": "Pairs differ in the assigner alone."}.get(v, f"pair: {v}."),
    "unit": lambda v: f"In {v}.",
    "kind": lambda v: f"NMS: {v}.",
    "pareto": lambda v: "" if v == NOT_COMPARED else f"pareto: {v}.",  # of which the notes say why
    "gain_population": lambda v: f"± of gains: for {v}.",
    "difference_population": lambda v: f"± of differences: for {v}.",
    "gain_n": lambda v: f"n of gains: {v} seeds.",
    "difference_n": lambda v: f"n of differences: {v} seeds.",
}
PARTIAL = ("baseline", "pair", "gain_population", "difference_population", "gain_n", "difference_n")


def tidy_table(
    caption: str, frame: pd.DataFrame, units: Mapping[str, str] | None = None, notes: Sequence[str] = ()
) -> Table:
    """A tidy table in print: X and X_half become "X ± half", shares become per cent, numbers of seeds are kept.

    Columns without a single value are left out; a relative size of an interval is never hidden.
    """
    units = units or {}
    shown = frame.loc[:, [not _is_empty(frame[c]) for c in frame]]
    # The mean of a property of the data (the middle of a group) does not vary over seeds: no interval.
    fixed = [c for c in shown.columns if str(c).endswith("_half") and float(shown[c].abs().max()) < 1e-9]
    shown = shown.drop(columns=[c for c in fixed if units.get(str(c).removesuffix("_half")) not in HUNDREDTHS])
    paired = {c.removesuffix("_half") for c in shown.columns if str(c).endswith("_half")} & set(shown.columns)
    columns = [c for c in shown.columns if str(c).removesuffix("_half") not in paired or c in paired]
    scaled = {c for c in columns if units.get(c) in HUNDREDTHS and pd.api.types.is_float_dtype(shown[c])}
    if "difference" in scaled and "half" in shown:
        scaled.add("half")
    rows = []
    # A text without value is none ("–"), a number without value could not be measured ("n/a").
    missing = {c: "n/a" if pd.api.types.is_numeric_dtype(shown[c]) else "–" for c in columns}
    mixed = "unit" in shown  # numbers of several units in one column
    digits = {c: digits_of(str(c), shown, c in scaled, c in paired) for c in columns}
    for row in shown.to_dict("records"):
        line = []
        for c in columns:
            scale, places = 100.0 if c in scaled else 1.0, digits[c]
            if is_number(row[c]) and str(c).endswith(PRINTED):
                places = all_decimals(scale * float(row[c]), least=int(c in scaled))
            elif is_number(row[c]) and mixed and places:
                places = decimals(abs(float(row[c])))
            line.append(cell_of(row, c, scale, c in paired, missing[c], places))
        rows.append(line)
    told = list(notes)
    for unit, words in HUNDREDTHS.items():
        named = [
            str(c).replace("_", " ") for c in columns if c in scaled and units.get(c, units.get("difference")) == unit
        ]
        if named:
            told.append(f"In {words}: {', '.join(named)}.")
    if "n" in columns and bool((shown.n < LEAST_SEEDS).any()):
        told.append(f"n < {LEAST_SEEDS}: no verdict can rest on it.")
    return Table(caption, [_heading(str(c), units.get(c, "")) for c in columns], rows, told)


def _heading(column: str, unit: str) -> str:
    """The column's name, with the unit where the name does not end with it and it is not one of the hundredths."""
    name = column.replace("_", " ")
    if not unit or unit in HUNDREDTHS or unit in UNPRINTED or unit.lower() in name.lower().split(" "):
        return name
    return f"{name} ({unit})"


def _is_empty(values: pd.Series) -> bool:
    """Whether a column says nothing in any row."""
    return len(values) > 0 and not _said(values)


def _said(values: pd.Series) -> list[Any]:
    """What a column says in those rows in which it says anything."""
    there = values.notna().tolist()
    return [value for value, known in zip(values.tolist(), there, strict=True) if known and not _blank(value)]


def _blank(value: object) -> bool:
    """Whether this is a text of nothing."""
    return isinstance(value, str) and not value


def without_empty_columns(table: Table) -> Table:
    """A table less the columns in which no row says anything."""
    kept = [k for k in range(len(table.header)) if not table.rows or any(row[k] for row in table.rows)]
    new = {old: place for place, old in enumerate(kept)}
    return replace(
        table,
        header=[table.header[k] for k in kept],
        rows=[[row[k] for k in kept] for row in table.rows],
        marks={(line, new[k]): mark for (line, k), mark in table.marks.items() if k in new},
    )
