"""The papers' printed tables and claims, read from studies/published: facts, numbers only. No number stands here."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from assignbench.errors import InputError, nearest

_PAPERS = ("mutual_guidance", "mlc", "musu", "ltm", "paa")  # in whose order tables are listed
# Columns that say what a row is; all others are measured.
_ABOUT = ("row", "method", "assignbench", "detector", "backbone", "dataset", "split", "parameters", "origin", "legible")
_FEATURES = ("part", "head", "voting", "ML", "IUR", "anchors", "anchor_free", "where")
# What a printed column is called here, and by what ours is multiplied to be counted as it is.
_MEASURES: dict[str, tuple[str, float]] = {
    "correlation": ("spearman", 1.0),
    "iou_error": ("iou_error", 1.0),
    "training_time_h": ("train_hours", 1.0),
    "fps": ("fps", 1.0),
    "gflops": ("gflops", 1.0),
    "parameters_M": ("parameters_trained", 1e-6),
}
# Mutual Guidance's numbers on VOC are VOC2007's 11-point AP at ten thresholds, by its released code.
_OF_VOC = {"AP": "AP07", "AP50": "AP07_50", "AP75": "AP07_75"}
_DATA_SETS = {"VOC": "voc0712", "COCO": "coco2017", "SKU110K": "sku110k"}
_HIDDEN = "test-dev"


@dataclass(frozen=True)
class Column:
    """A measured column: its printed name, our measure, by what ours is multiplied, and the digits that are printed."""

    name: str
    measure: str
    scale: float
    digits: int

    @property
    def of_machine(self) -> bool:
        """Whether the number tells as much of the machine as of the method, so that ours is not held against it."""
        return self.measure in ("fps", "train_hours")


@dataclass(frozen=True)
class Row:
    """A printed row. `values` are its numbers by column, None where none is printed or legible; `told` what is printed
    instead of one ("failed"); `features` the columns that say what it is, as printed.
    """

    number: int
    method: str
    detector: str
    backbone: str
    data: str
    split: str
    parameters: str
    origin: str
    legible: str
    features: Mapping[str, str]
    values: Mapping[str, float | None]
    told: Mapping[str, str]

    @property
    def own(self) -> bool:
        """Whether the paper's authors trained it."""
        return self.origin == "own"

    @property
    def measured_on(self) -> str:
        """The split that its numbers are of, as the paper calls it."""
        return self.split.rpartition("/")[2].strip()

    @property
    def incomparable(self) -> str:
        """Why no number of ours is held against it, whatever ours is of; "" where one may be."""
        if not self.own:
            return "cited"
        if _HIDDEN in self.split:
            return _HIDDEN
        return "" if "/" in self.split else f"split {self.split}"


@dataclass(frozen=True)
class PrintedTable:
    """A table of a paper: what its head says (source first, then settings, errata, unit), its columns and rows."""

    name: str
    head: tuple[str, ...]
    features: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """ "MLC, Table 1"."""
        paper, where = self.head[0].partition(":")[0], self.name.rpartition("_")[2]
        return f"{paper}, Table {where.removeprefix('table')}" if where.startswith("table") else f"{paper}, text"

    def row(self, number: int) -> Row | None:
        """The row of a number."""
        return next((r for r in self.rows if r.number == number), None)


@dataclass(frozen=True)
class PrintedClaim:
    """A quantitative claim of a paper in our words, with the printed effect."""

    number: int
    paper: str
    where: str
    text: str
    published: str


def folder() -> Path:
    """Where the printed numbers lie: in the source tree, or installed with the package."""
    package = Path(__file__).resolve().parents[1]
    places = [package.parent / "studies" / "published", package / "_studies" / "published"]
    return next((p for p in places if p.is_dir()), places[-1])


@cache
def printed_tables() -> dict[str, PrintedTable]:
    """Every printed table by name, paper by paper. Raises InputError for a file that is not what was packaged."""
    found = {}
    for path in sorted(folder().glob("*.csv"), key=_order):
        head, rows = _content(path)
        if rows and "origin" in rows[0]:  # else a figure's numbers, or the claims
            found[path.stem] = _table(path, head, rows)
    return found


@cache
def printed_figure(name: str) -> dict[str, tuple[float, ...]]:
    """The numbers that are printed in a figure: its columns by their names, without what the points are called; in the
    unit that the file's head says. Raises InputError for an unknown figure, and as `printed_tables` does.
    """
    known = [path.stem for path in folder().glob("*_figure*.csv")]
    if name not in known:
        raise InputError(f"no printed figure '{name}'{nearest(name, known)}")
    path = folder() / f"{name}.csv"
    _, rows = _content(path)
    first, *columns = rows[0]
    try:
        return {column: tuple(float(row[column]) for row in rows) for column in columns}
    except ValueError as problem:
        raise InputError(f"{path}: {problem} (a column beside '{first}'); install AssignBench again") from None


