"""The contract of an analysis, and the records that it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from assignbench.records import CellRecord, read_cells, read_json


@dataclass(frozen=True)
class StudyRecord:
    """A study's run folder: what was asked (`about`) and its cells in the study's order.

    Folders of earlier configurations stay on disk but are not part of the study any more.
    """

    folder: Path
    about: dict[str, Any]
    cells: tuple[CellRecord, ...]

    @property
    def done(self) -> tuple[CellRecord, ...]:
        """The cells that are finished."""
        return tuple(c for c in self.cells if c.state == "done")

    @property
    def methods(self) -> list[str]:
        """Method names in the study's order; the first is the baseline."""
        return list(dict.fromkeys(c.config["method"]["name"] for c in self.cells))


def read_study_record(folder: Path) -> StudyRecord:
    """The record of a study from its run folder."""
    about = read_json(folder / "study.json")
    known = {c.id: c for c in read_cells(folder)}
    return StudyRecord(folder, about, tuple(known[i] for i in about.get("cells", list(known)) if i in known))


def keys_of(cell: CellRecord) -> dict[str, Any]:
    """The columns that identify a cell in every table."""
    config = cell.config
    return {
        "data": config["data"]["name"],
        "detector": config["detector"]["label"],
        "method": config["method"]["name"],
        "seed": config["seed"],
    }


@dataclass(frozen=True)
class Analysis:
    """A question put to records. `run` returns one tidy table; title, question, definition and paper are printed."""

    name: str
    title: str
    question: str
    definition: str
    paper: str
    run: Callable[[StudyRecord], pd.DataFrame]


ANALYSES: dict[str, Analysis] = {}


def analysis(
    name: str, *, title: str, question: str, definition: str, paper: str = ""
) -> Callable[[Callable[[StudyRecord], pd.DataFrame]], Callable[[StudyRecord], pd.DataFrame]]:
    """Decorator that enters a function under `name`."""

    def enter(run: Callable[[StudyRecord], pd.DataFrame]) -> Callable[[StudyRecord], pd.DataFrame]:
        ANALYSES[name] = Analysis(name, title, question, definition, paper, run)
        return run

    return enter
