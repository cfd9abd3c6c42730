"""The loop: one stream of batches, one or several learners that see the same of them, and hooks that watch."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from assignbench.data.stream import Batch
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.meter import Bill
from assignbench.engine.seeding import drawn_by
from assignbench.engine.stopping import Stopped


def loop(
    stream: Iterable[Batch],
    learners: Sequence[Learner],
    hooks: Sequence[Hook],
    first: int | Sequence[int] = 0,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Trains every learner on the updates of steps `first` on. Each hook watches one learner, in the given order.

    `first` is one step, or one for each learner; the stream begins with the least of them, and a learner joins in at
    its own. The stream holds `accumulate` batches for each update, of which all learners make the same number.

    The learners share nothing but these, so each ends with the weights that it would have alone. One that diverges, or
    for which an error is raised, keeps it in `stopped` and is left out from then on; an error of the stream ends the
    loop. When `stop` says so after a step, the hooks are told of the pause and Stopped is raised. In the end every
    learner that is left takes its averaged weights.
    """
    firsts = [first] * len(learners) if isinstance(first, int) else first
    seats = [
        _Seat(learner, begin, [hook for hook in hooks if hook.learner is learner])
        for learner, begin in zip(learners, firsts, strict=True)
    ]
    bill = Bill(in_parts=len(learners) > 1 and learners[0].device.type == "cuda")
    for seat in seats:
        with _apart(seat.learner), bill.working(seat.learner):
            seat.begin()
    bill.loading()
    for step, batches in enumerate(_updates(stream, learners), start=min(firsts, default=0)):
        if not _going(seats):
            return
        here = [seat for seat in _going(seats) if seat.first <= step]
        bill.loaded([seat.learner for seat in here])
        for seat in here:
            with _apart(seat.learner), bill.working(seat.learner):
                seat.one_step(batches, step)
        if stop():
            for seat in _going(seats):
                with _apart(seat.learner), bill.working(seat.learner):
                    seat.pause(step + 1)
            raise Stopped
        bill.loading()
    for seat in _going(seats):
        with _apart(seat.learner), bill.working(seat.learner):
            seat.end()
    bill.closed(learners)


@dataclass(frozen=True)
class _Seat:
    """A learner with its first step and the hooks that watch it."""

    learner: Learner
    first: int
    hooks: Sequence[Hook]

    def begin(self) -> None:
        self.learner.detector.train()
        for hook in self.hooks:
            hook.begin(self.first)

    def one_step(self, batches: Sequence[Batch], step: int) -> None:
        """An update. What a network of the user's own draws for it depends on seed and step alone."""
        with drawn_by(self.learner.seed, f"step {step}"):
            outcome, update = self.learner.learn(batches, step)
        for hook in self.hooks:
            hook.before_update(outcome, update)
        self.learner.step(step)
        for hook in self.hooks:
            hook.after_update(outcome, update)

    def pause(self, done: int) -> None:
        """After so many steps; one that has not joined in yet stays where it is."""
        for hook in self.hooks:
            hook.pause(max(done, self.first))

    def end(self) -> None:
        self.learner.finish()
        for hook in self.hooks:
            hook.end()


def _updates(stream: Iterable[Batch], learners: Sequence[Learner]) -> Iterator[tuple[Batch, ...]]:
    """The batches of the stream, as many at a time as an update learns from."""
    parts = {learner.schedule.accumulate for learner in learners}
    if len(parts) > 1:
        raise ValueError(f"learners of one loop accumulate as many batches as each other, got {sorted(parts)}")
    batches, size = iter(stream), max(parts, default=1)
    while chosen := tuple(islice(batches, size)):
        yield chosen


def _going(seats: Sequence[_Seat]) -> list[_Seat]:
    """Those whose learners nothing has stopped."""
    return [seat for seat in seats if seat.learner.stopped is None]


@contextmanager
def _apart(learner: Learner) -> Iterator[None]:
    """An error in here is this learner's alone: it keeps it, and gives back what it held of the step."""
    try:
        yield
    except (Exception, SystemExit) as problem:
        traceback.clear_frames(problem.__traceback__)  # their locals hold the memory of half a step
        learner.optimiser.zero_grad(set_to_none=True)
        learner.stopped = problem
