"""Launching: at most so many at a time, every end is told, and a cell that is being trained is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from assignbench import methods, starting
from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.launch import base, local
from assignbench.launch.base import Job, Jobs
from assignbench.launch.local import LocalProcesses, default_workers
from assignbench.launch.progress import Gauges
from assignbench.records import CellRecord, finish, read_json, write_json
from assignbench.records.claim import EXIT_FAILED, holder_of
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study


@pytest.fixture
def jobs(tiny_study, tmp_path, monkeypatch) -> list[Job]:
    monkeypatch.setattr(base, "POLL_SECONDS", 0.01)
    cells = cells_of(read_study(tiny_study, seeds=3), methods)
    return [Job(tmp_path / "runs" / c.id, c.config, c.paths) for c in cells]


@dataclass
class Pretended:
    """A launcher whose jobs end after a few polls with a given code, and write their state if told so."""

    code: int = 0
    state: str = "done"
    polls: int = 3
    running: dict[str, int] = field(default_factory=dict)
    most: int = 0
    started: int = 0
    asked: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, job: Job) -> Job:
        self.running[job.name] = 0
        self.started += 1
        self.most = max(self.most, len(self.running))
        if self.state == "done":
            finish(job.folder, step=8, steps=8)
        elif self.state:
            write_json(job.folder / "status.json", {"state": self.state, "step": 4, "steps": 8})
        return job

    def poll(self, handle: Job) -> int | None:
        self.running[handle.name] += 1
        if self.running[handle.name] < self.polls:
            return None
        del self.running[handle.name]
        return self.code

    def ask(self, handle: Job) -> None:
        self.asked.append(handle.name)

    def cancel(self, handle: Job) -> int:
        assert handle.name in self.asked
        self.cancelled.append(handle.name)
        return -15


def test_jobs_run_side_by_side_and_their_folders_start_complete(jobs) -> None:
    launcher, seen = Pretended(), []
    Jobs(launcher, 2).run(jobs, lambda running, ended: seen.append((len(running), ended)))
    assert launcher.most == 2 and len(jobs) == 6
    assert seen[-1] == (0, 6) and max(count for count, _ in seen) <= 2
    for job in jobs:
        assert CellRecord(job.folder).trained == job.config
        assert LocalPaths.model_validate(read_json(job.folder / "local.json")) == job.paths.model_copy(
            update={"at_once": 2}
        )
        assert CellRecord(job.folder).state == "done"


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 3), (3, 5), (4, 6), (6, 6)])
def test_the_last_cells_share_the_cores(jobs, workers, most) -> None:
    """Of six cells that end one by one."""

    class OneByOne(Pretended):
        def poll(self, handle: Job) -> int | None:
            return super().poll(handle) if handle.name == min(self.running) else None

    launcher, seen = OneByOne(), []
    Jobs(launcher, workers, sharing=True).run(jobs, lambda running, ended: seen.append((len(running), ended)))
    assert launcher.most == most and seen[-1] == (0, 6)
    assert all(running <= workers for running, ended in seen if 6 - ended >= 2 * workers)


@pytest.mark.parametrize(
    ("workers", "more", "at_once"),
    [(1, {}, 1), (2, {}, 2), (2, {"sharing": True}, 3), (16, {}, 6), (2, {"apart": True}, 1)],
)
def test_a_cell_knows_how_many_it_shares_the_machine_with(jobs, workers, more, at_once) -> None:
    Jobs(Pretended(), workers, **more).run(jobs)
    assert len(jobs) == 6
    assert {read_json(job.folder / "local.json")["at_once"] for job in jobs} == {at_once}


@pytest.mark.parametrize(
    ("code", "state", "told"),
    [
        (-9, "failed", "signal 9 (out of memory, or killed)"),
        (-11, "failed", "signal 11"),
        (3, "failed", "code 3; see"),
        (-15, "pending", "goes on from its last checkpoint"),
        (130, "pending", "goes on from its last checkpoint"),
    ],
)
def test_a_process_that_dies_without_a_word_leaves_the_reason(jobs, code, state, told) -> None:
    launcher = Pretended(code=code, state="")
    Jobs(launcher, 1).run(jobs[:1])
    status = CellRecord(jobs[0].folder).status
    assert status["state"] == state and told in status["reason"]
    killed = code in (-9, -11)
    assert launcher.started == (2 if killed else 1)
    assert any("started again" in n for n in status.get("notes", [])) == killed
    assert holder_of(jobs[0].folder) is None


def test_a_damaged_cell_is_not_done_any_more_when_it_is_begun_again(jobs) -> None:
    job = jobs[0]
    Jobs(Pretended(), 1).run([job])
    (job.folder / "local.json").unlink()  # may change
    assert CellRecord(job.folder).state == "done"
    (job.folder / "config.json").write_text("{")
    assert CellRecord(job.folder).state == "damaged"
    Jobs(Pretended(code=3, state=""), 1).run([job])
    assert CellRecord(job.folder).state == "failed" and "code 3" in CellRecord(job.folder).reason


def test_a_failed_cell_keeps_its_own_reason(jobs) -> None:
    Jobs(Pretended(code=1, state="diverged"), 1).run(jobs[:1])
    assert CellRecord(jobs[0].folder).state == "diverged" and "reason" not in CellRecord(jobs[0].folder).status


def test_an_interruption_ends_what_runs_and_leaves_it_pending(jobs) -> None:
    launcher = Pretended(state="running", polls=10**6)

    def stop(running: object, ended: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Jobs(launcher, 2).run(jobs, stop)
    assert launcher.cancelled == [j.name for j in jobs[:2]]
    assert [CellRecord(j.folder).state for j in jobs] == ["pending"] * 6


def test_progress_tells_speed_and_what_is_left(jobs) -> None:
    job, gauges = jobs[0], Gauges()
    write_json(job.folder / "status.json", {"state": "running", "phase": "training", "step": 2, "steps": 8})
    gauges._speeds[job.folder] = (time.monotonic() - 10, 0)
    progress = gauges.read(job.folder, job.config)
    assert (progress.step, progress.steps, progress.phase) == (2, 8, "training")
    assert progress.images_per_second == pytest.approx(0.2 * job.config.schedule.batch_size, rel=0.1)
    assert progress.seconds_left == pytest.approx(30, rel=0.1)


@pytest.mark.parametrize(("apart", "phase"), [(True, "waiting"), (False, "starting")])
def test_a_cell_in_a_queue_waits(jobs, apart, phase) -> None:
    write_json(jobs[0].folder / "status.json", {"state": "pending"})
    assert Gauges(apart).read(jobs[0].folder, jobs[0].config).phase == phase
    write_json(jobs[0].folder / "status.json", {"state": "running", "phase": "training", "step": 2, "steps": 8})
    assert Gauges(apart).read(jobs[0].folder, jobs[0].config).phase == "training"


def test_progress_of_a_cell_that_steps_back_to_its_checkpoint_is_never_negative(jobs) -> None:
    job, gauges = jobs[0], Gauges()
    for step in (325, 250, 251, 300, 330):
        write_json(job.folder / "status.json", {"state": "running", "phase": "training", "step": step, "steps": 400})
        gauges._seen.clear()
        progress = gauges.read(job.folder, job.config)
        assert progress.images_per_second >= 0
    assert progress.seconds_left is not None and progress.seconds_left > 0


def test_a_local_process_is_the_engines_command_line(jobs, monkeypatch, tmp_path) -> None:
    told = {}

    class Started:
        def __init__(self, command: list[str], **options: object) -> None:
            told.update(command=command, **options)

    monkeypatch.setattr(starting.subprocess, "Popen", Started)
    job = jobs[0]
    job.folder.mkdir(parents=True)
    LocalProcesses("cuda").submit(job)
    command = told["command"]
    assert command[0] == sys.executable and command[-3:] == [str(job.folder), "cuda", str(os.getpid())]
    assert told["env"]["OMP_NUM_THREADS"] == str(job.config.schedule.threads)


def test_files_of_the_current_folder_stand_in_for_no_module_of_a_process(jobs, monkeypatch, tmp_path) -> None:
    for name in ("copy", "random", "types", "numpy", "torch", "assignbench"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} of the current folder')")
    monkeypatch.chdir(tmp_path)
    folder = jobs[0].folder
    folder.mkdir(parents=True)  # without a configuration, which is looked for when all modules are loaded
    assert LocalProcesses("cpu").submit(jobs[0]).wait() == EXIT_FAILED
    assert (folder / "log.txt").read_text() == ""


def test_a_process_is_of_the_package_that_started_it(jobs, monkeypatch, tmp_path) -> None:
    other = tmp_path / "other" / "assignbench"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('another version')")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    jobs[0].folder.mkdir(parents=True)
    assert LocalProcesses("cpu").submit(jobs[0]).wait() == EXIT_FAILED
    assert (jobs[0].folder / "log.txt").read_text() == ""


def test_cancel_ends_a_process_that_will_not_end(monkeypatch) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.2)
    assert LocalProcesses("cpu").cancel(process) == -9


def test_workers_follow_the_cores() -> None:
    assert default_workers("cpu", 10**6) == 1
    assert default_workers("cpu", 1) >= default_workers("cpu", 1, 2) >= 1


@pytest.mark.parametrize(
    ("count", "named", "gpus"),
    [
        (0, "", []),
        (3, None, ["0", "1", "2"]),
        (2, "5, GPU-7f", ["5", "GPU-7f"]),
        (1, "5,-1,6", ["5"]),  # CUDA reads the list up to the first that is not there
        (1, "1,", ["1"]),
        (1, "3, ", ["3"]),
        (1, "1,,2", ["1"]),
        (1, "GPU-8f2c,", ["GPU-8f2c"]),
        (1, "0,7,1", ["0"]),
        (1, "MIG-a,MIG-b", ["MIG-a", "MIG-b"]),  # of which a process sees one
        (2, "4,,5", []),
        (2, "", []),
    ],
)
def test_gpus_are_named_as_the_process_sees_them(count, named, gpus, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert local.visible_gpus() == gpus
    for processes in (1, 2, 3):
        assert default_workers("cuda", 64, processes) == max(1, len(gpus) // processes)


def test_names_that_do_not_fit_are_left_as_they_are(jobs, monkeypatch) -> None:
    """Better the GPUs that the user named, all of them, than other ones."""
    given: list[str] = []

    class Started:
        def __init__(self, command: list[str], env: dict[str, str], **options: object) -> None:
            given.append(env["CUDA_VISIBLE_DEVICES"])

    monkeypatch.setattr(starting.subprocess, "Popen", Started)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,,5")
    jobs[0].folder.mkdir(parents=True)
    LocalProcesses("cuda").submit(jobs[0])
    assert given == ["4,,5"]


@pytest.mark.parametrize("draw", range(10))
def test_cells_are_spread_over_the_gpus(jobs, monkeypatch, draw) -> None:
    """Cells that begin and end in any order: each has its own GPUs, none is used twice while another one is idle."""
    rng, gpus, each = np.random.default_rng(draw), [f"gpu{n}" for n in range(1 + draw % 5)], 1 + draw % 2
    running: list[Started] = []

    class Started:
        def __init__(self, command: list[str], env: dict[str, str], **options: object) -> None:
            self.gpus = env["CUDA_VISIBLE_DEVICES"].split(",")
            running.append(self)

        def poll(self) -> int | None:
            return None if self in running else 0

    monkeypatch.setattr(starting.subprocess, "Popen", Started)
    monkeypatch.setattr(local, "visible_gpus", lambda: gpus)
    job = replace(jobs[0], paths=jobs[0].paths.model_copy(update={"processes": each}))
    job.folder.mkdir(parents=True)
    launcher = LocalProcesses("cuda")
    for _ in range(40):
        if running and rng.random() < 0.4:
            running.pop(int(rng.integers(len(running))))
        before = Counter(gpu for process in running for gpu in process.gpus)
        launcher.submit(job)
        taken = running[-1].gpus
        assert len(set(taken)) == len(taken) == min(each, len(gpus))
        others = [before[gpu] for gpu in gpus if gpu not in taken]
        assert max(before[gpu] for gpu in taken) <= min(others, default=10**6)


def test_configuration_is_written_once_and_whole(jobs) -> None:
    Jobs(Pretended(), 1).run(jobs[:1])
    text = (jobs[0].folder / "config.json").read_text()
    assert CellConfig.model_validate_json(text).id == Path(jobs[0].folder).name
