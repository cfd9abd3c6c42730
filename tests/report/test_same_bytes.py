"""The same records give the same report, whenever it is written; and a frozen one, whoever changes the code."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import pytest

from assignbench.report import build_report
from assignbench.report.kept import INDEX
from tests.report.written import METHODS, write_study

GOLDEN = Path(__file__).parent / "golden" / "report.md"
ANALYSES = ["averages", "differences", "size", "images", "orphans", "claims"]
CLAIMS = [{"claim": "mutual_guidance > iou on AP", "paper": "MG, Table 1"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    chosen = {name: METHODS[name] for name in ("iou", "mutual_guidance")}
    return write_study(
        tmp_path_factory.mktemp("same"), seeds=3, images=6, methods=chosen, analyses=ANALYSES, claims=CLAIMS
    )


@pytest.fixture(scope="module")
def report(folder) -> dict[str, bytes]:
    """The files of its report."""
    return contents(build_report(folder).parent)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_frozen_report(report) -> None:
    """What stands on a page changes on purpose alone: ASSIGNBENCH_GOLDEN=write writes it anew, for the eye to judge."""
    text = report["report.md"].decode()
    if os.environ.get("ASSIGNBENCH_GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


class Later(datetime.datetime):
    """The clock of another year."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return datetime.datetime(2031, 5, 4, 3, 2, 1, tzinfo=tz)

    utcnow = today = now


def test_two_dates_give_one_report(folder, report, monkeypatch) -> None:
    first = report
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 1e8)
    monkeypatch.setattr(datetime, "datetime", Later)
    (folder / INDEX).unlink()  # so that every figure is drawn again
    second = contents(build_report(folder).parent)
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert {Path(n).suffix for n in first} >= {".svg", ".pdf", ".png", ".jpg", ".csv", ".tex", ".md", ".bib", ".html"}
