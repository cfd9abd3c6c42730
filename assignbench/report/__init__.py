"""Reports: tables, figures and one page, built from records alone.

What draws is loaded when something is drawn: a command that refuses what it is given does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def _silent(text: str) -> None:
    """Tells nobody."""


def build_report(folder: Path, tell: Callable[[str], None] = _silent) -> Path:
    """Writes report/index.html and report/report.md under a study's run folder; returns the page's path.

    `tell` is told what is being worked on. Raises InputError for an analysis that is not known, and where `report` is
    a link.
    """
    from assignbench.report.page import build

    return build(folder, tell)


def publish_report(folder: Path, out: Path, tell: Callable[[str], None] = _silent) -> Path:
    """Writes report.md and its figures for publication: without pictures of images that are not our own scenes."""
    from assignbench.report.page import publish

    return publish(folder, out, tell)


__all__ = ["build_report", "publish_report"]
