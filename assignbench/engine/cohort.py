"""A cohort: cells that see the same batches, from their folders to their weights in one loop.

Each begins, fails, diverges and ends for itself. What they share are the batches and the process.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from assignbench.engine import checkpoint
from assignbench.engine.board import Board
from assignbench.engine.cell import Cell, Splits, prepare
from assignbench.engine.environment import environment
from assignbench.engine.failure import is_memory, reason_of
from assignbench.engine.hooks import Checkpoint, Guard, Heartbeat, Hook, Idle, Log, Probes
from assignbench.engine.hooks.heartbeat import Status
from assignbench.engine.inputs import begin
from assignbench.engine.loop import loop
from assignbench.engine.outcome import Diverged, Suspected
from assignbench.engine.pictured import check_named, probe_set
from assignbench.engine.sharing import take_training
from assignbench.engine.staging import prepared, staged
from assignbench.engine.stopping import Stopped, Wish
from assignbench.engine.team import agreed, assembled
from assignbench.records import CellRecord, write_json, write_text
from assignbench.records.documents import ENVIRONMENT
from assignbench.records.manifest import MANIFEST


@dataclass
class Member:
    """One cell of a cohort. `state` is how it ended, empty while it goes on; `again`: it has to be begun once more.

    An `exact` one looks after every step whether its losses are finite; another one where the device is read anyway.
    So many are `beside` it in a round: one that finds no memory there is begun again, and fails for that alone. Its
    last training was in a loop of `cohort` cells.
    """

    folder: Path
    exact: bool
    status: Status = field(init=False)
    cell: Cell | None = None
    state: str = ""
    again: bool = False
    crowded: bool = False
    suspicion: str = ""
    beside: int = 0
    cohort: int = 1
    saving: Checkpoint | None = None

    def __post_init__(self) -> None:
        self.status = Status(self.folder)

    @property
    def goes_on(self) -> bool:
        """Whether it has neither ended nor to be begun again."""
        return not self.state and not self.again

    @property
    def built(self) -> Cell:
        """The cell, once it is prepared."""
        if self.cell is None:
            raise RuntimeError(f"{self.folder}: the cell is not built yet")
        return self.cell

    @contextmanager
    def ending(self) -> Iterator[None]:
        """What ends the cell in here is written as its end; other cells do not hear of it."""
        try:
            yield
        except Stopped:
            self._ends("pending", f"stopped; resumes at step {checkpoint.newest(self.folder)}")
        except Suspected as problem:
            self.again, self.exact, self.suspicion = True, True, str(problem)
        except Diverged as problem:
            self._ends("diverged", str(problem))
        except (Exception, SystemExit) as problem:
            if self.beside and is_memory(problem):
                self.again = self.crowded = True
                return
            self._ends("failed", reason_of(problem))
            write_text(self.folder / "error.txt", traceback.format_exc())

    def _ends(self, state: str, reason: str) -> None:
        self.state, self.again, self.crowded = state, False, False
        self.status.write(state, reason=reason, force=True)

    def enter(self, beside: int) -> None:
        """Begins a round with so many beside it."""
        self.beside, self.again, self.crowded = beside, False, False

    def prepare(self, device: str, splits: Splits) -> None:
        """Builds the cell and records what it is made from; one that takes a training takes it here."""
        tidy(self.folder)
        begun = time.time_ns()
        self.cell = prepare(self.folder, device, splits)
        self.status.note(*begin(self.cell, begun))
        about = environment(self.cell)
        ENVIRONMENT.mapping(about, str(self.folder / "environment.json"))
        write_json(self.folder / "environment.json", about)
        self.status.note(*take_training(self.cell))

    def trained(self) -> None:
        """Takes note of a training that came to its end."""
        if self.suspicion:
            self.status.note(f"{self.suspicion}, but all were when they were done again from the last checkpoint")

    @property
    def seconds(self) -> float:
        """How long its training took, once that has come to its end."""
        own = 0.0 if self.saving is None else self.saving.seconds
        return float(CellRecord(self.folder).training.get("train_seconds", own))


def tidy(folder: Path) -> None:
    """Removes what says that an earlier try ended, and what a kill left half written."""
    for name in (MANIFEST, "error.txt", "diverged.json"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.rglob("*.partial"):
        path.unlink(missing_ok=True)


def train(members: Sequence[Member], wish: Wish) -> None:
    """Trains built cells from their last whole checkpoints to their ends; every member keeps how that went.

    Those that stop on the `wish` leave a checkpoint. Raises ValueError for cells that do not see the same batches.
    """
    begun: list[tuple[Member, int, list[Hook], Board]] = []
    for member in members:
        with member.ending():
            begun.append((member, *_resumed(member)))
    if not begun:
        return
    cells = [member.built for member, *_ in begun]
    _check_alike(cells)
    firsts = [first for _, first, *_ in begun]
    learners, hooks = [c.learner for c in cells], [hook for *_, own, _ in begun for hook in own]
    device = learners[0].device
    ended: BaseException | None = None
    try:
        with assembled(cells[0], min(firsts), wish, exact=begun[0][0].exact) as world, wish.patient():
            if world.size > 1 and len(cells) > 1:
                raise ValueError("cells that several processes train are trained one by one")
            loader = prepared(replace(cells[0].loader, share=(world.rank, world.size)), device)
            batches = staged(loader.batches(min(firsts), learners[0].steps), device)
            loop(batches, learners, hooks, firsts, lambda: agreed(world, learners[0], wanted=wish.wanted))
    except (Stopped, Exception) as problem:  # of the stream, or the wish: the end of all that were left
        ended = problem
    for member, _, _, board in begun:
        board.close()
        member.cohort = len(begun)
        with member.ending():
            stopped = member.built.learner.stopped or ended
            if stopped is not None:
                raise stopped
            member.trained()


def _resumed(member: Member) -> tuple[int, list[Hook], Board]:
    """Where a member goes on, what watches it, and where its metrics are shown."""
    cell, folder, status = member.built, member.folder, member.status
    learner, config = cell.learner, cell.config
    check_named(cell.train, cell.test, config.data, config.pictures)
    resumed = checkpoint.restore(folder, learner)
    status.note(*resumed.warnings)
    probes = probe_set(cell.train, config.data, config.probe_images, config.pictures)
    board, member.saving = Board(folder, resumed.step), Checkpoint(learner, folder, resumed.seconds)
    status.note(*([board.problem] if board.problem else []))
    hooks = [
        Guard(learner, folder, lazily=not member.exact),
        Idle(learner, status.note),
        Log(learner, folder, board),
        Probes(learner, folder / "probes", probes, cell.loader.steps_per_epoch),
        member.saving,
        Heartbeat(learner, status),
    ]
    return resumed.step, hooks, board


def _check_alike(cells: Sequence[Cell]) -> None:
    """Raises ValueError for cells of which one would not see the batches that it sees alone."""
    first = cells[0]
    for cell in cells[1:]:
        mine, other = first.loader, cell.loader
        same = (mine.spec, mine.batch, mine.seed, mine.parts) == (other.spec, other.batch, other.seed, other.parts)
        if mine.data is not other.data or not same or first.learner.steps != cell.learner.steps:
            raise ValueError(f"{cell.folder} does not see the batches of {first.folder}")
