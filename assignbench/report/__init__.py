"""Reports: tables, figures and one page, built from records alone.

What draws is loaded when something is drawn: a command that refuses what it is given does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from assignbench.report.garbage import seldom


def _silent(text: str) -> None:
    """Tells nobody."""


def build_report(folder: Path, tell: Callable[[str], None] = _silent, say: Callable[[str], None] = _silent) -> Path:
    """Writes report/index.html and report/report.md under a study's run folder; returns the page's path.

    `tell` is told what is being worked on, and `say` at the end what the study asks and the page has no verdict on,
    a sentence each with its reason. Raises InputError for an analysis that is not known, and where `report` is
    a link; Contradiction, after the page was written, where it fails its own check.
    """
    with seldom():
        from assignbench.report.page import build

        return build(folder, tell, say)


def prepare_report(folder: Path) -> None:
    """Works out, in this process, what the report will ask of the cells that are finished now, and keeps it there."""
    with seldom():
        from assignbench.report.page import prepare_finished

        prepare_finished(folder)


def publish_report(
    folder: Path, out: Path, tell: Callable[[str], None] = _silent, say: Callable[[str], None] = _silent
) -> Path:
    """Writes report.md, its figures and the numbers of every cell; shows no images but those of our own scenes.

    Raises Contradiction, and publishes nothing, where the page fails its own check.
    """
    with seldom():
        from assignbench.report.page import publish

        return publish(folder, out, tell, say)


__all__ = ["build_report", "prepare_report", "publish_report"]
