"""What a launcher is: it starts cells as processes of their own, somewhere, and notices when they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.records import CellRecord, write_json
from assignbench.records.claim import EXIT_CLAIMED, EXIT_STOPPED, Claimed, holder_of, release, take
from assignbench.records.manifest import MANIFEST

POLL_SECONDS = 0.25
INTERRUPTED = (-2, -15)  # exit codes of a process that a signal asked to end before it could say so itself
SHARED_ENDS = ("failed", "diverged")  # what a cell shares with the one whose training it would take
Handle = TypeVar("Handle")


@dataclass(frozen=True)
class Job:
    """A cell to run: its folder, and what its folder starts with.

    One that takes the training of another cell (`paths.training`) is not started before that one has ended.
    """

    folder: Path
    config: CellConfig
    paths: LocalPaths

    @property
    def name(self) -> str:
        """The cell's name for people."""
        return self.config.slug

    @property
    def after(self) -> Path | None:
        """The folder of the cell whose training it takes; None for one that is trained itself."""
        return self.folder.parent / self.paths.training if self.paths.training else None


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

    def submit(self, job: Job) -> Handle:
        """Starts a job."""

    def poll(self, handle: Handle) -> int | None:
        """The exit code of a job that has ended; None while it runs."""

    def ask(self, handle: Handle) -> None:
        """Asks a job to write its checkpoint and end; returns at once."""

    def cancel(self, handle: Handle) -> int:
        """Asks a job to end, waits until it has ended and gives its exit code."""


Watch = Callable[[list[Progress], int], None]


class Jobs(Generic[Handle]):
    """Runs jobs with a launcher, at most `workers` at a time; each leaves its state in its folder.

    With `sharing`, all that are left run at once as soon as they are fewer than twice as many: on cores, which share
    their time, three cells on two end in the time of one and a half instead of two. A process that is killed by a
    signal is started once more, which the cell's notes tell.
    """

    def __init__(self, launcher: Launcher[Handle], workers: int, *, sharing: bool = False) -> None:
        self.launcher, self.workers, self.sharing = launcher, workers, sharing
        self._running: dict[Path, tuple[Job, Handle]] = {}
        self._again: set[Path] = set()
        self._seen: dict[Path, tuple[int, Progress]] = {}
        self._speeds: dict[Path, tuple[float, int]] = {}

    def run(self, jobs: Sequence[Job], watch: Watch = lambda progress, ended: None) -> None:
        """Runs all; `watch` gets the running ones and how many have ended. An exception ends those that run."""
        for job in jobs:
            take(job.folder)
            (job.folder / MANIFEST).unlink(missing_ok=True)  # of a cell that was damaged: it is not done any more
            write_json(job.folder / "config.json", job.config.model_dump(mode="json"))
            write_json(job.folder / "local.json", job.paths.model_dump(mode="json"))
            _write(job, "pending")
        waiting, ended = list(jobs), 0
        try:
            while waiting or self._running:
                while self._has_room(len(waiting)) and (ready := self._next(waiting)) is not None:
                    if _shares_the_end(ready):
                        ended += 1
                    else:
                        self._running[ready.folder] = (ready, self.launcher.submit(ready))
                time.sleep(POLL_SECONDS)
                for job, code in self._collect():
                    if self._to_repeat(job, code):
                        waiting.insert(0, job)
                        continue
                    ended += 1
                    _settle(job, code)
                watch([self._progress(job) for job, _ in self._running.values()], ended)
        finally:
            self._end()

    def _has_room(self, waiting: int) -> bool:
        """Whether one more may be started."""
        running = len(self._running)
        return running < self.workers or (self.sharing and running + waiting < 2 * self.workers)

    def _next(self, waiting: list[Job]) -> Job | None:
        """Takes out the first job that waits for no other one; None if there is none."""
        job = next((j for j in waiting if not self._waits(j, waiting)), None)
        if job is not None:
            waiting.remove(job)
        return job

    def _waits(self, job: Job, waiting: Sequence[Job]) -> bool:
        """Whether the cell whose training a job takes has not ended yet, in this run or in another one."""
        if job.after is None:
            return False
        if job.after in self._running or any(other.folder == job.after for other in waiting):
            return True
        holder = holder_of(job.after)
        return holder is not None and holder.alive and not holder.mine

    def _end(self) -> None:
        """Ends all that run; what the disk does not take any more is left as the cell itself wrote it."""
        for _, handle in self._running.values():
            self.launcher.ask(handle)
        for job, handle in self._running.values():
            code = self.launcher.cancel(handle)
            with suppress(OSError):
                _settle(job, code)
        self._running.clear()

    def _collect(self) -> list[tuple[Job, int]]:
        """Takes out the jobs that have ended, with their exit codes."""
        found = []
        for folder, (job, handle) in list(self._running.items()):
            code = self.launcher.poll(handle)
            if code is not None:
                del self._running[folder]
                found.append((job, code))
        return found

    def _to_repeat(self, job: Job, code: int) -> bool:
        """Whether a job was killed for the first time and nobody else has taken its cell since; the cell tells it."""
        if code >= 0 or code in INTERRUPTED or job.folder in self._again:
            return False
        self._again.add(job.folder)
        try:
            take(job.folder)
        except Claimed:
            return False
        status = CellRecord(job.folder).status
        told = f"{_signal(code)} at step {status.get('step', 0)}; started again"
        _write(job, "pending", notes=[*status.get("notes", []), told])
        return True

    def _progress(self, job: Job) -> Progress:
        """Where a job stands; its status is read again only when it was written again."""
        try:
            written = (job.folder / "status.json").stat().st_mtime_ns
        except OSError:
            written = 0
        if job.folder not in self._seen or self._seen[job.folder][0] != written:
            self._seen[job.folder] = (written, self._read(job))
        return self._seen[job.folder][1]

    def _read(self, job: Job) -> Progress:
        status = CellRecord(job.folder).status
        step, steps, now = int(status.get("step", 0)), int(status.get("steps", 0)), time.monotonic()
        begun, first = self._speeds.get(job.folder, (now, step))
        if step and (job.folder not in self._speeds or step < first):  # one that goes on from a checkpoint steps back
            self._speeds[job.folder] = begun, first = now, step
        rate = (step - first) / max(now - begun, 1e-9)
        speed = rate * job.config.schedule.update_size
        left = (steps - step) / rate if rate > 0 else None
        phase = str(status.get("phase") or ("finishing" if step else "starting"))
        return Progress(job.name, phase, step, steps, speed, left)


