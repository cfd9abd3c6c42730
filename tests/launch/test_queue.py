"""Slurm's answers, given by stand-ins for its programs: what becomes of a cell whose job ends so or so."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from assignbench import methods
from assignbench.config.cluster import OwnCluster
from assignbench.errors import InputError
from assignbench.launch import slurm, slurm_task
from assignbench.launch.base import Job
from assignbench.launch.queue import JobState, ask_slurm, job_line, job_of, note_job
from assignbench.launch.slurm import PROGRAMS, SlurmJobs
from assignbench.launch.slurm_task import Task
from assignbench.records import finish, write_config, write_json
from assignbench.records.claim import EXIT_CLAIMED, EXIT_FAILED, EXIT_STOPPED
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study

ENDED = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder of programs called like Slurm's; squeue prints the file `queue`, others write down what they get."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / "queue").write_text("")
    for name in PROGRAMS:
        does = f"cat {place}/queue" if name == "squeue" else f'echo "$@" >> {place}/{name}.txt'
        (place / name).write_text(f"#!/bin/sh\n{does}\n")
        (place / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_submitit", lambda: None)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.0)
    return place


@pytest.fixture
def job(tiny_study, tmp_path) -> Job:
    cell = cells_of(read_study(tiny_study), methods)[0]
    found = Job(tmp_path / "runs" / cell.id, cell.config, cell.paths)
    write_config(found.folder, cell.config)
    return found


def test_the_queue_is_read(programs) -> None:
    assert ask_slurm() == {}
    (programs / "queue").write_text("7_0|RUNNING|node1\n7_1|PENDING|(Resources)\nslurm is tired\n8|NODE_FAIL|a|b\n")
    assert ask_slurm() == {
        "7_0": JobState("RUNNING", "node1"),
        "7_1": JobState("PENDING", "(Resources)"),
        "8": JobState("NODE_FAIL", "a|b"),
    }
    (programs / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert ask_slurm() is None


def test_status_says_where_a_job_waits(programs, tmp_path) -> None:
    assert job_line(tmp_path, {}) == ""
    note_job(tmp_path, "7_1")
    assert job_of(tmp_path) == "7_1"
    assert job_line(tmp_path, {"7_1": JobState("PENDING", "(Resources)")}) == "Slurm job 7_1: pending (Resources)"
    assert job_line(tmp_path, {"7_1": JobState("COMPLETED", "")}) == job_line(tmp_path, {}) == ""
    assert "squeue says nothing here" in job_line(tmp_path, None)
    (tmp_path / "queued.json").write_text("[")
    assert job_of(tmp_path) == ""


@pytest.mark.parametrize("state", [*ENDED, ""])
@pytest.mark.parametrize(
    ("cell", "code"),
    [("done", 0), ("failed", EXIT_FAILED), ("diverged", EXIT_FAILED), ("stopped", EXIT_STOPPED), ("running", None)],
)
def test_what_a_job_leaves_is_told(programs, job, state, cell, code) -> None:
    note_job(job.folder, "7_1")
    (programs / "queue").write_text("7_1|RUNNING|node1\n")
    launcher = SlurmJobs("cpu", OwnCluster(), job.folder.parent / ".slurm")
    handle = launcher.submit(job)
    assert [launcher.poll(handle) for _ in range(4)] == [None] * 4 and launcher.cancel(handle) is None
    assert "`scancel 7`" in launcher.farewell()[0]
    if cell == "done":
        finish(job.folder)
    elif cell == "stopped":
        write_json(job.folder / "status.json", {"state": "pending", "reason": "stopped; resumes at step 3"})
    else:
        write_json(job.folder / "status.json", {"state": cell, "step": 3, "steps": 9})
    (programs / "queue").write_text(f"7_1|{state}|\n" if state else "")
    found = [launcher.poll(handle) for _ in range(2)]
    if code is None:
        code = EXIT_CLAIMED if state == "COMPLETED" else EXIT_FAILED
    assert found == [None, code]
    if cell == "running" and code == EXIT_FAILED:
        status = (job.folder / "status.json").read_text()
        assert f"Slurm job 7_1 {f'ended as {state}' if state else 'is gone'}" in status and '"step": 3' in status
    assert launcher.farewell() == []


def test_jobs_that_were_submitted_a_moment_ago_are_told_too(programs, job, monkeypatch) -> None:
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 60.0)
    executor = SimpleNamespace(
        update_parameters=lambda **options: None, batch=nullcontext, submit=lambda task: SimpleNamespace(job_id="9_0")
    )
    package = SimpleNamespace(SlurmExecutor=lambda folder, python: executor)
    monkeypatch.setattr(slurm, "_submitit", lambda: package)
    launcher = SlurmJobs("cpu", OwnCluster(), job.folder.parent / ".slurm")
    assert launcher.farewell() == []
    handle = launcher.submit(job)
    assert launcher.poll(handle) is None and job_of(job.folder) == "9_0"
    assert "1 job goes on in Slurm" in launcher.farewell()[0] and "`scancel 9`" in launcher.farewell()[0]


def test_a_question_that_slurm_does_not_answer_ends_no_job(programs, job) -> None:
    note_job(job.folder, "7_1")
    (programs / "queue").write_text("7_1|PENDING|(Priority)\n")
    launcher = SlurmJobs("cpu", OwnCluster(), job.folder.parent / ".slurm")
    handle = launcher.submit(job)
    (programs / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert [launcher.poll(handle) for _ in range(5)] == [None] * 5


def test_what_is_missing_is_said(programs, tmp_path, monkeypatch) -> None:
    with pytest.raises(InputError, match=r"cluster\.gpus: 0\.5 is a part of a GPU"):
        SlurmJobs("cuda", OwnCluster(gpus=0.5), tmp_path)
    (programs / "squeue").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match="squeue does not answer"):
        SlurmJobs("cpu", OwnCluster(), tmp_path)
    (programs / "sbatch").unlink()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(InputError, match="the command sbatch is not here"):
        SlurmJobs("cpu", OwnCluster(), tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
@pytest.mark.parametrize(
    ("state", "code", "tried", "again"),
    [
        ("RUNNING", EXIT_STOPPED, 0, True),
        ("RUNNING", -signal.SIGTERM, 0, True),
        ("RUNNING", EXIT_STOPPED, 10, False),  # ten starts without a step
        ("COMPLETING", EXIT_STOPPED, 0, False),  # cancelled, or put back by Slurm itself
        ("RUNNING", 0, 0, False),
    ],
)
def test_a_job_that_is_asked_to_end_goes_back_into_the_queue(
    programs, job, monkeypatch, number, state, code, tried, again
) -> None:
    (programs / "queue").write_text(f"{state}\n")
    for name, value in {"JOB_ID": "12", "ARRAY_JOB_ID": "11", "ARRAY_TASK_ID": "1", "RESTART_COUNT": tried}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    leaves = f"exit {code}" if code >= 0 else "trap - TERM; kill -TERM $$"

    def start(*given: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sh", "-c", f"trap '{leaves}' TERM; echo on; while :; do sleep 0.05; done"],
                                   stdout=subprocess.PIPE)  # fmt: skip
        assert process.stdout is not None and process.stdout.readline()
        subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -{int(number)} {os.getpid()}"])
        return process

    monkeypatch.setattr(slurm_task, "start", start)
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    try:
        assert Task((str(job.folder),), "cpu", 1)() == code
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    asked = programs / "scontrol.txt"
    assert (asked.read_text() == "requeue 11_1\n") if again else not asked.exists()


@pytest.mark.parametrize("sizes", [[1], [5], [1, 1], [4, 2], [7, 1, 1], [3, 3, 3, 3]])
@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 40])
def test_arrays_share_what_may_run_side_by_side(at_once, sizes) -> None:
    shares = slurm.shared(at_once, sizes)
    assert all(1 <= share <= size for share, size in zip(shares, sizes, strict=True))
    if len(sizes) <= at_once:
        assert sum(shares) == min(at_once, sum(sizes))
    assert slurm.shared(None, sizes) == [slurm.LARGEST_ARRAY] * len(sizes)


@pytest.mark.parametrize(
    ("at_once", "arrays"),
    [
        (None, [(500, ""), (500, ""), (500, "")]),
        (5, [(2, ""), (2, ""), (2, "")]),  # there is room for the third when the first has ended
        (2, [(1, ""), (1, ""), (2, "afterany:2")]),  # it takes both places
        (1, [(1, ""), (1, "afterany:1"), (1, "")]),  # the third comes when all have ended
    ],
)
def test_workers_bound_all_arrays_together(programs, job, monkeypatch, at_once, arrays) -> None:
    """Cells of two needs are two arrays; one more cell comes later."""
    asked: list[tuple[int, str]] = []

    class Executor:
        def __init__(self, *given: object, **more: object) -> None: ...

        def update_parameters(self, array_parallelism: int, additional_parameters: dict, **more: object) -> None:
            asked.append((array_parallelism, additional_parameters.get("dependency", "")))

        def batch(self) -> nullcontext[None]:
            return nullcontext()

        def submit(self, task: Task) -> SimpleNamespace:
            return SimpleNamespace(job_id=f"{len(asked)}_{Path(task.folders[0]).name}")

    monkeypatch.setattr(slurm, "_submitit", lambda: SimpleNamespace(SlurmExecutor=Executor))
    broad = job.config.model_copy(update={"schedule": job.config.schedule.model_copy(update={"threads": 2})})
    launcher = SlurmJobs("cpu", OwnCluster(), job.folder.parent / ".slurm", at_once)

    def jobs(letters: str, config: object) -> list[slurm.Submitted]:
        found = [Job(job.folder.parent / letter, config, job.paths) for letter in letters]
        for one in found:
            one.folder.mkdir()
        return [launcher.submit(one) for one in found]

    first = [*jobs("ab", job.config), *jobs("cd", broad)]
    launcher.poll(first[0])
    launcher._missed = {"1_a": 2, "1_b": 2} | ({"2_c": 2, "2_d": 2} if at_once == 1 else {})
    monkeypatch.setattr(SlurmJobs, "_look", lambda self: None)
    launcher.poll(jobs("ef", job.config)[0])
    assert asked == arrays
    if at_once == 2:
        launcher.poll(jobs("gh", job.config)[0])
        assert asked[-1] == (2, "afterany:3")
