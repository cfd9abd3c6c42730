"""What a launcher is: it starts cells as processes of their own, somewhere, and notices when they end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.launch.progress import Gauges, Progress
from assignbench.records import CellRecord, write_config, write_json
from assignbench.records.claim import (
    EXIT_CLAIMED,
    EXIT_FAILED,
    EXIT_STOPPED,
    Claimed,
    Holder,
    Signs,
    holder_of,
    release,
    renewing,
    take,
)
from assignbench.records.manifest import MANIFEST

POLL_SECONDS = 0.25
REST = 4  # polls until cells that others train are looked at again
INTERRUPTED = (-1, -2, -10, -12, -15)  # exit codes of a process that was asked to end before it could say so itself
LOST = -1000  # the exit code of a process whose machine is gone
MOST_LOST = 10  # how often a cell is begun again for that
SHARED_ENDS = ("failed", "diverged")  # what a cell shares with the one whose training it would take
Handle = TypeVar("Handle")


@dataclass(frozen=True)
class Job:
    """A cell to run: its folder, and what its folder starts with; `beside` it, in one process, those of its cohort.

    One that takes the training of another cell (`paths.training`) is not started before that one has ended.
    """

    folder: Path
    config: CellConfig
    paths: LocalPaths
    beside: tuple[Job, ...] = ()

    @property
    def cells(self) -> tuple[Job, ...]:
        """All cells of its process."""
        return (self, *self.beside)

    @property
    def folders(self) -> list[Path]:
        """The folders of all cells of its process."""
        return [cell.folder for cell in self.cells]

    @property
    def name(self) -> str:
        """The cell's name for people."""
        return self.config.slug

    @property
    def log(self) -> Path:
        """What its process prints."""
        return self.folder / "log.txt"

    @property
    def cores(self) -> int:
        """How many cores a cell keeps busy: threads and loader workers of all its processes."""
        return (self.config.schedule.threads + self.config.schedule.loader_workers) * self.paths.processes

    @property
    def after(self) -> Path | None:
        """The folder of the cell whose training it takes; None for one that is trained itself."""
        return self.folder.parent / self.paths.training if self.paths.training else None


class Launcher(Protocol[Handle]):
    """Starts jobs by the engine's command line and nothing else; a job writes all that is known of it to its folder."""

    def submit(self, job: Job) -> Handle:
        """Starts a job."""

    def poll(self, handle: Handle) -> int | None:
        """The exit code of a job that has ended; None while it runs."""

    def ask(self, handle: Handle) -> None:
        """Asks a job to write its checkpoint and end; returns at once."""

    def cancel(self, handle: Handle) -> int | None:
        """Asks a job to end, waits until it has ended and gives its exit code; None for one that goes on alone."""


Watch = Callable[[list[Progress], int], None]