@cache
def printed_claims() -> dict[int, PrintedClaim]:
    """The papers' quantitative claims by number. Raises InputError as `printed_tables` does."""
    path = folder() / "claims.csv"
    told = (
        PrintedClaim(_number(path, r["row"]), r["paper"], r["where"], r["claim"], r["published"])
        for r in _content(path)[1]
    )
    return {claim.number: claim for claim in told}


def as_tables(given: object, cell: str = "DETECTOR/METHOD") -> str:
    """How a study writes what somebody put under `published`, a table with one or several rows where it names such.

    `cell` is how `tables` calls the cell that is meant. What is unknown or no row is told with what is there.
    """
    how = "printed rows are named by the study's key `tables`: write tables: "
    general = f"{how}{{TABLE: {{{cell}: [row]}}}} (`assignbench list tables` has the tables)"
    if isinstance(given, str) and given:
        known = list(printed_tables())
        near = given if given in known else next(iter(get_close_matches(given, known, 1)), "")
        return f"{how}{{{near}: {{{cell}: [row]}}}}" if near else general
    if not isinstance(given, Mapping) or not given:
        return general
    if set(given) == {"none"}:
        return f'write it as one text: published: "none: {given["none"]!s:.60}"'
    parts, wrong = [], []
    for name, rows in given.items():
        table = printed_tables().get(str(name))
        if table is None:
            wrong.append(f"no printed table '{name!s:.60}'{nearest(str(name), list(printed_tables()))}")
        elif isinstance(rows, Mapping):
            parts.append(f"{name}: {{...}}")
        else:
            numbers = list(rows) if isinstance(rows, list) else [rows]
            wrong += [told for told in (_no_row(table, n) for n in numbers or [None]) if told]
            parts.append(
                f"{name}: {{{cell}: [{', '.join(str(n) for n in numbers if not _no_row(table, n)) or 'row'}]}}"
            )
    return "; ".join([f"{how}{{{', '.join(parts)}}}" if parts else general, *wrong])


def _no_row(table: PrintedTable, number: object) -> str:
    """Why a value is no row of a table that its paper's authors trained; "" where it is one."""
    numbers = [r.number for r in table.rows if r.own]
    if isinstance(number, int) and not isinstance(number, bool) and number in numbers:
        return ""
    row = table.row(number) if isinstance(number, int) and not isinstance(number, bool) else None
    why = "is cited there from elsewhere" if row else "is no row of it"
    return f"{number!s:.20} {why}; those of {table.title} are {', '.join(map(str, numbers))}"


def _order(path: Path) -> tuple[int, str]:
    return next((n for n, p in enumerate(_PAPERS) if path.stem.startswith(p)), len(_PAPERS)), path.stem


def _content(path: Path) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """The lines of the head without their marks, and the rows."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); install AssignBench again") from None
    head = tuple(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    if any(None in row or None in row.values() for row in rows):
        raise InputError(f"{path}: a row has more or fewer entries than the header; install AssignBench again")
    return head, rows


def _table(path: Path, head: tuple[str, ...], rows: list[dict[str, str]]) -> PrintedTable:
    names = [n for n in rows[0] if n not in _ABOUT and n not in _FEATURES]
    columns = tuple(_column(name, rows) for name in names)
    features = tuple(n for n in rows[0] if n in _FEATURES)
    return PrintedTable(path.stem, head, features, columns, tuple(_row(path, r, names, features) for r in rows))


def _column(name: str, rows: list[dict[str, str]]) -> Column:
    """A column's measure; as many digits as its longest number has."""
    digits = max(len(r[name].partition(".")[2]) for r in rows)
    if rows[0]["dataset"] == "VOC":
        return Column(name, _OF_VOC[name], 100.0, digits)
    return Column(name, *_MEASURES.get(name, (name, 100.0)), digits)


def _row(path: Path, row: dict[str, str], names: list[str], features: tuple[str, ...]) -> Row:
    values = {name: _value(row[name]) for name in names}
    return Row(
        number=_number(path, row["row"]),
        method=row["method"],
        detector=row["detector"],
        backbone=row["backbone"],
        data=_DATA_SETS[row["dataset"]],
        split=row["split"],
        parameters=row["parameters"],
        origin=row["origin"],
        legible=row.get("legible", "yes"),
        features={name: row[name] for name in features},
        values=values,
        told={name: row[name] for name in names if row[name] and values[name] is None},
    )


def _value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _number(path: Path, text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"{path}: a row is called '{text:.20}', which is no number; install AssignBench again")
    return int(text)
