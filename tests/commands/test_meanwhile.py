"""The report of a run that is still going: when it is written, how much of the time that takes, and what it says."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import time

import pytest

from assignbench.commands import meanwhile
from assignbench.commands.meanwhile import GUESSED_SECONDS, SHARE, Meanwhile, written_apart
from assignbench.launch.progress import Progress
from assignbench.report import build_report
from tests.report.written import write_study

PATIENCE = 600.0  # seconds: machines are busy
RUNNING = [Progress("a", "training", 1, 9, 1.0, None)]


class Pretended:
    """A process that writes a report for so many seconds of a clock that is set by hand."""

    def __init__(self, clock, seconds: float, code: int) -> None:
        self.clock, self.ends, self.code = clock, clock[0] + seconds, code
        self.returncode: int | None = None

    def poll(self) -> int | None:
        self.returncode = self.code if self.clock[0] >= self.ends else None
        return self.returncode

    def terminate(self) -> None:
        self.ends, self.code = self.clock[0], -15

    def wait(self, timeout: float) -> int:
        return self.code


def watched(monkeypatch, folder, seconds: float, code: int = 0):
    """A clock, what is told, the processes that were started, and who starts them."""
    clock, told, made = [0.0], [], []

    def start(folder) -> Pretended:
        made.append((clock[0], Pretended(clock, seconds, code)))
        return made[-1][1]

    monkeypatch.setattr(meanwhile, "written_apart", start)
    return clock, told, made, Meanwhile(folder, told.append, lambda: clock[0])


@pytest.mark.parametrize("seconds", [0.0, 2.0, 30.0, 400.0])
def test_reports_take_their_share_and_no_more(tmp_path, monkeypatch, seconds) -> None:
    clock, told, made, one = watched(monkeypatch, tmp_path, seconds)
    hours = 10 * 3600
    for clock[0] in range(hours):
        one.watch(RUNNING, clock[0] // 20)
    assert made[0][0] >= GUESSED_SECONDS / SHARE
    assert len(made) > 3
    assert len(made) * seconds <= SHARE * hours + seconds
    assert all(later >= before + seconds for (before, _), (later, _) in itertools.pairwise(made))
    assert len(told) == 1 and str(tmp_path) in told[0]


def test_none_without_a_new_cell_and_none_at_the_end(tmp_path, monkeypatch) -> None:
    clock, _, made, one = watched(monkeypatch, tmp_path, 1.0)
    for clock[0] in range(0, 100_000, 10):
        one.watch(RUNNING, 2)
    assert len(made) == 1  # the same two cells
    one.watch([], 3)
    assert len(made) == 1  # nothing runs: the report comes at once


def test_a_failure_is_not_told_and_a_report_is_ended(tmp_path, monkeypatch) -> None:
    clock, told, made, one = watched(monkeypatch, tmp_path, 5.0, code=1)
    for clock[0] in range(0, 5_000, 10):
        one.watch(RUNNING, clock[0] // 100)
    assert len(made) > 1 and not told
    while one._process is None:
        clock[0] += 10
        one.watch(RUNNING, int(clock[0]))
    one.close()
    assert made[-1][1].code == -15
    one.close()  # nothing is left to be ended


def test_the_page_is_that_of_the_report(tmp_path) -> None:
    study = write_study(tmp_path / "one", seeds=1, images=6, analyses=["averages"])
    other = shutil.copytree(study, tmp_path / "two" / study.name)
    assert written_apart(study).wait(PATIENCE) == 0
    assert (study / "report" / "index.html").read_bytes() == build_report(other).read_bytes()


def test_one_that_is_ended_leaves_what_was_there(tmp_path) -> None:
    study = write_study(tmp_path, seeds=1, images=6, analyses=["averages"])
    page = build_report(study)
    before = page.read_bytes()
    (study / "cache" / "figures.json").unlink(missing_ok=True)
    process = written_apart(study)
    until = time.monotonic() + PATIENCE
    while not list(study.glob(".report.*")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(PATIENCE) == 1
    assert page.read_bytes() == before and not list(study.glob(".report.*"))


def test_a_broken_record_is_a_failure(tmp_path) -> None:
    (tmp_path / "study.json").write_text("[")
    assert written_apart(tmp_path).wait(PATIENCE) == 1
