"""Cohorts of jobs: cells of the same batches go together, each is started and told for itself."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from assignbench import methods
from assignbench.launch import base
from assignbench.launch.base import LOST, Job, Jobs
from assignbench.launch.cohorts import ON_A_GPU, in_cohorts, most_apart, most_together
from assignbench.launch.local import LocalProcesses
from assignbench.records import CellRecord, finish, read_json, write_config, write_json
from assignbench.records.claim import EXIT_CLAIMED, holder_of, release, take
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study
from tests.conftest import STUDY


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> list[Job]:
    """Cells of two detectors, four methods and three seeds; one of the methods learns at another rate."""
    monkeypatch.setattr(base, "POLL_SECONDS", 0.01)
    path = tmp_path / "tiny.yaml"
    text = STUDY.replace("[iou, mutual_guidance]", "[iou, mutual_guidance, paa, atss]").replace("seeds: 1", "seeds: 3")
    path.write_text(text.replace("[retinanet-slim]", "[retinanet-slim, retinanet1-slim]"))
    return [Job(tmp_path / "runs" / c.id, c.config, c.paths) for c in cells_of(read_study(path), methods)]


def seen(job: Job) -> tuple[object, ...]:
    schedule = job.config.schedule
    return job.config.detector.name, job.config.data.name, job.config.seed, schedule.batch_size, schedule.total_steps(1)


def alike(jobs: list[Job]) -> list[Job]:
    """The four jobs that see the batches of the first."""
    return [job for job in jobs if seen(job) == seen(jobs[0])]


@pytest.mark.parametrize("draw", range(20))
def test_cohorts_are_of_one_detector_data_and_seed(jobs, draw) -> None:
    """Any jobs, in any order, with schedules as they come: nothing is lost, and none sees what it would not alone."""
    rng, most = np.random.default_rng(draw), 1 + draw % 9
    drawn = [jobs[n] for n in rng.permutation(len(jobs))[: int(rng.integers(1, len(jobs)))]]
    for number, job in enumerate(drawn):
        change = [{}, {"lr": 2e-3}, {"batch_size": 2}, {"steps": 9}][int(rng.integers(4))]
        schedule = job.config.schedule.model_copy(update=change)
        drawn[number] = replace(job, config=job.config.model_copy(update={"schedule": schedule}))
    found = in_cohorts(drawn, most)
    assert sorted(f for job in found for f in job.folders) == sorted(job.folder for job in drawn)
    for job in found:
        assert len({seen(cell) for cell in job.cells}) == 1 and len(job.cells) <= most
    for kind in {seen(job) for job in drawn}:
        sizes = [len(job.cells) for job in found if seen(job) == kind]
        count = sum(seen(job) == kind for job in drawn)
        assert len(sizes) == -(-count // most) and max(sizes) - min(sizes) <= 1
    leaders = [job.folder for job in found]
    assert leaders == [job.folder for job in drawn if job.folder in leaders]  # the order is kept


def test_one_that_takes_a_training_stays_alone(jobs) -> None:
    first, second, third, _ = alike(jobs)
    taking = replace(second, paths=second.paths.model_copy(update={"training": first.folder.name}))
    found = in_cohorts([first, taking, third], 8)
    assert [job.folders for job in found] == [[first.folder, third.folder], [taking.folder]]


@pytest.mark.parametrize(
    ("choice", "device", "kind", "workers", "expected"),
    [
        ("off", "cuda", "voc", 1, 1),
        ("5", "cpu", "shapes", 2, 5),
        ("auto", "cuda", "shapes", 1, ON_A_GPU),
        ("auto", "cuda", "shapes", 4, 6),
        ("auto", "cuda", "voc", 64, 1),
        ("auto", "cpu", "shapes", 2, 1),
        ("auto", "cpu", "voc", 2, 12),
        ("auto", "cpu", "voc", 64, 1),
    ],
)
def test_how_many_go_together(jobs, choice, device, kind, workers, expected) -> None:
    """On a CPU no worker is left without a cell for it, and cells that read no files gain nothing."""
    data = jobs[0].config.data.model_copy(update={"kind": kind})
    given = [replace(j, config=j.config.model_copy(update={"data": data})) for j in jobs]
    assert most_together(choice, device, given, workers) == expected


@pytest.mark.parametrize(
    ("choice", "device", "workers", "expected"),
    [
        ("off", "cuda", 1, 1),
        ("5", "cpu", None, 5),
        ("5", "cuda", 3, 5),
        ("auto", "cpu", None, 1),
        ("auto", "cpu", 1, 1),
        ("auto", "cuda", None, 1),
        ("auto", "cuda", 2, ON_A_GPU),
        ("auto", "cuda", 8, 3),
    ],
)
def test_how_many_go_together_on_a_cluster(jobs, choice, device, workers, expected) -> None:
    """As many machines as there are cells, unless GPUs are bounded."""
    data = jobs[0].config.data.model_copy(update={"kind": "voc"})
    given = [replace(j, config=j.config.model_copy(update={"data": data})) for j in jobs]
    assert len(jobs) == 24 and most_apart(choice, device, given, workers) == expected


class Cohorts:
    """A launcher whose processes end as `ends` says: their exit code, and per cell the state that is written."""

    def __init__(self, *ends: tuple[int, tuple[str, ...]]) -> None:
        self.ends, self.started, self.notes = list(ends), [], []

    def submit(self, job: Job) -> tuple[int, Job]:
        code, states = self.ends.pop(0) if self.ends else (0, ("done",) * len(job.cells))
        self.started.append(len(job.cells))
        self.notes.append([CellRecord(cell.folder).status.get("notes", []) for cell in job.cells])
        for cell, state in zip(job.cells, states, strict=True):
            if state == "done":
                finish(cell.folder)
            elif state:
                write_json(cell.folder / "status.json", {"state": state, "step": 4})
        return code, job

    def poll(self, handle: tuple[int, Job]) -> int | None:
        return handle[0]

    def ask(self, handle: tuple[int, Job]) -> None: ...

    def cancel(self, handle: tuple[int, Job]) -> int:
        return -15


def states(jobs: list[Job]) -> list[str]:
    return [CellRecord(cell.folder).state for job in jobs for cell in job.cells]


def test_every_cell_of_a_cohort_is_told_and_given_back(jobs) -> None:
    together, watched = in_cohorts(jobs[:6], 2), []
    Jobs(Cohorts(), 2).run(together, lambda running, ended: watched.append((len(running), ended)))
    assert states(together) == ["done"] * 6 and watched[-1] == (0, 6)
    assert all(holder_of(job.folder) is None for job in jobs[:6])


def test_of_a_cohort_that_is_killed_each_cell_left_gets_a_process_of_its_own(jobs) -> None:
    """What one does to its process, such as taking all memory, costs the others no more than the last steps."""
    together = in_cohorts(alike(jobs), 4)
    launcher = Cohorts((-9, ("done", "running", "failed", "running")), (-9, ("running",)))
    Jobs(launcher, 1).run(together)
    assert launcher.started == [4, 1, 1]
    assert states(together) == ["done", "failed", "failed", "done"]
    assert ["started again" in str(notes) for notes in launcher.notes] == [False, True, True]


@pytest.mark.parametrize(("workers", "at_once"), [(1, 1), (2, 2), (8, 3)])
def test_the_processes_of_a_cohort_that_was_killed_share_the_room_for_images(jobs, workers, at_once) -> None:
    together = in_cohorts(alike(jobs), 4)
    Jobs(Cohorts((-9, ("done", "running", "running", "running"))), workers).run(together)
    told = [read_json(cell.folder / "local.json")["at_once"] for cell in together[0].cells]
    assert told == [1, *[at_once] * 3]


def test_a_cohort_whose_machine_is_lost_stays_together(jobs) -> None:
    launcher = Cohorts((LOST, ("done", "running", "failed", "running")), (LOST, ("running", "done")))
    Jobs(launcher, 4).run(in_cohorts(alike(jobs), 4))
    assert launcher.started == [4, 2, 1]
    assert states(alike(jobs)) == ["done", "done", "failed", "done"]
    assert ["its machine was lost at step 4" in str(notes) for notes in launcher.notes] == [False, True, True]


def test_a_cohort_that_stops_leaves_its_cells_pending(jobs) -> None:
    together = in_cohorts(alike(jobs), 4)
    Jobs(Cohorts((130, ("pending", "running", "done", "diverged"))), 1).run(together)
    assert states(together) == ["pending", "pending", "done", "diverged"]
    reasons = [CellRecord(f).reason for f in together[0].folders]
    assert "goes on from its last checkpoint" in reasons[1]


def another_run(jobs: Sequence[Job], ends: Sequence[str], place: Path) -> None:
    """Has cells until it is told to go on, and then ends them so; what it has not ended when it is gone is anyone's."""
    for job in jobs:
        take(job.folder)
        write_config(job.folder, job.config)
        write_json(job.folder / "local.json", job.paths.model_dump(mode="json"))
        write_json(job.folder / "status.json", {"state": "running"})
    (place / "there").touch()
    while not (place / "go").exists():
        time.sleep(0.01)
    for job, end in zip(jobs, ends, strict=True):
        if end == "done":
            finish(job.folder)
        elif end:
            write_json(job.folder / "status.json", {"state": end, "reason": "there"})
        if end:
            release(job.folder)
    os._exit(0)


