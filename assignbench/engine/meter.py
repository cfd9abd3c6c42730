"""How long each learner of a loop takes: what of the time that passes is whose."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock on the wall, and of the processor: of the whole process, all its threads."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @staticmethod
    def now() -> Spent:
        """What both clocks say."""
        return Spent(time.perf_counter(), time.process_time())

    def since(self, earlier: Spent) -> Spent:
        """What was spent between two readings."""
        return Spent(self.seconds - earlier.seconds, self.cpu_seconds - earlier.cpu_seconds)

    def plus(self, other: Spent, share: float = 1.0) -> Spent:
        """The sum with a share of another."""
        return Spent(self.seconds + share * other.seconds, self.cpu_seconds + share * other.cpu_seconds)


class Meter:
    """Counts the time of one learner: what passes while it runs, a `share` of it, and what is added."""

    def __init__(self) -> None:
        self._counted, self._share = Spent(), 1.0
        self._since: Spent | None = None

    def start(self, share: float = 1.0) -> None:
        """From now on a share of the time counts."""
        self.stop()
        self._since, self._share = Spent.now(), share

    def stop(self) -> None:
        """From now on no time counts."""
        self._counted, self._since = self.spent, None

    def add(self, spent: Spent) -> None:
        """Time that was measured elsewhere."""
        self._counted = self._counted.plus(spent)

    @property
    def spent(self) -> Spent:
        """All that was counted up to this moment."""
        if self._since is None:
            return self._counted
        return self._counted.plus(Spent.now().since(self._since), self._share)


class Metered(Protocol):
    """What has a meter."""

    @property
    def meter(self) -> Meter:
        """Its meter."""


class Bill:
    """Divides the time of a loop among its learners: each gets its own work, and the making of batches in full, which
    it would have needed alone.

    With `in_parts` (a GPU works behind the host's back, for all of them), what passes is divided evenly.
    """

    def __init__(self, *, in_parts: bool) -> None:
        self.in_parts = in_parts
        self._idle_since = Spent.now()
        self._together = 0

    @contextmanager
    def working(self, learner: Metered) -> Iterator[None]:
        """What is done inside is done for one learner."""
        if self.in_parts:
            yield
            return
        learner.meter.start()
        try:
            yield
        finally:
            learner.meter.stop()

    def loading(self) -> None:
        """From now on a batch is made."""
        self._idle_since = Spent.now()

    def loaded(self, learners: Sequence[Metered]) -> None:
        """A batch is there, for these learners."""
        if not self.in_parts:
            spent = Spent.now().since(self._idle_since)
            for learner in learners:
                learner.meter.add(spent)
        elif len(learners) != self._together:
            self._together = len(learners)
            for learner in learners:
                learner.meter.start(1 / len(learners))

    def closed(self, learners: Sequence[Metered]) -> None:
        """The loop is over for these learners."""
        for learner in learners:
            learner.meter.stop()
