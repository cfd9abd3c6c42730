"""Several runs on one folder part the work: no cell is started twice, whatever ends how, and all see the same end."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from assignbench import methods
from assignbench.launch import base
from assignbench.launch.base import Job, Jobs
from assignbench.records import CellRecord, finish, write_json
from assignbench.records.claim import holder_of
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study

FORK = multiprocessing.get_context("fork")


@dataclass
class Diary:
    """A launcher that writes every start to a diary; its jobs end after some polls as `ends` says by place."""

    folder: Path
    dice: random.Random
    ends: Sequence[str]
    left: dict[Path, int] = field(default_factory=dict)

    def submit(self, job: Job) -> Job:
        with (self.folder / "diary.txt").open("a") as file:
            file.write(f"{job.folder.name}\n")
        self.left[job.folder] = self.dice.randrange(6)
        write_json(job.folder / "status.json", {"state": "running", "step": 1, "steps": 2})
        return job

    def poll(self, handle: Job) -> int | None:
        self.left[handle.folder] -= 1
        if self.left[handle.folder] >= 0:
            return None
        end = self.ends[int(handle.folder.name[-8:], 16) % len(self.ends)]
        if end == "done":
            finish(handle.folder)
            return 0
        write_json(handle.folder / "status.json", {"state": end, "reason": f"in process {os.getpid()}"})
        return 1

    def ask(self, handle: Job) -> None: ...

    def cancel(self, handle: Job) -> int:
        return -15


def work(jobs: Sequence[Job], folder: Path, seed: int, ends: Sequence[str], workers: int) -> None:
    """What a run does."""
    base.POLL_SECONDS = 0.005
    (folder / f"ready-{seed}").touch()
    while not (folder / "go").exists():
        time.sleep(0.001)
    Jobs(Diary(folder, random.Random(seed), ends), workers).run(jobs)
    os._exit(0)


@pytest.fixture
def jobs(tiny_study, tmp_path) -> list[Job]:
    """Six jobs, two of which take the training of others."""
    cells = cells_of(read_study(tiny_study, seeds=3), methods)
    trains = {1: cells[0].id, 5: cells[4].id}
    paths = [c.paths.model_copy(update={"training": trains.get(n, "")}) for n, c in enumerate(cells)]
    return [Job(tmp_path / "runs" / c.id, c.config, p) for c, p in zip(cells, paths, strict=True)]


def begun(runs: list[multiprocessing.process.BaseProcess], folder: Path, seeds: Sequence[int]) -> None:
    """Starts runs in one moment."""
    for run in runs:
        run.start()
    while not all((folder / f"ready-{seed}").exists() for seed in seeds):
        time.sleep(0.001)
    (folder / "go").touch()


@pytest.mark.parametrize("ends", [["done"], ["done", "failed", "diverged"]])
@pytest.mark.parametrize("turn", range(6))
def test_runs_started_in_one_moment_start_no_cell_twice(jobs, tmp_path, turn, ends) -> None:
    dice = random.Random(turn)
    seeds = range(2 + turn % 2)
    orders = [dice.sample(jobs, len(jobs)) for _ in seeds]
    runs = [
        FORK.Process(target=work, args=(order, tmp_path, seed, ends, dice.randrange(1, 4)))
        for order, seed in zip(orders, seeds, strict=True)
    ]
    begun(runs, tmp_path, seeds)
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * len(runs)
    started = (tmp_path / "diary.txt").read_text().split()
    assert len(started) == len(set(started))
    for job in jobs:
        record = CellRecord(job.folder)
        assert record.state in ("done", "failed", "diverged") and holder_of(job.folder) is None
        assert (job.folder.name in started) or "its training is that of" in record.reason
    if ends == ["done"]:
        assert len(started) == len(jobs)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("turn", range(3))
def test_what_a_run_leaves_behind_another_one_brings_to_its_end(jobs, tmp_path, turn, number) -> None:
    runs = [FORK.Process(target=work, args=(jobs, tmp_path, seed, ["done"], 2)) for seed in (turn, 10 + turn)]
    begun(runs, tmp_path, (turn, 10 + turn))
    time.sleep(0.01 + 0.02 * turn)
    subprocess.run(["kill", f"-{int(number)}", str(runs[0].pid)], check=False)
    for run in runs:
        run.join(60)
    assert runs[1].exitcode == 0
    assert {CellRecord(j.folder).state for j in jobs} == {"done"}
    started = (tmp_path / "diary.txt").read_text().split()
    assert len(started) <= len(jobs) + 2  # at most what ran in the one that was ended is begun again


def test_a_cell_that_failed_before_is_tried_again_by_each_run_that_finds_it_failed(jobs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(base, "POLL_SECONDS", 0.005)
    for _ in range(2):
        Jobs(Diary(tmp_path, random.Random(0), ["failed"]), 1).run(jobs[2:3])
    assert len((tmp_path / "diary.txt").read_text().split()) == 2
