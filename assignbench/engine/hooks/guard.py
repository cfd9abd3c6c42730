"""Stops a learner whose loss or gradient is not finite, before its weights are spoilt, or that is taught nothing."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import torch
from torch import Tensor

from assignbench.engine.failure import Idle
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Diverged, Learner, Outcome, Update
from assignbench.records import write_json

IDLE_STEPS = 200  # steps in a row whose objects got no positive prior: see docs/decisions.md, G15


class Guard(Hook):
    """Writes diverged.json (step, terms, gradient norm, images) and raises Diverged; raises Idle (see IDLE_STEPS)."""

    def __init__(self, learner: Learner, folder: Path) -> None:
        super().__init__(learner)
        self.folder = folder
        self._idle = 0

    def before_update(self, outcome: Outcome, update: Update) -> None:
        if not bool(torch.isfinite(update.norm + update.loss)):
            dump = {
                "step": outcome.step,
                "losses": {name: _finite(term.value().detach()) for name, term in outcome.terms.items()},
                "grad_norm": _finite(update.norm),
                "image_ids": list(outcome.batch.image_ids),
            }
            write_json(self.folder / "diverged.json", dump)
            raise Diverged(f"step {outcome.step}: not finite: {json.dumps(dump)}")
        self._watch(outcome)

    def _watch(self, outcome: Outcome) -> None:
        """Counts the steps in a row whose objects got nothing; steps without objects say nothing."""
        if not bool(outcome.batch.objects.valid.any()):
            return
        given = outcome.assignment
        teaches = bool(((given.cls.index >= 0) | (given.box.index >= 0)).any()) or (
            given.bags is not None and bool(given.bags.mask.any())
        )
        self._idle = 0 if teaches else self._idle + 1
        if self._idle >= min(IDLE_STEPS, self.learner.steps):
            assigner = type(self.learner.method.assigner)
            source = inspect.getsourcefile(assigner) or assigner.__module__
            raise Idle(
                f"step {outcome.step}: for {self._idle} steps in a row assigner {assigner.__name__} ({source}) gave no "
                "prior to any of the objects, so nothing but background is learnt; loosen its thresholds, set "
                "`orphan: best_prior` where it has that parameter, or mend the rule, and run with --fresh"
            )


def _finite(value: Tensor) -> float | None:
    """A number as JSON can hold it."""
    return float(value) if bool(torch.isfinite(value)) else None
