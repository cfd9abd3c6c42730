"""The papers' own tables, laid out as they are printed: ours, published, and the difference where there may be one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis import measures
from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.intervals import Interval, t_interval
from assignbench.analysis.pairs import Pair, estimated, pair_across
from assignbench.analysis.parts import Key, by_method
from assignbench.analysis.result import SEEDS, Result
from assignbench.analysis.verdicts import HIGHER, LOWER, with_verdicts

HUNDRED = 100.0  # of a column whose numbers are shares of one here, and per cent in print
OWN_SPREAD = (
    "Difference: ours less published, in the unit of the column; its ± is that of ours alone, since no spread is "
    "published. A row that is marked cited, test-dev or of another setting is shown and never subtracted from."
)
Cells = Mapping[Key, Mapping[int, CellData]]


@analysis(
    "printed",
    title="The papers' own tables",
    question="What do the papers print, and what came out here?",
    definition=(
        "Rows and columns as printed. Beside each number of the paper stands ours, mean over seeds with the half-width "
        "of its 95 % Student-t interval (other seeds, these images), and the difference of the two. A difference is "
        "printed only where both are of one kind: rows that the paper's authors trained, on the data set and split "
        "that ours is of, for the length and size of the paper's recipe. Cited rows, numbers of test-dev and speeds "
        "of other machines stand there unsubtracted, with the reason under `note`; what is not legible or not "
        "printed is n/a. 'other reading': the same row where the paper leaves open what was run, run the other way. "
        "Rows of two detectors are compared by seed too: difference, its interval for other seeds and images, and a "
        "verdict corrected over one table's comparisons in one measure."
    ),
)
def printed(study: StudyRecord) -> list[Result]:
    """One table per printed one (`printed.TABLE`), and the differences between rows of two detectors."""
    if study.about.get("unpublished"):
        frame = pd.DataFrame([{"published numbers": f"none: {study.about['unpublished']}"}])
        return [Result("printed.none", "Published numbers", frame)]
    cells = by_method(study)
    tables: Mapping[str, Any] = study.about.get("printed") or {}
    results, long = [], []
    for name, table in tables.items():
        places = [(row, data) for data in _data_sets(study) for row in table["rows"]]
        beside = [one for row, data in places for one in _beside(row, table, data, study, cells)]
        results.append(_as_printed(f"printed.{name}", table, beside))
        long += [{"table": name, **line} for one in beside for line in one.lines(table)]
    if not results:
        return []
    numbers = Result("printed.numbers", "Numbers beside printed ones", pd.DataFrame(long), role="figure")
    compared = _across(tables, study)
    return [*results, numbers, *([] if compared is None else [compared])]


@dataclass(frozen=True)
class Beside:
    """A printed row and a cell of ours that it is, or none: ours by column, in the unit of our measures."""

    row: Mapping[str, Any]
    data: str
    cell: tuple[str, str]
    n: int
    ours: Mapping[str, Interval]
    note: str
    subtracted: bool

    def lines(self, table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """One line per column: our measure and its value as it is recorded, and the published number as it is printed;
        `difference` in print's unit."""
        for column in table["columns"]:
            own, value = self.ours[column["name"]], self.row["values"].get(column["name"])
            published = float("nan") if value is None else float(value)
            held = self.subtracted and not column["of_machine"]
            yield {
                "row": int(self.row["row"]),
                **{"data": self.data, "detector": self.cell[0], "method": self.cell[1]},
                **{"column": column["name"], "measure": column["measure"], "scale": float(column["scale"])},
                **{"value": own.mean, "half": own.half_or_nan, "n": self.n, "published": published},
                "difference": column["scale"] * own.mean - published if held else float("nan"),
                "note": self.note,
            }