class Jobs(Generic[Handle]):
    """Runs jobs with a launcher, at most `workers` at a time; each cell's state is left in its folder.

    A cell is claimed when it is started, so that runs side by side part the work: one that another run trains is waited
    for, and counts as ended as that run ends it; if that run is gone, it is started here. Those beside it do not wait.
    With `sharing`, all that are left run at once as soon as they are fewer than twice as many: on cores, which share
    their time, three cells on two end in the time of one and a half instead of two. A process that is killed by a
    signal is started once more, which the cell's notes tell; of a cohort each cell that is left gets one of its own,
    unless its machine was lost, which was no cell's doing. Jobs that run `apart`, maybe on other machines, claim their
    cells themselves; all others inherit the claim of this process.
    """

    def __init__(self, launcher: Launcher[Handle], workers: int, *, sharing: bool = False, apart: bool = False) -> None:
        self.launcher, self.workers, self.sharing, self.apart = launcher, workers, sharing, apart
        self._running: dict[Path, tuple[Job, Handle]] = {}
        self._again: Counter[Path] = Counter()
        self._before: dict[Path, dict[str, Any]] = {}
        self._signs = Signs()
        self._rest_until = 0.0
        self._others: list[tuple[Job, Holder]] = []
        self._gauges = Gauges(apart)
        self._at_once = 1

    def run(self, jobs: Sequence[Job], watch: Watch = lambda progress, ended: None) -> None:
        """Runs all; `watch` gets the running cells and how many have ended. An exception ends those that run."""
        self._before = {cell.folder: CellRecord(cell.folder).status for job in jobs for cell in job.cells}
        waiting, ended = list(jobs), 0
        with renewing(lambda: [folder for job, _ in list(self._running.values()) for folder in job.folders]):
            try:
                while waiting or self._running:
                    ended += self._start(waiting)
                    time.sleep(POLL_SECONDS)
                    for job, code in self._collect():
                        again = [cell for cell in job.cells if self._to_repeat(cell, code)]
                        waiting[:0] = _as_one(again) if code == LOST else [replace(cell, beside=()) for cell in again]
                        ended += len(job.cells) - len(again)
                        for cell in (c for c in job.cells if c not in again):
                            self._settle(cell, code, job.log)
                    watch(self._progress(), ended)
            finally:
                self._end()

    def _start(self, waiting: list[Job]) -> int:
        """Starts what can be started; returns how many cells have ended without it.

        Cells that are in the hands of others stay, without those beside them; where all are, they are looked at again
        after some time.
        """
        ended, rests = 0, True
        if not self.apart:  # of other machines nobody knows how many are trained there
            most = 2 * self.workers - 1 if self.sharing else self.workers
            self._at_once = max(self._at_once, min(len(waiting) + len(self._running), most))
        if not self._has_room(len(waiting)) or time.monotonic() < self._rest_until:
            return 0
        for job in list(waiting):
            if not self._has_room(len(waiting)):
                break
            if self._waits(job, waiting):
                continue
            free = [cell for cell in job.cells if self._taken(cell)]
            if not free:
                continue
            rests, place = False, waiting.index(job)
            waiting[place : place + 1] = _as_one([cell for cell in job.cells if cell not in free])
            try:
                over = [cell for cell in free if self._has_ended(cell) or _shares_the_end(cell)]
                for one in _as_one([cell for cell in free if cell not in over]):
                    self._launch(one)
            except BaseException:
                _release(free)
                raise
            _release(over)
            ended += len(over)
        self._others = []
        if rests:
            self._rest_until = time.monotonic() + REST * POLL_SECONDS
            cells = [cell for job in waiting for cell in job.cells]
            self._others = [(cell, who) for cell in cells if (who := self._elsewhere(cell.folder)) is not None]
        return ended

    def _has_room(self, waiting: int) -> bool:
        """Whether one more may be started."""
        running = len(self._running)
        return running < self.workers or (self.sharing and running + waiting < 2 * self.workers)

    def _waits(self, job: Job, waiting: Sequence[Job]) -> bool:
        """Whether the cell whose training a job takes has not ended yet, in this run or in another one."""
        if job.after is None:
            return False
        here = [*waiting, *(other for other, _ in self._running.values())]
        if any(job.after in other.folders for other in here):
            return True
        return self._elsewhere(job.after) is not None

    def _elsewhere(self, folder: Path) -> Holder | None:
        """Who else trains a cell now."""
        holder = holder_of(folder)
        return None if holder is None or holder.mine or not self._signs.alive(folder, holder) else holder

    def _taken(self, job: Job) -> bool:
        """Whether this process has the job's cell now."""
        if self._elsewhere(job.folder) is not None:
            return False
        with suppress(Claimed):
            take(job.folder, signs=self._signs)
            return True
        return False

    def _has_ended(self, job: Job) -> bool:
        """Whether another run has brought a cell to its end since this one began."""
        record = CellRecord(job.folder, thorough=True)
        if (job.folder / MANIFEST).exists():
            return record.state == "done"
        return record.state in SHARED_ENDS and record.status != self._before[job.folder]

    def _launch(self, job: Job) -> None:
        """Writes what the folders of a job's cells start with, and starts it."""
        for cell in job.cells:
            (cell.folder / MANIFEST).unlink(missing_ok=True)  # of a cell that was damaged: it is not done any more
            _describe(cell, self._at_once)
            declare(cell.folder, "pending")
        if self.apart:
            _release(job.cells)
        self._running[job.folder] = (job, self.launcher.submit(job))

    def _end(self) -> None:
        """Ends all that run; what the disk does not take any more is left as the cell itself wrote it."""
        for _, handle in self._running.values():
            self.launcher.ask(handle)
        for job, handle in self._running.values():
            code = self.launcher.cancel(handle)
            if code is None:
                continue
            for cell in job.cells:
                with suppress(OSError):
                    self._settle(cell, code, job.log)
        self._running.clear()

    def _collect(self) -> list[tuple[Job, int]]:
        """Takes out the jobs that have ended, with their exit codes."""
        found = []
        for folder, (job, handle) in list(self._running.items()):
            code = self.launcher.poll(handle)
            if code is not None:
                del self._running[folder]
                self._rest_until = 0.0
                found.append((job, code))
        return found

    def _to_repeat(self, job: Job, code: int) -> bool:
        """Whether a cell has to wait again: it is another one's, or its process was killed or lost before the cell had
        ended, and may be begun again.

        That it was, its cell tells.
        """
        if code == 0:
            return False
        ended, most = CellRecord(job.folder).state in ("done", *SHARED_ENDS), MOST_LOST if code == LOST else 1
        if code == EXIT_CLAIMED and not ended:
            return True
        if ended or code >= 0 or code in INTERRUPTED or self._again[job.folder] >= most:
            return self._elsewhere(job.folder) is not None
        self._again[job.folder] += 1
        if self._taken(job):
            note_again(job.folder, code)
        return True

    def _settle(self, job: Job, code: int, log: Path) -> None:
        """A process that died without a word leaves a failed cell with the reason; the cell is given back."""
        record = CellRecord(job.folder)
        if record.state in ("running", "pending") and code != EXIT_CLAIMED and self._taken(job):
            if code in INTERRUPTED or (code == EXIT_STOPPED and not record.reason.startswith("stopped")):
                declare(job.folder, "pending", reason="stopped; the same command goes on from its last checkpoint")
            elif code != EXIT_STOPPED:
                reason = _signal(code) if code < 0 else f"the process ended with code {code}"
                told = f"{reason}; see {log}; the same command goes on from its last checkpoint"
                declare(job.folder, "failed", reason=told)
        release(job.folder)

    def _progress(self) -> list[Progress]:
        """Where the cells of this run stand, and while it rests, those that others train."""
        cells = [cell for job, _ in self._running.values() for cell in job.cells]
        running = [self._gauges.read(cell.folder, cell.config) for cell in cells]
        others = [replace(self._gauges.read(job.folder, job.config), by=str(holder)) for job, holder in self._others]
        return [*running, *others]


