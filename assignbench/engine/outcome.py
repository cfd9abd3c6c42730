"""What a learner makes of the batches of an update: assignments, losses, the gradient; and that it diverged."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from assignbench.contract import Assignment, Term
from assignbench.data.stream import Batch
from assignbench.engine.stopwatch import Lap, Stopwatch
from assignbench.priors import Priors


class Diverged(RuntimeError):
    """A loss, a gradient or what is said of test images is no number; the message names the step or the image."""


class Suspected(Diverged):
    """A loss or a gradient was no number in one of the last steps; which one, only their repetition tells."""


@dataclass(frozen=True)
class Part:
    """What a learner made of one batch: the assignment, the losses as terms, and the watch that timed both."""

    batch: Batch
    priors: Priors
    assignment: Assignment
    terms: dict[str, Term]
    watch: Stopwatch


@dataclass(frozen=True)
class Outcome:
    """What a learner made of all batches of an update: `terms` are those of all parts, added up, without gradient."""

    step: int
    parts: tuple[Part, ...]
    terms: dict[str, Term]

    @property
    def epoch(self) -> int:
        """The epoch that all of the batches belong to."""
        return self.parts[0].batch.epoch

    @property
    def image_ids(self) -> tuple[int, ...]:
        """The images of all batches, also those that other processes have a share of."""
        return tuple(i for part in self.parts for i in part.batch.whole_ids or part.batch.image_ids)

    @property
    def assigning(self) -> Lap:
        """How long the assigner took."""
        return self._laps(0)

    @property
    def judging(self) -> Lap:
        """How long the losses took, once for each batch."""
        return self._laps(1)

    def _laps(self, number: int) -> Lap:
        laps = [part.watch.lap(number) for part in self.parts]
        return Lap(sum(lap.ms for lap in laps), sum(lap.cpu_ms for lap in laps))


@dataclass(frozen=True)
class Update:
    """The loss [] of a step and the norm [] of its gradient before it was clipped."""

    loss: Tensor
    norm: Tensor