def _as_printed(key: str, table: Mapping[str, Any], beside: Sequence[Beside]) -> Result:
    """A table with the paper's rows in its order, ours beside them. Shares stay shares, which print makes per cent."""
    units: dict[str, str] = {}
    rows = []
    for column in table["columns"]:
        unit = "share" if column["scale"] == HUNDRED else "1"
        units |= dict.fromkeys((f"{column['name']}{end}" for end in ("", " published", " difference")), unit)
    for one in beside:
        found: dict[str, Any] = {"row": str(one.row["row"]), "entry": _entry(one.row, table)}
        found |= {name: one.row["features"].get(name) or "–" for name in table["features"]}
        found |= {"data": one.data, "detector": one.cell[0], "method": one.cell[1]}
        found["n"] = float(one.n) if one.cell[1] else float("nan")
        for line in one.lines(table):
            name, print_scale = line["column"], 1 / HUNDRED if line["scale"] == HUNDRED else 1.0
            ours = line["scale"] * print_scale
            found |= {name: ours * line["value"], f"{name}_half": ours * line["half"]}
            found |= {f"{name} published": print_scale * line["published"]}
            known = np.isfinite(line["difference"])
            found |= {f"{name} difference": print_scale * line["difference"]}
            found |= {f"{name} difference_half": ours * line["half"] if known else float("nan")}
        rows.append({**found, "note": one.note})
    others = [f"{c['name']} is our {c['measure']}" for c in table["columns"] if c["measure"] not in ("", c["name"])]
    notes = [*table["head"], *([f"Ours: {', '.join(others)}."] if others else [])]
    frame, answer = pd.DataFrame(rows), _answer(table, beside)
    notes += [OWN_SPREAD] if frame.filter(regex=" difference$").notna().any(axis=None) else []
    return Result(key, str(table["title"]), frame, units, population=SEEDS, notes=tuple(notes), answer=answer)


def _answer(table: Mapping[str, Any], beside: Sequence[Beside]) -> str:
    """How many of the authors' rows are measured, and how far ours lies from the published ones in the first column.

    A row beside which a cell of another setting stands is not one of them.
    """
    own = {row["row"] for row in table["rows"] if row["origin"] == "own"}
    mine = [one for one in beside if one.n and one.row["row"] in own]
    measured = {one.row["row"] for one in mine if one.subtracted}
    trained = "rows that the paper's authors trained"
    told = f"{len(measured)} of the {len(own)} {trained} {'is' if len(measured) == 1 else 'are'} measured here"
    told = told if measured else f"None of the {len(own)} {trained} is measured here"
    others = [one for one in mine if not one.subtracted]
    if others:
        rows, cells = len({one.row["row"] for one in others}), len({(one.data, one.cell) for one in others})
        told += f"; beside {rows} of them stand{'s' if cells == 1 else ''} {cells} of our methods in another setting"
    lines = [next(one.lines(table)) for one in beside]
    gaps = [line["difference"] for line in lines if np.isfinite(line["difference"])]
    if gaps:
        column = table["columns"][0]
        ends = " to ".join(f"{end:+.{column['digits']}f}" for end in dict.fromkeys((min(gaps), max(gaps))))
        return f"{told}; in {column['name']}, ours less published is {ends}."
    return f"{told}; nothing is subtracted." if mine else f"{told}."


def _data_sets(study: StudyRecord) -> list[str]:
    return list(dict.fromkeys(data for data, _ in study.places))


def _beside(
    row: Mapping[str, Any], table: Mapping[str, Any], data: str, study: StudyRecord, cells: Cells
) -> Iterator[Beside]:
    """A printed row with its cell, and once more with the cell of every other reading of it."""
    why = str(row["incomparable"].get(data, ""))
    for number, cell in enumerate(row["cells"] or [("", "")]):
        mine = list(cells.get((data, cell[0], cell[1]), {}).values())
        ours = {c["name"]: t_interval([_measured(one, c["measure"]) for one in mine]) for c in table["columns"]}
        notes = ["other reading"] if number else []
        notes += [] if mine else [_not_measured(row, cell, data, study)]
        note = "; ".join(filter(None, [*notes, why, *_read(row)]))
        yield Beside(row, data, (cell[0], cell[1]), len(mine), ours, note, not why)


