"""What the loop tells a hook, and when."""

from __future__ import annotations

from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update


class Hook:
    """Watches one learner. Every method may be left as it is."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def begin(self, first: int) -> None:
        """Before the first step, which is `first` where training is resumed."""

    def before_update(self, outcome: Outcome, update: Update) -> None:
        """The gradient is there, the weights are still as they were."""

    def after_update(self, outcome: Outcome, update: Update) -> None:
        """The weights have changed: `outcome.step + 1` steps are done."""

    def pause(self, done: int) -> None:
        """A checkpoint is about to be written after `done` steps: what it goes on with has to be on disk."""

    def end(self) -> None:
        """After the last step, unless the learner diverged."""
