"""Which cells of a study are which printed rows: checked, and as study.json carries them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from assignbench.config.base import Config
from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.recipe import Schedule
from assignbench.config.recipes import RECIPES, Recipe
from assignbench.errors import InputError, nearest
from assignbench.study.checks import belongs, schedule_of
from assignbench.study.places import Study
from assignbench.study.published import PrintedTable, Row, printed_claims, printed_tables
from assignbench.study.spec import Claim, DataEntry, StudySpec, Tables, changed

Cell = tuple[str, str]  # a detector and a method, as the study's tables and records call them


def check_printed(study: Study) -> None:
    """Raises InputError, with the place, for a printed table, row or claim that is not there, and for a row that is
    named twice or by no cell of the study.
    """
    spec = study.spec
    _check_stand_ins(study)
    if spec.published and (spec.tables or spec.readings):
        raise InputError(f"{study.where('published')}: the study's tables name printed rows; leave one of the two out")
    taken: dict[tuple[str, int], str] = {}
    for table, row, cell, where in _named(study, "tables", spec.tables):
        if (table.name, row.number) in taken:
            told = f"row {row.number} is {taken[table.name, row.number]} already; a row is one cell"
            raise InputError(f"{where}: {told}; another reading of it stands under readings")
        taken[table.name, row.number] = cell
    for table, row, cell, where in _named(study, "readings", spec.readings):
        if taken.get((table.name, row.number)) in (None, cell) and not in_part(study):
            told = "is that very cell" if (table.name, row.number) in taken else "is not one of the study's tables"
            raise InputError(f"{where}: row {row.number} {told}; a reading is another cell of a row under tables")
    for name, pairs in spec.across.items():
        for place, pair in enumerate(pairs):
            where = study.where("across", name, place)
            _table(name, where)
            missing = [number for number in pair if (name, number) not in taken and not in_part(study)]
            if missing or pair[0] == pair[1]:
                told = f"row {missing[0]} is not one of the study's tables" if missing else "compares a row with itself"
                raise InputError(f"{where}: {told}; write [row, with], two rows that are named under tables")
    _check_not_run(study, taken)
    _check_claims(study)


def in_part(study: Study) -> bool:
    """Whether it is a part of the study in the file: a variant with detectors that stand for others, or methods or
    detectors that an option names. Rows of cells that it lacks are then left out, where else they are refused.
    """
    options = (study.lines.get((key,)) for key in ("methods", "detectors"))
    return any(d.stands_for for d in study.spec.detectors) or any(isinstance(line, str) for line in options)


def _check_stand_ins(study: Study) -> None:
    """A name stands for one detector."""
    first: dict[str, str] = {d.shown: d.shown for d in study.spec.detectors}
    for place, detector in enumerate(study.spec.detectors):
        for at, name in enumerate(detector.stands_for):
            if first.setdefault(name, detector.shown) != detector.shown:
                where = study.where("detectors", place, "stands_for", at)
                raise InputError(f"{where}: '{name}' is {first[name]} already; a name stands for one detector")


def _named(study: Study, key: str, tables: Tables | None) -> Iterator[tuple[PrintedTable, Row, str, str]]:
    """Every row that a key names with its cell and its place in the file, each checked."""
    known = cells_by_name(study.spec)
    for name, cells in (tables or {}).items():
        table = _table(name, study.where(key, name))
        for cell, numbers in cells.items():
            where = study.where(key, name, cell)
            if cell not in known:
                if in_part(study):
                    continue
                told = "a cell is written detector/method, as the study calls them"
                raise InputError(f"{where}: no cell '{cell}' in the study{nearest(cell, list(known))}; {told}")
            for number in numbers:
                yield table, _row(table, number, where), cell, where


def _table(name: str, where: str) -> PrintedTable:
    known = printed_tables()
    if name not in known:
        raise InputError(f"{where}: no printed table '{name}'{nearest(name, list(known))}")
    return known[name]


def _row(table: PrintedTable, number: int, where: str) -> Row:
    """A row that the paper's authors trained."""
    row = table.row(number)
    if row is None:
        raise InputError(f"{where}: {table.title} has no row {number}; its rows are 1 to {len(table.rows)}")
    if not row.own:
        told = f"row {number} of {table.title} is cited there from elsewhere"
        raise InputError(f"{where}: {told}; name rows that its authors trained")
    return row


