"""What the tables of a page state, as facts that can be held against each other: two tables that name the same number
have stated the same fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assignbench.analysis.claim_forms import Claim, grouped_factor, parse, unit_of
from assignbench.analysis.result import Result
from assignbench.analysis.verdicts import NOT_TESTABLE
from assignbench.measure.groups import CROWDING

Name = tuple[str, ...]
HUNDRED = 100.0  # facts are in the numbers that are printed: points, per cent
SIZES = {"small": "s", "medium": "m", "large": "l"}  # COCO's areas in the table by area, and in names of measures
LEADS = {"crowdedness.image": "crowdedness", "crowdedness.per_image": "objects_in_image"}


@dataclass(frozen=True)
class Fact:
    """A number and what it is: quantity, measure or group, and the keys that identify it; `where` is its table.

    `n`: the seeds that it is a mean of, NaN where the table does not say. `half`: of its interval, NaN without one;
    `population`: for whom that speaks, "" where the table does not say.
    """

    name: Name
    value: float
    where: str
    n: float = float("nan")
    half: float = float("nan")
    population: str = ""


Facts = Iterator[Fact]
Reader = Callable[[Result], Facts]


def facts_of(results: Sequence[Result], *, coco_areas: bool = True) -> list[Fact]:
    """All facts that the tables of the package's analyses state; those of others are not known.

    `coco_areas`: whether "small", "medium" and "large" are COCO's, or areas of the study's own.
    """
    readers = dict(READERS) if coco_areas else {k: r for k, r in READERS.items() if k != "size"}
    found = [f for r in results if r.key in readers and len(r.frame) for f in readers[r.key](r)]
    return [f for f in found if np.isfinite(f.value)]


def _rows(result: Result) -> Iterator[pd.Series]:
    for _, row in result.frame.iterrows():
        yield row


def _place(row: pd.Series) -> Name:
    return (str(row["data"]), str(row["detector"]), str(row["method"]))


def _value(measure: str, row: pd.Series, column: str, where: str, scale: float = HUNDRED) -> Fact:
    """A method's own number; its interval where the row says for whom it speaks. Those over seeds alone, of `averages`
    and of tables with a row per cell, are Student's t over a method's own seeds: other ones.
    """
    spoken_for = _population(row, "")
    half = scale * float(row.get(f"{column}_half", np.nan)) if spoken_for else float("nan")
    n = float(row.get("n", np.nan))
    return Fact(("value of", measure, *_place(row)), scale * float(row[column]), where, n, half, spoken_for)


def _gain(measure: str, row: pd.Series, column: str, where: str, half: str = "", n: str = "n") -> Fact:
    """A paired difference to the row's baseline; `half`: the column of its interval."""
    reach = HUNDRED * float(row.get(half, np.nan)) if half else float("nan")
    name = ("gain in", measure, *_place(row), str(row["baseline"]))
    return Fact(name, HUNDRED * float(row[column]), where, _seeds(row, n), reach, _population(row, column))


def _population(row: pd.Series, column: str) -> str:
    """For whom the interval of a column speaks: as a column of its own says, or that of the row."""
    told = row.get(f"{column}_population", row.get("population", ""))
    return told if isinstance(told, str) else ""


def _seeds(row: pd.Series, n: str) -> float:
    """How many seeds a gain rests on, where a column of its own says so or the row's n does."""
    return float(row["gain_n"] if "gain_n" in row else row.get(n, np.nan))


def _has_gain(row: pd.Series, column: str) -> bool:
    """Whether a row is compared with a baseline; no row has the column where no pair has both sides."""
    return column in row and isinstance(row.get("baseline"), str) and row["baseline"] != ""


def _averages(result: Result) -> Facts:
    for row in _rows(result):
        yield _value(str(row["metric"]), row, "mean", result.caption)
        if _has_gain(row, "delta"):
            yield _gain(str(row["metric"]), row, "delta", result.caption, "delta_half", "delta_n")
    yield from _means_over_places("mean of", result.frame, "mean", ("method",), result.caption)


def _cells(result: Result) -> Facts:
    """Values of single cells, whose means the other tables hold."""
    grouped = result.frame.groupby(["data", "detector", "method", "metric"], sort=False).value
    for row in grouped.agg(["mean", "count"]).reset_index().to_dict("records"):
        name = ("value of", row["metric"], row["data"], row["detector"], row["method"])
        yield Fact(name, HUNDRED * row["mean"], result.caption, float(row["count"]))


def _differences(result: Result) -> Facts:
    for row in _rows(result):
        yield _gain(str(row["metric"]), row, "difference", result.caption, "half")
    sides = ("method", "baseline")
    yield from _means_over_places("mean gain in", result.frame, "difference", sides, result.caption)


