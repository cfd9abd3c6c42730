"""Stops a learner whose loss or gradient is not finite, before its weights are spoilt or kept."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Diverged, Outcome, Suspected, Update
from assignbench.records import write_json


class Guard(Hook):
    """Writes diverged.json (step, terms, gradient norm, images) and raises Diverged, before the update.

    To look, the host has to wait for the device. With `lazily` what is not finite is noted on the device and looked at
    only where the host reads from it anyway: at logged steps and probe visits, before a checkpoint, and at the end. It
    raises Suspected then: the steps since the last checkpoint, done again, tell which of them it was.

    Where processes share the batches, all of them come to the same; one without a folder writes nothing.
    """

    def __init__(self, learner: Learner, folder: Path | None, *, lazily: bool = False) -> None:
        super().__init__(learner)
        self.folder, self.lazily = folder, lazily
        self._visits = learner.schedule.probe_steps(learner.steps, learner.epoch_steps)
        self._spoilt: Tensor | None = None

    def before_update(self, outcome: Outcome, update: Update) -> None:
        spoilt = ~torch.isfinite(update.norm + update.loss) & ~self.learner.forgives(update)
        if self.lazily:
            self._spoilt = spoilt if self._spoilt is None else self._spoilt | spoilt
        elif bool(spoilt):
            dump = {
                "step": outcome.step,
                "losses": {name: _finite(term.value()) for name, term in outcome.terms.items()},
                "grad_norm": _finite(update.norm),
                "image_ids": list(outcome.image_ids),
            }
            if self.folder is not None:
                write_json(self.folder / "diverged.json", dump)
            raise Diverged(f"step {outcome.step}: not finite: {json.dumps(dump)}")

    def after_update(self, outcome: Outcome, update: Update) -> None:
        schedule, done = self.learner.schedule, outcome.step + 1
        if outcome.step % schedule.log_every == 0 or done % schedule.checkpoint_every == 0 or done in self._visits:
            self._look(done)

    def pause(self, done: int) -> None:
        self._look(done)

    def end(self) -> None:
        self._look(self.learner.steps)

    def _look(self, done: int) -> None:
        """Waits for the device. Raises Suspected if a step since the last look was not finite."""
        spoilt, self._spoilt = self._spoilt, None
        if spoilt is not None and bool(spoilt):
            raise Suspected(f"not finite within {done} steps")


def _finite(value: Tensor) -> float | None:
    """A number as JSON can hold it."""
    return float(value) if bool(torch.isfinite(value)) else None