def _entry(row: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """What the row is called, with its network where the table has several."""
    several = [k for k in ("detector", "backbone") if len({r[k] for r in table["rows"]}) > 1]
    network = ", ".join(row[k] for k in several if row[k] not in row["method"])
    return f"{row['method']} ({network})" if network else str(row["method"])


def _read(row: Mapping[str, Any]) -> Iterator[str]:
    """How the printed numbers were read."""
    if row["legible"] != "yes":
        yield {"no": "partly illegible", "repaired": "repaired, see below"}.get(row["legible"], str(row["legible"]))
    if row["told"]:
        yield "printed: " + ", ".join(dict.fromkeys(row["told"].values()))


def _not_measured(row: Mapping[str, Any], cell: Sequence[str], data: str, study: StudyRecord) -> str:
    """Why there is no number of ours."""
    if not cell[1]:
        if row["not_run"]:
            return f"not run: {row['not_run']}"
        return "" if row["origin"] == "cited" else "not in this study"
    states = study.states_of(cell[1], (data, cell[0]))
    return ", ".join(f"{n} {state}" for state, n in states.items()) or "not in this study"


def _measured(cell: CellData, measure: str) -> float:
    """What summary.json or a measure of the package says of a cell; NaN where neither does."""
    value = cell.cell.summary.get(measure)
    if value is None and not measures.known(measure):
        return float("nan")
    return measures.measured(cell, measure)


def _across(tables: Mapping[str, Any], study: StudyRecord) -> Result | None:
    """Rows of two detectors, paired by seed, in every measure that is counted in points."""
    found = []
    for table in tables.values():
        asked = _pairs(table, study)
        for column in (c for c in table["columns"] if measures.in_points(c["measure"])):
            told = estimated([pair for *_, pair in asked], column["measure"])
            for (row, other, pair), estimate in zip(asked, told, strict=True):
                missing = "" if np.isfinite(estimate.mean) else f"{column['measure']} was not recorded"
                found.append(
                    {
                        "table": table["title"],
                        "row": str(row["row"]),
                        "with": str(other["row"]),
                        **pair.keys,
                        "metric": column["measure"],
                        "difference": estimate.mean,
                        "half": estimate.half,
                        "published": _published(column["name"], row, other),
                        "n": estimate.n,
                        "population": estimate.population if estimate.n else "",
                        "p": estimate.p,
                        "untestable": pair.untestable or missing,
                    }
                )
    if not found:
        return None
    frame = with_verdicts(pd.DataFrame(found), "difference", ["table", "metric"])
    frame = frame.rename(columns={"untestable": "reason"})
    units = {"difference": "AP", "half": "AP", "published": "AP"}
    frame = frame.drop(columns=["p", "p_holm"])
    decided = int(frame.verdict.isin((HIGHER, LOWER)).sum())
    answer = f"{decided} of {len(frame)} differences between rows of two detectors are resolved."
    return Result("printed.across", "Rows of two detectors, paired by seed", frame, units, answer=answer)


def _pairs(table: Mapping[str, Any], study: StudyRecord) -> list[tuple[Mapping[str, Any], Mapping[str, Any], Pair]]:
    """The rows that a study compares across detectors; none of two that one detector stands for."""
    by_number = {row["row"]: row for row in table["rows"]}
    found = []
    for data in _data_sets(study):
        for one, two in table["across"]:
            ours, theirs = by_number[one]["cells"][:1], by_number[two]["cells"][:1]
            if ours and theirs and ours != theirs:
                pair = pair_across(study, data, tuple(ours[0]), tuple(theirs[0]))
                found.append((by_number[one], by_number[two], pair))
    return found


def _published(name: str, row: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The printed difference of two rows as a share; NaN where one of them has no such number."""
    values = [r["values"].get(name) for r in (row, other)]
    return (values[0] - values[1]) / HUNDRED if None not in values else float("nan")
