"""Stops a learner whose loss or gradient is not finite, before its weights are spoilt."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Diverged, Outcome, Update
from assignbench.records import write_json


class Guard(Hook):
    """Writes diverged.json (step, terms, gradient norm, images) and raises Diverged."""

    def __init__(self, learner: Learner, folder: Path) -> None:
        super().__init__(learner)
        self.folder = folder

    def before_update(self, outcome: Outcome, update: Update) -> None:
        if not bool(torch.isfinite(update.norm + update.loss)) and not self.learner.forgives(update):
            dump = {
                "step": outcome.step,
                "losses": {name: _finite(term.value()) for name, term in outcome.terms.items()},
                "grad_norm": _finite(update.norm),
                "image_ids": list(outcome.image_ids),
            }
            write_json(self.folder / "diverged.json", dump)
            raise Diverged(f"step {outcome.step}: not finite: {json.dumps(dump)}")


def _finite(value: Tensor) -> float | None:
    """A number as JSON can hold it."""
    return float(value) if bool(torch.isfinite(value)) else None
