"""What a launcher is: it starts cells as processes of their own, somewhere, and notices when they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.records import CellRecord, write_json

POLL_SECONDS = 0.25
Handle = TypeVar("Handle")


@dataclass(frozen=True)
class Job:
    """A cell to run: its folder, and what its folder starts with."""

    folder: Path
    config: CellConfig
    paths: LocalPaths

    @property
    def name(self) -> str:
        """The cell's name for people."""
        return self.config.slug


@dataclass(frozen=True)
class Progress:
    """Where a running cell stands."""

    name: str
    phase: str
    step: int
    steps: int
    images_per_second: float
    seconds_left: float | None


class Launcher(Protocol[Handle]):
    """Starts jobs by the engine's command line and nothing else; a job writes all that is known of it to its folder."""

    def free(self, job: Job) -> None:
        """Returns when no process trains the cell. Raises InputError if one keeps on."""

    def submit(self, job: Job) -> Handle:
        """Starts a job."""

    def poll(self, handle: Handle) -> int | None:
        """The exit code of a job that has ended; None while it runs."""

    def cancel(self, handle: Handle) -> int:
        """Ends a job, waits until it has ended and gives its exit code."""


Watch = Callable[[list[Progress], int], None]


class Jobs(Generic[Handle]):
    """Runs jobs with a launcher, at most `workers` at a time; each leaves its state in its folder."""

    def __init__(self, launcher: Launcher[Handle], workers: int) -> None:
        self.launcher, self.workers = launcher, workers
        self._running: dict[Path, tuple[Job, Handle]] = {}
        self._speeds: dict[Path, tuple[float, int]] = {}

    def run(self, jobs: Sequence[Job], watch: Watch = lambda progress, ended: None) -> None:
        """Runs all; `watch` gets the running ones and how many have ended. An exception ends those that run."""
        for job in jobs:
            self.launcher.free(job)
            write_json(job.folder / "config.json", job.config.model_dump(mode="json"))
            write_json(job.folder / "local.json", job.paths.model_dump(mode="json"))
            write_json(job.folder / "status.json", {**CellRecord(job.folder).status, "state": "pending"})
        waiting, ended = list(jobs), 0
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self.workers:
                    job = waiting.pop(0)
                    self._running[job.folder] = (job, self.launcher.submit(job))
                time.sleep(POLL_SECONDS)
                ended += self._collect()
                watch([self._progress(job) for job, _ in self._running.values()], ended)
        finally:
            for job, handle in self._running.values():
                _settle(job, self.launcher.cancel(handle))
            self._running.clear()

    def _collect(self) -> int:
        """Takes out the jobs that have ended and says how many these were."""
        before = len(self._running)
        for folder, (job, handle) in list(self._running.items()):
            code = self.launcher.poll(handle)
            if code is not None:
                del self._running[folder]
                _settle(job, code)
        return before - len(self._running)

    def _progress(self, job: Job) -> Progress:
        status = CellRecord(job.folder).status
        step, steps = int(status.get("step", 0)), int(status.get("steps", 0))
        if job.folder not in self._speeds and step:
            self._speeds[job.folder] = (time.time(), step)
        begun, first = self._speeds.get(job.folder, (time.time(), step))
        rate = (step - first) / max(time.time() - begun, 1e-9)
        speed = rate * job.config.schedule.batch_size
        left = (steps - step) / rate if rate > 0 else None
        phase = str(status.get("phase") or ("finishing" if step else "starting"))
        return Progress(job.name, phase, step, steps, speed, left)


def _settle(job: Job, code: int) -> None:
    """A process that died without a word leaves a failed cell with the reason."""
    record = CellRecord(job.folder)
    if record.state not in ("running", "pending"):
        return
    if code < 0:
        reason = f"the process was ended by signal {-code}"
        if code == -9:
            reason += " (out of memory, or killed)"
    else:
        reason = f"the process ended with code {code}; see {job.folder / 'log.txt'}"
    state = "pending" if code in (-2, -15, 130) else "failed"
    write_json(job.folder / "status.json", {**record.status, "state": state, "reason": reason})
