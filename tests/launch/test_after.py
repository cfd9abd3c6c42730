"""A job that takes the training of another cell starts when that one is done, and shares its end when it is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from assignbench import methods
from assignbench.config.cell import LocalPaths
from assignbench.launch import base
from assignbench.launch.base import Job, Jobs
from assignbench.records import CellRecord, finish, read_json, write_json
from assignbench.records.claim import CLAIM, Holder, holder_of
from assignbench.records.processes import began_of, boot
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study


@pytest.fixture
def jobs(tiny_study, tmp_path, monkeypatch) -> list[Job]:
    """Three jobs: a cell that is trained, and two that take its training; the trained one stands last."""
    monkeypatch.setattr(base, "POLL_SECONDS", 0.01)
    cells = cells_of(read_study(tiny_study, seeds=2), methods)
    taken = [c.paths.model_copy(update={"training": cells[0].id}) for c in cells[1:3]]
    folder = tmp_path / "runs"
    found = [Job(folder / c.id, c.config, paths) for c, paths in zip(cells[1:3], taken, strict=True)]
    return [*found, Job(folder / cells[0].id, cells[0].config, cells[0].paths)]


@dataclass
class Watched:
    """A launcher whose jobs end after two polls as `ends` says by folder (code, state, reason); it notes the starts."""

    ends: dict[Path, tuple[int, str, str]] = field(default_factory=dict)
    started: list[Path] = field(default_factory=list)
    running: dict[Path, int] = field(default_factory=dict)

    def submit(self, job: Job) -> Job:
        assert job.after is None or CellRecord(job.after).lends
        assert job.after not in self.running
        self.started.append(job.folder)
        self.running[job.folder] = 0
        return job

    def poll(self, handle: Job) -> int | None:
        self.running[handle.folder] += 1
        if self.running[handle.folder] < 3:
            return None
        del self.running[handle.folder]
        code, state, reason = self.ends.pop(handle.folder, (0, "done", ""))
        if state == "done":
            finish(handle.folder)
        elif state:
            write_json(handle.folder / "status.json", {"state": state, "reason": reason})
        return code

    def ask(self, handle: Job) -> None: ...

    def cancel(self, handle: Job) -> int:
        return -15


def test_a_job_starts_when_its_training_is_done(jobs) -> None:
    launcher = Watched()
    Jobs(launcher, 3).run(jobs)
    assert launcher.started == [jobs[2].folder, jobs[0].folder, jobs[1].folder]
    for job in jobs:
        assert CellRecord(job.folder).state == "done" and holder_of(job.folder) is None
        local = LocalPaths.model_validate(read_json(job.folder / "local.json"))
        assert local.training == (jobs[2].folder.name if job.after else "")


def test_other_jobs_do_not_wait(jobs) -> None:
    free = Job(jobs[0].folder, jobs[0].config, jobs[0].paths.model_copy(update={"training": ""}))
    launcher = Watched()
    Jobs(launcher, 1).run([jobs[1], free, jobs[2]])
    assert launcher.started == [free.folder, jobs[2].folder, jobs[1].folder]


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_a_training_that_ends_badly_ends_so_for_all(jobs, state) -> None:
    launcher, seen = Watched({jobs[2].folder: (1, state, "step 3: not finite")}), []
    Jobs(launcher, 2).run(jobs, lambda running, ended: seen.append(ended))
    assert launcher.started == [jobs[2].folder] and seen[-1] == 3
    for job in jobs[:2]:
        record = CellRecord(job.folder)
        assert record.state == state and holder_of(job.folder) is None
        assert record.reason == f"its training is that of {jobs[2].folder.name}, which {state}: step 3: not finite"
    Jobs(Watched(), 2).run(jobs)  # the same again: now it does not fail
    assert [CellRecord(j.folder).state for j in jobs] == ["done"] * 3


@pytest.mark.parametrize(
    ("content", "lends"),
    [
        ({"files": {"weights.safetensors": {}}}, True),
        ({"files": {"weights-00000003.safetensors": {}}}, False),
        ({"files": None}, False),
        ({}, False),
    ],
)
def test_a_finished_training_is_taken_although_its_own_evaluation_failed(jobs, content, lends) -> None:
    """One reading that needs too much memory must not cost the others their numbers."""
    launcher = Watched({jobs[2].folder: (1, "failed", "the memory is used up")})
    write_json(jobs[2].folder / "checkpoint" / "step-00000003.json", content)
    Jobs(launcher, 2).run(jobs)
    states = [CellRecord(j.folder).state for j in jobs]
    assert states == (["done", "done", "failed"] if lends else ["failed"] * 3)


def test_a_training_that_was_stopped_leaves_all_pending(jobs) -> None:
    Jobs(Watched({jobs[2].folder: (130, "", "")}), 2).run(jobs)
    assert [CellRecord(j.folder).state for j in jobs] == ["pending"] * 3
    assert "which is not done" in CellRecord(jobs[0].folder).reason
    assert "the same command goes on" in CellRecord(jobs[0].folder).reason


def test_a_trained_cell_that_is_killed_once_is_still_waited_for(jobs) -> None:
    launcher = Watched({jobs[2].folder: (-9, "", "")})
    Jobs(launcher, 3).run(jobs)
    assert launcher.started == [jobs[2].folder, jobs[2].folder, jobs[0].folder, jobs[1].folder]
    assert [CellRecord(j.folder).state for j in jobs] == ["done"] * 3


def test_a_training_that_was_done_before_is_taken_at_once(jobs) -> None:
    Jobs(Watched(), 1).run(jobs[2:])
    stamp = (jobs[2].folder / "manifest.json").stat().st_mtime_ns
    launcher = Watched()
    Jobs(launcher, 2).run(jobs[:2])
    assert launcher.started == [j.folder for j in jobs[:2]]
    assert (jobs[2].folder / "manifest.json").stat().st_mtime_ns == stamp


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_a_training_of_another_run_is_waited_for(jobs, stranger) -> None:
    folder, now = jobs[2].folder, time.time()
    folder.mkdir(parents=True)
    began = began_of(stranger.pid)
    there = Holder(socket.gethostname(), boot(), stranger.pid, began, stranger.pid, began, now, now)
    write_json(folder / CLAIM, asdict(there))
    launcher, polls = Watched(), []

    def watch(running: object, ended: int) -> None:
        polls.append(len(launcher.started))
        if len(polls) == 5:
            write_json(folder / "config.json", jobs[2].config.model_dump(mode="json"))
            finish(folder)
            stranger.kill()
            stranger.wait()

    Jobs(launcher, 2).run(jobs[:2], watch)
    assert polls[:5] == [0] * 5 and launcher.started == [j.folder for j in jobs[:2]]
    assert os.getpid() != stranger.pid


def test_an_interruption_leaves_those_that_wait_pending(jobs) -> None:
    def stop(running: object, ended: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Jobs(Watched(), 2).run(jobs, stop)
    assert [CellRecord(j.folder).state for j in jobs] == ["pending"] * 3
