"""Cells that did not come to their end: every table says which numbers they are missing in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from assignbench.analysis import StudyRecord
from assignbench.report.tables import Place, Table

NAMED = 8  # cells that a note names


def missing(study: StudyRecord) -> list[tuple[str, str]]:
    """Name and state of every cell that has no numbers: failed, diverged, damaged, running, pending."""
    found = [(c.config.slug, str(c.state)) for c in study.cells if c.state != "done"]
    return found + [(name, "damaged") for name, _ in study.unreadable]


def with_missing(study: StudyRecord, tables: list[Table]) -> list[Table]:
    """The tables, each with a note of the cells that are not in it; as they are where all cells are finished."""
    cells = missing(study)
    if not cells:
        return tables
    named = [f"{name} ({state})" for name, state in cells[:NAMED]]
    more = [f"{len(cells) - NAMED} more"] if len(cells) > NAMED else []
    total = len(study.cells) + len(study.unreadable)
    told = f"{len(cells)} of {total} cells are not finished and in no number here: {', '.join(named + more)}."
    return [replace(table, notes=[*table.notes, told]) for table in tables]


def states_of(study: StudyRecord) -> Mapping[Place, Mapping[str, str]]:
    """By data set and detector the methods with cells that are not finished, and what became of these.

    "failed" where they are all of the method's cells, else "1 of 3 failed".
    """
    found: dict[Place, dict[str, str]] = {}
    for place, method, states in _cells_by_method(study):
        lost = [s for s in states if s != "done"]
        if lost:
            kinds = " and ".join(dict.fromkeys(lost))
            told = kinds if len(lost) == len(states) else f"{len(lost)} of {len(states)} {kinds}"
            found.setdefault(place, {})[method] = told
    return found


def _cells_by_method(study: StudyRecord) -> Iterator[tuple[Place, str, list[str]]]:
    """The states of a method's cells at each data set and detector, in the study's order."""
    found: dict[tuple[Place, str], list[str]] = {}
    for cell in study.cells:
        config = cell.config
        key = (config.data.name, config.detector.label), config.method.name
        found.setdefault(key, []).append(cell.state)
    return ((place, method, states) for (place, method), states in found.items())