def _check_not_run(study: Study, taken: Mapping[tuple[str, int], str]) -> None:
    """What is said not to be run is printed, and is not run by the study itself."""
    tested = {c.row for c in study.spec.claims if c.row}
    for place, entry in enumerate(study.spec.not_run):
        for name, numbers in entry.rows.items():
            where = study.where("not_run", place, "rows", name)
            table = _table(name, where)
            for number in numbers:
                _row(table, number, where)
                if (name, number) in taken:
                    told = f"row {number} is {taken[name, number]} under tables"
                    raise InputError(f"{where}: {told}; leave one of the two out")
        for number in entry.claims:
            where = study.where("not_run", place, "claims")
            _check_claim(number, where)
            if number in tested:
                raise InputError(f"{where}: claim {number} is one of the study's claims; leave one of the two out")


def _check_claims(study: Study) -> None:
    for place, claim in enumerate(study.spec.claims):
        if claim.row:
            _check_claim(claim.row, study.where("claims", place, "row"))


def _check_claim(number: int, where: str) -> None:
    if number not in printed_claims():
        raise InputError(
            f"{where}: no printed claim {number}; studies/published/claims.csv has {len(printed_claims())}"
        )


def cells_by_name(spec: StudySpec) -> dict[str, Cell]:
    """The detector and method of every cell by "detector/method", also by the detectors that one stands for."""
    found: dict[str, Cell] = {}
    for detector in spec.detectors:
        for method in spec.methods:
            if any(belongs(detector, method, data) for data in spec.data):
                for name in (detector.shown, *detector.stands_for):
                    found[f"{name}/{method.name}"] = (detector.shown, method.name)
    return found


def printed_rows(spec: StudySpec, *, readings: bool = False) -> dict[str, dict[int, list[Cell]]]:
    """Which cells of a study are which printed row: by table, in the order of the rows.

    A row is one cell; with `readings` those of its other readings stand behind it.
    """
    known = cells_by_name(spec)
    found: dict[str, dict[int, list[Cell]]] = {}
    for tables in (spec.tables or {}, (spec.readings or {}) if readings else {}):
        for table, cells in tables.items():
            for cell, rows in cells.items():
                for row in rows if cell in known else []:
                    there = found.setdefault(table, {}).setdefault(row, [])
                    if known[cell] not in there:  # one detector may stand for two
                        there.append(known[cell])
    return {table: dict(sorted(rows.items())) for table, rows in found.items()}


def table_named(study: Study, text: str) -> str:
    """The table of a study that `--table` means: its name, or what its name ends with, e.g. 3 of mlc_table3.

    Raises InputError for one that the study does not have.
    """
    known = list(study.spec.tables or {})
    ends = (f"_{text}", f"_table{text}")
    found = [name for name in known if name == text or name.endswith(ends)]
    if len(found) != 1:
        told = f"is {' and '.join(found)}" if found else "is not one of the study's printed tables"
        raise InputError(f"--table {text:.60}: {told} (known: {', '.join(known) or 'none'})")
    return found[0]


def cells_of_table(study: Study, table: str) -> set[Cell]:
    """The cells that a printed table of a study needs, other readings of its rows among them."""
    return {cell for cells in printed_rows(study.spec, readings=True).get(table, {}).values() for cell in cells}


def stand_in(claim: Claim, spec: StudySpec) -> Claim:
    """A claim about detectors, with those of the study in place of the ones that they stand for."""
    names = {name: d.shown for d in spec.detectors for name in d.stands_for}
    if not names:
        return claim
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    text = re.sub(rf"(?<= on )({pattern})(?=[ <>=]|$)", lambda found: names[found[0]], claim.claim)
    return claim.model_copy(update={"claim": text})


