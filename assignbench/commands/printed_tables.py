"""`assignbench list tables`: the papers' tables, which study has their rows, and how far each has been run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assignbench.errors import InputError
from assignbench.records import CellRecord, read_about
from assignbench.study.printed import Cell, cells_by_name, cells_of_table, printed_rows
from assignbench.study.published import PrintedTable, printed_tables
from assignbench.study.reading import Study, read_study, study_folders

Rows = list[tuple[str, str]]


def tables(out: Path) -> Rows:
    """A line per printed table: its rows, its study, and what `out` holds of it: the study's own run and its variants'.

    A study that is not sound is passed over; `plan` says what is wrong with it.
    """
    studies = list(_studies())
    rows = [row for table in printed_tables().values() for row in _lines(table, studies, out)]
    others = [s for s in studies if s.spec.published]
    return [*rows, *((s.path.stem, f"no printed rows ({s.spec.published}); {_runs(s, None, out)}") for s in others)]


def _studies() -> Iterator[Study]:
    """The studies that name printed rows, or say why they have none; of one name the first that is found."""
    found = {p.name: p for folder in reversed(study_folders()) for p in sorted(folder.glob("*.yaml"))}
    for path in found.values():
        try:
            study = read_study(path)
        except InputError:
            continue
        if study.spec.tables or study.spec.published:
            yield study


def _lines(table: PrintedTable, studies: list[Study], out: Path) -> Iterator[tuple[str, str]]:
    own = [row for row in table.rows if row.own]
    told = f"{table.title}: {len(table.rows)} rows"
    told += f", {len(table.rows) - len(own)} of them cited" if len(own) < len(table.rows) else ""
    mine = [s for s in studies if table.name in (s.spec.tables or {})]
    for study in mine:
        rows = printed_rows(study.spec).get(table.name, {})
        needed = cells_of_table(study, table.name)
        yield table.name, f"{told}; {study.path.stem} has {len(rows)}; {_runs(study, needed, out)}"
    if not mine:
        yield table.name, f"{told}; no study has them"


def _runs(study: Study, needed: set[Cell] | None, out: Path) -> str:
    """What is done of the cells that are needed (None: all), in the study's own run folder and in those of variants."""
    named = set(cells_by_name(study.spec).values()) if needed is None else needed
    cells = len(named) * len(study.spec.seeds) * len(study.spec.data)
    told = [_run(study.spec.study, out / study.spec.study, needed, cells)]
    for preset in study.spec.presets:
        folder = out / f"{study.spec.study}-{preset}"
        if folder.is_dir():
            told.append(_run(preset, folder, _of_variant(study, preset, needed), None))
    return "; ".join(told)


def _of_variant(study: Study, preset: str, needed: set[Cell] | None) -> set[Cell] | None:
    """The cells of a variant that stand for those that are needed."""
    if needed is None:
        return None
    known = cells_by_name(read_study(study.path, preset=preset).spec)
    return {known[name] for name in ("/".join(cell) for cell in needed) if name in known}


def _run(name: str, folder: Path, needed: set[Cell] | None, cells: int | None) -> str:
    """ "12 of 30 cells done, last report 2026-01-31"; "never run" where there is no folder."""
    try:
        about: dict[str, Any] = read_about(folder)
    except InputError:
        about = {}
    grid = about.get("grid", {})
    mine = [i for i, told in grid.items() if needed is None or (told["detector"], told["method"]) in needed]
    if not mine:
        return f"{name}: never run ({cells} cells)" if cells else f"{name}: never run"
    done = sum(CellRecord(folder / i).state == "done" for i in mine)
    page = folder / "report" / "index.html"
    day = datetime.fromtimestamp(page.stat().st_mtime, UTC).date() if page.is_file() else None
    report = f"last report {day.isoformat()} ({page})" if day else "no report yet"
    return f"{name}: {done} of {cells or len(mine)} cells done, {report}"