def _printed(result: Result) -> Facts:
    """Ours beside a paper's numbers, which its tables print as they are here but for their unit."""
    for row in _rows(result):
        scale = HUNDRED if row["scale"] == HUNDRED else 1.0
        yield _value(str(row["measure"]), row, "value", f"table {row['table']}", scale)


def _values(measures: Mapping[str, str], only: Mapping[str, str] | None = None, scale: float = HUNDRED) -> Reader:
    """A reader of columns that hold measures, of the rows with the texts of `only`."""

    def read(result: Result) -> Facts:
        for row in _rows(result):
            if all(row[column] == text for column, text in (only or {}).items()):
                for column, measure in measures.items():
                    yield _value(measure, row, column, result.caption, scale)

    return read


def _by_group(measure_of: Callable[[str], str]) -> Reader:
    """A reader of a table by group whose groups are measures of their own (AP of crowded objects: AP_dense)."""

    def read(result: Result) -> Facts:
        for row in _rows(result):
            measure = measure_of(str(row["group"]))
            if measure:
                yield _value(measure, row, "AP", result.caption)
                if _has_gain(row, "gain"):
                    yield _gain(measure, row, "gain", result.caption, "gain_half")

    return read


def _metrics(result: Result) -> Facts:
    """Every measure with its interval."""
    for row in _rows(result):
        yield _value(str(row["measure"]), row, "value", result.caption)
        if _has_gain(row, "difference"):
            n = "difference_n" if "difference_n" in row else "n"
            yield _gain(str(row["measure"]), row, "difference", result.caption, "difference_half", n)


def _classes(result: Result) -> Facts:
    """AP class by class, which the table by category has too."""
    for row in _rows(result):
        measure = f"AP[{row['class']}]"
        yield _value(measure, row, "AP", result.caption)
        if _has_gain(row, "difference"):
            n = "difference_n" if "difference_n" in row else "n"
            yield _gain(measure, row, "difference", result.caption, "half", n)


def _over_places(quantity: str, column: str) -> Reader:
    """A reader of means over places: of a gain by method and baseline, of a value by method."""

    def read(result: Result) -> Facts:
        for row in _rows(result):
            if column in row and np.isfinite(row[column]):
                sides = [str(row[k]) for k in ("method", "baseline") if k in row]
                name = (quantity, str(row["metric"]), *sides, f"{int(row['places'])} places")
                yield Fact(name, HUNDRED * float(row[column]), result.caption)

    return read


def _means_over_places(quantity: str, frame: pd.DataFrame, column: str, sides: Sequence[str], where: str) -> Facts:
    """The same means, from a table that has the places one by one."""
    known = frame[frame[column].notna()]
    for keys, group in known.groupby(["metric", *sides], sort=False)[column]:
        name = (quantity, *map(str, keys), f"{len(group)} places")
        yield Fact(name, HUNDRED * float(group.mean()), f"{where} (mean over places)")


def _recall(result: Result) -> Facts:
    for column in (c for c in result.frame if str(c).startswith("AR") and not str(c).endswith("_half")):
        yield from _values({str(column): str(column)})(result)


def _group_gain(factor: str, row: pd.Series, value: float, half: float, where: str) -> Fact:
    name = ("gain by group of", factor, *_place(row), str(row["baseline"]), str(row["group"]))
    return Fact(name, value, where, _seeds(row, "n"), half, _population(row, "gain"))


def _relative(result: Result) -> Facts:
    """Gains by group of images, relative to the baseline, as trends over images are."""
    for row in _rows(result):
        if _has_gain(row, "relative_gain"):
            half = HUNDRED * float(row["relative_gain_half"])
            gain = HUNDRED * float(row["relative_gain"])
            yield _group_gain(LEADS[result.key], row, gain, half, result.caption)


def _slender(result: Result) -> Facts:
    for row in _rows(result):
        if _has_gain(row, "gain"):
            gain, half = HUNDRED * float(row["gain"]), HUNDRED * float(row["gain_half"])
            yield _group_gain("aspect_ratio", row, gain, half, result.caption)


def _factor_groups(result: Result) -> Facts:
    for row in _rows(result):
        yield _group_gain(str(row["factor"]), row, float(row["gain"]), float(row["gain_half"]), result.caption)


def slope_name(factor: str, row: pd.Series) -> Name:
    """What the slope of a gain over a factor's groups is called."""
    return ("slope over", factor, *_place(row), str(row["baseline"]))