def printed_content(study: Study) -> dict[str, Any]:
    """The printed tables that a study answers to, as study.json carries them: every row as printed, with its cells."""
    spec, found = study.spec, {}
    cells = printed_rows(spec, readings=True)
    why = {(t, n): entry.why for entry in spec.not_run for t, numbers in entry.rows.items() for n in numbers}
    for name in cells:
        table = printed_tables()[name]
        rows = [
            _row_content(study, row, cells[name].get(row.number, []), why.get((name, row.number), ""))
            for row in table.rows
        ]
        found[name] = {
            "title": table.title,
            "head": list(table.head),
            "features": list(table.features),
            "columns": [
                {"name": c.name, "measure": c.measure, "scale": c.scale, "digits": c.digits, "of_machine": c.of_machine}
                for c in table.columns
            ],
            "rows": rows,
            "across": [list(pair) for pair in spec.across.get(name, [])],
        }
    return found


def _row_content(study: Study, row: Row, cells: list[Cell], why: str) -> dict[str, Any]:
    return {
        "row": row.number,
        "method": row.method,
        "detector": row.detector,
        "backbone": row.backbone,
        "split": row.split,
        "parameters": row.parameters,
        "origin": row.origin,
        "legible": row.legible,
        "features": dict(row.features),
        "values": dict(row.values),
        "told": dict(row.told),
        "cells": [list(cell) for cell in cells],
        "not_run": why,
        "incomparable": {d.name: row.incomparable or _unlike(study, row, cells, d) for d in study.spec.data},
    }


def _unlike(study: Study, row: Row, cells: list[Cell], data: DataEntry) -> str:
    """Why numbers of the study on a data set are of another kind than the row's; "" where they are of the same."""
    spec = study.spec
    wanted = CATALOG[row.data]
    if data.name != row.data or [tuple(p) for p in data.test] != [tuple(p) for p in wanted["test"]]:
        return f"ours is of {data.name}"
    if spec.evaluation.split != "test":
        return f"ours is of the {spec.evaluation.split} split"
    if spec.recipe not in RECIPES:
        return "ours has no recipe of the paper"
    recipe = RECIPES[spec.recipe]
    trained = (_trained_otherwise(study, recipe, data, cell) for cell in cells)
    return next(filter(None, trained), "") or _read_otherwise(spec, recipe, data)


def _trained_otherwise(study: Study, recipe: Recipe, data: DataEntry, cell: Cell) -> str:
    """What of a cell's training is not the paper's recipe."""
    detector = next(d for d in study.spec.detectors if d.shown == cell[0])
    method = next(m for m in study.spec.methods if m.name == cell[1])
    if detector.stands_for:
        return "ours has another detector"
    taught = schedule_of(study, data, detector, method)
    for unit in ("steps", "epochs"):
        if getattr(taught, unit) != recipe.schedule.get(unit):
            return f"ours is trained for another number of {unit}"
    if not detector.weights:
        return "ours begins without pretrained weights"
    # A paper may train one of its detectors otherwise, which its entry then says.
    other = _other(taught, changed(Schedule.model_validate(dict(recipe.schedule)), detector.schedule), RUNS)
    return f"ours is trained with another {other}" if other else ""


def _read_otherwise(spec: StudySpec, recipe: Recipe, data: DataEntry) -> str:
    """What of the images and of the test is not the paper's."""
    ours, printed = data.data_set(), DataSpec.model_validate({"name": data.name, "kind": data.kind, **recipe.data})
    if ours.size != printed.size:
        return "ours has images of another size"
    other = _other(ours, printed, LIES)
    other = other or _other(spec.evaluation, Evaluation.model_validate(dict(recipe.evaluation)), READS)
    return f"ours has another {other}" if other else ""


# What differs between places and decides no number that a paper prints.
RUNS = {"log_every", "checkpoint_every", "probe_visits", "loader_workers", "threads", "compile", "deterministic", "amp"}
LIES = {"name", "kind", "title", "obtain", "root", "train", "val", "test", "classes", "on_bad"}
READS = {"split", "batch", "candidates"}


def _other(ours: Config, theirs: Config, apart: Set[str]) -> str:
    """The first entry in which the two differ; "" where they do not, or only in those that stand apart."""
    mine, printed = ours.model_dump(), theirs.model_dump()
    return next((name.replace("_", " ") for name in mine if name not in apart and mine[name] != printed[name]), "")
