"""The loop: one stream of batches, one or several learners that see the same of them, and hooks that watch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from assignbench.data.stream import Batch
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Diverged
from assignbench.engine.stopping import Stopped


def loop(
    stream: Iterable[Batch],
    learners: Sequence[Learner],
    hooks: Sequence[Hook],
    first: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Trains every learner on the updates of steps `first` on. Each hook watches one learner, in the given order.

    The stream holds `accumulate` batches for each update, of which all learners make the same number. They share
    nothing but these, so each ends with the weights that it would have alone. One that diverges is left out from then
    on and keeps the reason in `stopped`; any other error ends the loop. When `stop` says so after a step, the hooks are
    told of the pause and Stopped is raised. In the end every learner that is left takes its averaged weights.
    """
    watching = {learner.name: [h for h in hooks if h.learner is learner] for learner in learners}
    for learner in learners:
        learner.detector.train()
        for hook in watching[learner.name]:
            hook.begin(first)
    for step, batches in enumerate(_updates(stream, learners), start=first):
        going = _going(learners)
        if not going:
            return
        for learner in going:
            _one_step(learner, batches, step, watching[learner.name])
        if stop():
            for hook in _in_order(learners, watching):
                hook.pause(step + 1)
            raise Stopped
    for learner in _going(learners):
        learner.finish()
    for hook in _in_order(learners, watching):
        hook.end()


def _updates(stream: Iterable[Batch], learners: Sequence[Learner]) -> Iterator[tuple[Batch, ...]]:
    """The batches of the stream, as many at a time as an update learns from."""
    parts = {learner.schedule.accumulate for learner in learners}
    if len(parts) > 1:
        raise ValueError(f"learners of one loop accumulate as many batches as each other, got {sorted(parts)}")
    batches, size = iter(stream), max(parts, default=1)
    while chosen := tuple(islice(batches, size)):
        yield chosen


def _going(learners: Sequence[Learner]) -> list[Learner]:
    """Those that have not diverged."""
    return [learner for learner in learners if learner.stopped is None]


def _in_order(learners: Sequence[Learner], watching: Mapping[str, Sequence[Hook]]) -> list[Hook]:
    """The hooks of those that have not diverged."""
    return [hook for learner in _going(learners) for hook in watching[learner.name]]


def _one_step(learner: Learner, batches: Sequence[Batch], step: int, hooks: Sequence[Hook]) -> None:
    """An update of one learner; if it diverges, it keeps the reason."""
    try:
        outcome, update = learner.learn(batches, step)
        for hook in hooks:
            hook.before_update(outcome, update)
        learner.step(step)
        for hook in hooks:
            hook.after_update(outcome, update)
    except Diverged as problem:
        learner.stopped = problem
