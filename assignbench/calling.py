"""The command line and the analyses, called from Python."""

from __future__ import annotations

from pathlib import Path

from assignbench.analysis import ANALYSES, StudyRecord
from assignbench.analysis.result import Result
from assignbench.errors import InputError, nearest


def command(*words: str | Path) -> int:
    """Runs a command as the terminal would, e.g. `command("run", "mine.yaml", "--quiet")`; returns its exit code."""
    from assignbench.cli import main  # which loads what the command needs

    return main([str(word) for word in words])


def analyse(study: StudyRecord, name: str) -> list[Result]:
    """The results of an analysis by its name (`assignbench list analyses`) on the records of a study.

    Each has a `frame` with its rows. Raises InputError for an unknown name.
    """
    if name not in ANALYSES:
        raise InputError(f"unknown analysis '{name}'{nearest(name, list(ANALYSES))}")
    return ANALYSES[name].run(study)