def declare(folder: Path, state: str, **more: Any) -> None:
    """The state of a cell that no process writes for; how far it is and its notes stay."""
    status = CellRecord(folder).status
    kept: dict[str, Any] = {k: status[k] for k in ("step", "steps", "notes") if k in status}
    write_json(folder / "status.json", {"state": state, **kept, **more})


def note_again(folder: Path, code: int) -> None:
    """The notes of a cell whose process was killed or lost tell that it is begun again."""
    status = CellRecord(folder).status
    told = f"{_signal(code)} at step {status.get('step', 0)}; started again"
    declare(folder, "pending", notes=[*status.get("notes", []), told])


def _describe(job: Job, at_once: int = 1) -> None:
    """Writes what a cell is, where it finds what it needs, and how many are trained at once."""
    write_config(job.folder, job.config)
    local = job.paths.model_copy(update={"at_once": at_once})
    write_json(job.folder / "local.json", local.model_dump(mode="json"))


def code_of_all(codes: Iterable[int]) -> int:
    """The exit code of a process by those that each of its cells alone would have had; one that was killed tells it."""
    found = set(codes)
    told = [code for code in found if code < 0] + [c for c in (EXIT_STOPPED, EXIT_CLAIMED, EXIT_FAILED) if c in found]
    return told[0] if told else 0


def _as_one(cells: Sequence[Job]) -> list[Job]:
    """Cells as one job, of one process; no job for no cells."""
    return [replace(cells[0], beside=tuple(cells[1:]))] if cells else []


def _release(cells: Sequence[Job]) -> None:
    """Gives cells back."""
    for cell in cells:
        release(cell.folder)


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
    _describe(job)
    if state in SHARED_ENDS:
        declare(job.folder, state, reason=told)
    else:
        declare(job.folder, "pending", reason=f"{told}; the same command goes on")
    return True


def _signal(code: int) -> str:
    if code == LOST:
        return "its machine was lost"
    return f"the process was ended by signal {-code}" + (" (out of memory, or killed)" if code == -9 else "")