def _factors(result: Result) -> Facts:
    for row in _rows(result):
        name = slope_name(str(row["factor"]), row)
        yield Fact(name, float(row["slope"]), result.caption, float(row["n"]), float(row["half"]))


def _categories(result: Result) -> Facts:
    """AP is the mean over the classes, and so is its gain."""
    for row in _rows(result):
        measure = f"AP[{row['category']}]"
        yield _value(measure, row, "AP", result.caption)
        yield _gain(measure, row, "gain", result.caption)
    keys = ["data", "detector", "method", "baseline"]
    for _, group in result.frame.groupby(keys, sort=False):
        first, where = group.iloc[0], f"{result.caption} (mean over classes)"
        mean = first.copy()
        mean["gain"], mean["n"] = group.gain.mean(skipna=False), np.nan
        yield _gain("AP", mean, "gain", where)


def _predicts(result: Result) -> Facts:
    for row in _rows(result):
        name = ("correlation of divergence with", "AP", str(row["data"]), str(row["detector"]))
        yield Fact(name, float(row["correlation"]), result.caption)


def line_name(factor: str, row: pd.Series) -> Name:
    """What the slope of a gain over categories is called."""
    return ("slope over categories of", factor, *_place(row), str(row["baseline"]))


def _lines(result: Result) -> Facts:
    for row in _rows(result):
        name = line_name("aspect_ratio", row)
        half = HUNDRED * float(row["slope_half"])
        yield Fact(name, HUNDRED * float(row["slope"]), result.caption, float(row["n"]), half)


def _claims(result: Result) -> Facts:
    for row in _rows(result):
        claim = parse(str(row["claim"]))
        if row["verdict"] != NOT_TESTABLE:
            name = _CLAIMED[claim.kind](claim, row)
            if name:
                yield Fact(name, float(row["value"]), result.caption, float(row["n"]), float(row["half"]))


def _claimed_gain(claim: Claim, row: pd.Series) -> Name:
    return ("gain in", claim.measure, *_place(row), str(row["baseline"])) if unit_of(claim)[0] == HUNDRED else ()


def _claimed_slope(claim: Claim, row: pd.Series) -> Name:
    return slope_name(claim.factor, row) if grouped_factor(claim) else ()


def _unstated(claim: Claim, row: pd.Series) -> Name:
    """What no other table states: the room below a bound, the distance from a level."""
    return ()


def _claimed_line(claim: Claim, row: pd.Series) -> Name:
    return () if claim.relative else line_name(claim.factor, row)


def _claimed_gains(claim: Claim, row: pd.Series) -> Name:
    return ("gain in", f"{claim.measure} less {claim.second}", *_place(row), str(row["baseline"]))


def _claimed_correlation(claim: Claim, row: pd.Series) -> Name:
    return ("correlation of divergence with", claim.measure, str(row["data"]), str(row["detector"]))


_CLAIMED: Mapping[str, Callable[[Claim, pd.Series], Name]] = {
    "greater": _claimed_gain,
    "equal": _unstated,
    "level": _unstated,
    "fails": _unstated,
    "trend": _claimed_slope,
    "categories": _claimed_line,
    "gains": _claimed_gains,
    "divergence": _claimed_correlation,
}


def _crowded(group: str) -> str:
    return f"AP_{group}" if group in CROWDING.names else ""


READERS: Mapping[str, Reader] = {
    "averages": _averages,
    "averages.cells": _cells,
    "differences": _differences,
    "classes": _classes,
    "summary": _over_places("mean gain in", "gain"),
    "summary.methods": _over_places("mean of", "mean"),
    "printed.numbers": _printed,
    "printed.across": _differences,
    "claims.tests": _claims,
    "metrics": _metrics,
    "size": _by_group(lambda group: f"AP{SIZES[group]}" if group in SIZES else ""),
    "size.recall": _recall,
    "crowdedness": _by_group(_crowded),
    "crowdedness.image": _relative,
    "crowdedness.per_image": _relative,
    "aspect_ratio": _slender,
    "aspect_ratio.categories": _categories,
    "aspect_ratio.lines": _lines,
    "factors": _factors,
    "factors.groups": _factor_groups,
    "divergence": _values({"spearman_rank": "spearman", "spearman_cls": "spearman_cls"}, {"candidates": "J_k"}, 1.0),
    "divergence.predicts": _predicts,
    "nms": _values({"NR": "NR"}, {"reading": "coverage"}),
    "nms.oracle": _values({"AP": "AP", "AP_replay": "AP_replay"}),
    "quality.oracle": _values({"AP": "AP", "AP_replay": "AP_replay"}),
    "cost": _values({"AP": "AP"}),
    "cost.test": _values({"AP": "AP"}),
}
