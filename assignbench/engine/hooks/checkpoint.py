"""Saves a learner every so many steps, so that a killed cell goes on where it was."""

from __future__ import annotations

from pathlib import Path

from assignbench.engine import checkpoint
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update


class Checkpoint(Hook):
    """Writes a checkpoint after every `checkpoint_every` steps, at a pause and at the end; knows how long it all took.

    `folder` is the cell's. It has to come after the hooks whose files a resumed cell goes on with.
    """

    def __init__(self, learner: Learner, folder: Path, spent: float = 0.0) -> None:
        super().__init__(learner)
        self.folder, self.spent = folder, spent
        self._first = 0

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a kill counted in."""
        return self.spent + self.learner.meter.spent.seconds

    def begin(self, first: int) -> None:
        self._first = first

    def after_update(self, outcome: Outcome, update: Update) -> None:
        done = outcome.step + 1
        if done % self.learner.schedule.checkpoint_every == 0 and done < self.learner.steps:
            checkpoint.save(self.folder, done, self.learner, self.seconds)

    def pause(self, done: int) -> None:
        if done % self.learner.schedule.checkpoint_every or done == self.learner.steps:
            checkpoint.save(self.folder, done, self.learner, self.seconds)

    def end(self) -> None:
        if self._first < self.learner.steps or not (self.folder / checkpoint.FOLDER / checkpoint.FINAL).is_file():
            checkpoint.complete(self.folder, self.learner, self.seconds)