@pytest.mark.parametrize("draw", range(12))
def test_what_another_run_has_is_left_out_of_a_cohort(jobs, tmp_path, draw) -> None:
    """Any members, ended there in any way: each is trained once, and what is left there is trained here."""
    rng, four = np.random.default_rng(draw), alike(jobs)
    ends = {job.folder: str(rng.choice(["here", "done", "failed", ""])) for job in four}
    theirs = [job for job in four if ends[job.folder] != "here"]
    other = get_context("fork").Process(target=another_run, args=(theirs, [ends[j.folder] for j in theirs], tmp_path))
    other.start()
    while not (tmp_path / "there").exists():
        time.sleep(0.01)
    launcher, counts = Cohorts(), []

    def watch(running: object, ended: int) -> None:
        (tmp_path / "go").touch()
        counts.append(ended)

    Jobs(launcher, 2).run(in_cohorts(four, 4), watch)
    other.join()
    mine, lost = 4 - len(theirs), list(ends.values()).count("")
    assert launcher.started[:1] == [mine] or not mine
    assert sum(launcher.started) == mine + lost and counts[-1] == 4
    assert [CellRecord(job.folder).state for job in four] == [
        "failed" if ends[job.folder] == "failed" else "done" for job in four
    ]
    assert all(holder_of(job.folder) is None for job in four)


@pytest.mark.parametrize("states", [("done", "", "failed", "pending"), ("", "", "", "")])
def test_what_a_process_found_in_the_hands_of_others_waits_again(jobs, states) -> None:
    together = in_cohorts(alike(jobs), 4)
    launcher = Cohorts((EXIT_CLAIMED, states))
    Jobs(launcher, 4).run(together)
    left = sum(state not in ("done", "failed") for state in states)
    assert launcher.started == [4] + [1] * left
    assert [CellRecord(f).state for f in together[0].folders] == [s if s == "failed" else "done" for s in states]


def test_a_cohort_is_one_command_line(jobs, monkeypatch) -> None:
    told: list[list[str]] = []
    monkeypatch.setattr("assignbench.starting.subprocess.Popen", lambda command, **options: told.append(command))
    (job,) = in_cohorts(alike(jobs), 4)
    job.folder.mkdir(parents=True)
    LocalProcesses("cpu").submit(job)
    assert told[0][-6:] == [*map(str, job.folders), "cpu", str(os.getpid())]
