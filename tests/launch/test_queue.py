"""Slurm's answers, given by stand-ins for its programs: what becomes of a cell whose job ends so or so."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
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
from assignbench.records import CellRecord, finish, write_config, write_json
from assignbench.records.claim import EXIT_CLAIMED, EXIT_FAILED, EXIT_STOPPED, holder_of
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


SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts back what listens to signals."""
    before = {n: signal.getsignal(n) for n in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def four(job) -> Job:
    """A cohort of four pending cells."""
    beside = tuple(replace(job, folder=job.folder.with_name(letter)) for letter in "bcd")
    for folder in (job.folder, *(one.folder for one in beside)):
        write_config(folder, job.config)
        write_json(folder / "status.json", {"state": "pending"})
    return replace(job, beside=beside)


def ends(folder: Path, state: str) -> None:
    """Leaves a cell in a state."""
    if state == "done":
        finish(folder)
    elif state == "stopped":
        write_json(folder / "status.json", {"state": "pending", "reason": "stopped; resumes at step 3", "step": 3})
    else:
        write_json(folder / "status.json", {"state": state, "step": 3, "steps": 9})


def states(job: Job) -> list[str]:
    return [CellRecord(folder).state for folder in job.folders]


def processes(monkeypatch, *rounds: tuple[int, tuple[str, ...]]) -> list[tuple[int, bool]]:
    """Processes that end so: their codes, and the states of their cells; returns how many cells each will have got, and
    whether the first of them is told to be begun again.
    """
    left, got = list(rounds), []

    def start(folders: list[Path], *given: object) -> SimpleNamespace:
        code, states = left.pop(0)
        got.append((len(folders), "started again" in str(CellRecord(folders[0]).status.get("notes"))))
        for folder, state in zip(folders, states, strict=True):
            ends(folder, state)
        return SimpleNamespace(wait=lambda: code, terminate=lambda: None)

    monkeypatch.setattr(slurm_task, "start", start)
    return got


def test_of_a_cohort_that_comes_again_only_what_has_not_ended_is_begun(four, monkeypatch, handlers) -> None:
    task = Task(tuple(map(str, four.folders)), "cpu", 1)
    got = processes(monkeypatch, (EXIT_STOPPED, ("done", "stopped", "diverged", "stopped")), (0, ("done", "done")))
    assert task() == EXIT_STOPPED
    with pytest.raises(RuntimeError, match=f"^{four.folders[2]}: "):  # the job of Slurm has failed
        task()
    assert got == [(4, False), (2, False)] and states(four) == ["done", "done", "diverged", "done"]


def test_of_a_cohort_that_is_killed_each_cell_left_gets_a_process_in_the_same_job(four, monkeypatch, handlers) -> None:
    killed = (-9, ("done", "running", "running", "failed"))
    got = processes(monkeypatch, killed, (0, ("done",)), (-9, ("running",)))
    with pytest.raises(RuntimeError, match=f"^{four.folders[3]}: "):
        Task(tuple(map(str, four.folders)), "cpu", 1)()
    assert got == [(4, False), (1, True), (1, True)] and states(four) == ["done", "done", "running", "failed"]
    assert all(holder_of(folder) is None for folder in four.folders)


@pytest.mark.parametrize(
    "states_left", [("failed", "pending", "done", "done"), ("pending", "diverged", "pending", "done")]
)
def test_a_job_does_not_fail_where_others_have_some_of_its_cells(four, monkeypatch, handlers, states_left) -> None:
    """Else these would be taken for failed with it. The failed ones say so themselves."""
    processes(monkeypatch, (EXIT_CLAIMED, states_left))
    assert Task(tuple(map(str, four.folders)), "cpu", 1)() == EXIT_CLAIMED
    assert tuple(states(four)) == states_left


@pytest.mark.parametrize(
    ("state", "left", "code", "wanted"),
    [
        ("COMPLETED", ("done",) * 4, 0, ("done",) * 4),
        ("FAILED", ("done", "failed", "done", "diverged"), EXIT_FAILED, ("done", "failed", "done", "diverged")),
        ("COMPLETED", ("done", "pending", "done", "done"), EXIT_CLAIMED, ("done", "pending", "done", "done")),
        ("COMPLETED", ("done", "pending", "failed", "done"), EXIT_CLAIMED, ("done", "pending", "failed", "done")),
        ("CANCELLED", ("done", "stopped", "failed", "stopped"), EXIT_STOPPED, ("done", "pending", "failed", "pending")),
        ("TIMEOUT", ("done", "running", "diverged", "running"), EXIT_FAILED, ("done", "failed", "diverged", "failed")),
        ("OUT_OF_MEMORY", ("done", "running", "failed", "running"), -9, ("done", "running", "failed", "running")),
    ],
)
def test_what_a_cohort_leaves_is_told_cell_by_cell(programs, four, state, left, code, wanted) -> None:
    for folder in four.folders:
        note_job(folder, "7_1")
    (programs / "queue").write_text("7_1|RUNNING|node1\n")
    launcher = SlurmJobs("cpu", OwnCluster(), four.folder.parent / ".slurm")
    handle = launcher.submit(four)
    assert launcher.poll(handle) is None and "1 job goes on" in launcher.farewell()[0]
    for folder, how in zip(four.folders, left, strict=True):
        ends(folder, how)
    (programs / "queue").write_text(f"7_1|{state}|\n")
    assert [launcher.poll(handle) for _ in range(2)] == [None, code]
    assert tuple(states(four)) == wanted


class Executor:
    """Stands in for submitit's; `tasks` are what was submitted."""

    tasks: list[Task] = []

    def __init__(self, *given: object, **more: object) -> None: ...

    def update_parameters(self, **options: object) -> None: ...

    def batch(self) -> nullcontext[None]:
        return nullcontext()

    def submit(self, task: Task) -> SimpleNamespace:
        self.tasks.append(task)
        return SimpleNamespace(job_id=f"9_{len(self.tasks)}")


def test_cells_that_an_earlier_run_has_submitted_are_left_out_of_a_cohort(programs, four, monkeypatch) -> None:
    """Two are in the queue, in two jobs; the others become one. A failed cell that was not tried again there waits."""
    monkeypatch.setattr(slurm, "_submitit", lambda: SimpleNamespace(SlurmExecutor=Executor))
    monkeypatch.setattr(Executor, "tasks", [])
    a, b, c, d = four.folders
    note_job(a, "7_0")
    note_job(c, "7_1")
    (programs / "queue").write_text("7_0|RUNNING|node1\n7_1|PENDING|\n")
    launcher = SlurmJobs("cpu", OwnCluster(), four.folder.parent / ".slurm")
    handle = launcher.submit(four)
    (programs / "queue").write_text("7_0|FAILED|\n7_1|COMPLETED|\n9_1|RUNNING|\n")
    assert [launcher.poll(handle) for _ in range(4)] == [None] * 4
    assert [task.folders for task in Executor.tasks] == [(str(b), str(d))]
    assert [job_of(folder) for folder in four.folders] == ["7_0", "9_1", "7_1", "9_1"]
    for folder in (b, c, d):
        ends(folder, "done")
    (programs / "queue").write_text("7_0|FAILED|\n7_1|COMPLETED|\n9_1|COMPLETED|\n")
    assert [launcher.poll(handle) for _ in range(2)] == [None, EXIT_CLAIMED]
    assert states(four) == ["pending", "done", "done", "done"]


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