def _write(job: Job, state: str, **more: Any) -> None:
    """The state of a job that no process writes for; how far it is and its notes stay."""
    status = CellRecord(job.folder).status
    kept: dict[str, Any] = {k: status[k] for k in ("step", "steps", "notes") if k in status}
    write_json(job.folder / "status.json", {"state": state, **kept, **more})


def _shares_the_end(job: Job) -> bool:
    """Whether the training that a job takes did not come to its end; then neither has the job, and tells it."""
    if job.after is None:
        return False
    trained = CellRecord(job.after)
    state = trained.state
    if trained.lends:
        return False
    why = f": {trained.reason}" if trained.reason else ""
    told = f"its training is that of {trained.id}, which {state if state in SHARED_ENDS else 'is not done'}{why}"
    if state in SHARED_ENDS:
        _write(job, state, reason=told)
    else:
        _write(job, "pending", reason=f"{told}; the same command goes on")
    release(job.folder)
    return True


def _settle(job: Job, code: int) -> None:
    """A process that died without a word leaves a failed cell with the reason; the cell is given back."""
    record = CellRecord(job.folder)
    if record.state in ("running", "pending") and code != EXIT_CLAIMED:
        if code in INTERRUPTED or (code == EXIT_STOPPED and not record.reason.startswith("stopped")):
            _write(job, "pending", reason="stopped; the same command goes on from its last checkpoint")
        elif code != EXIT_STOPPED:
            reason = _signal(code) if code < 0 else f"the process ended with code {code}"
            log = job.folder / "log.txt"
            _write(job, "failed", reason=f"{reason}; see {log}; the same command goes on from its last checkpoint")
    release(job.folder)


def _signal(code: int) -> str:
    return f"the process was ended by signal {-code}" + (" (out of memory, or killed)" if code == -9 else "")
