"""What learns: a detector, a method and an optimiser. Learners know nothing of each other or of files."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from assignbench.config.recipe import Schedule, learning_rate
from assignbench.contract import Assignment, Context, Term, one_or_each, total
from assignbench.data.stream import Batch
from assignbench.detectors import Detector
from assignbench.engine.optim import build_optimiser, set_rate
from assignbench.engine.stopwatch import Lap, Stopwatch
from assignbench.methods import Built
from assignbench.priors import Priors


class Diverged(RuntimeError):
    """A loss or a gradient stopped being finite; the message names the step, the terms and the images."""


@dataclass(frozen=True)
class Outcome:
    """What a learner made of one batch: the assignment, the losses as terms, and the watch that timed both."""

    step: int
    batch: Batch
    priors: Priors
    assignment: Assignment
    terms: dict[str, Term]
    watch: Stopwatch

    @property
    def assigning(self) -> Lap:
        """How long the assigner took."""
        return self.watch.lap(0)

    @property
    def judging(self) -> Lap:
        """How long the losses took."""
        return self.watch.lap(1)


@dataclass(frozen=True)
class Update:
    """The loss [] of a step and the norm [] of its gradient before it was clipped."""

    loss: Tensor
    norm: Tensor


class Learner:
    """A detector that learns by a method: `terms(batch)`, `gradient(...)`, `step()`, `state()`.

    `steps` is the length of the whole run, which the rate and the methods' `progress` depend on. A learner that
    diverged keeps the reason in `stopped` and sees no more batches.
    """

    def __init__(self, name: str, detector: Detector, method: Built, schedule: Schedule, seed: int, steps: int) -> None:
        self.name, self.detector, self.method = name, detector, method
        self.schedule, self.seed, self.steps = schedule, seed, steps
        self.stopped: Diverged | None = None
        self.model = nn.ModuleDict({"detector": detector, "criterion": method.criterion})
        named = [*detector.named_parameters(), *method.criterion.named_parameters(prefix="criterion")]
        self.optimiser = build_optimiser(named, schedule)

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return self.detector.device

    def context(self, batch: Batch, step: int, epoch: int | None = None) -> Context:
        """Where in training a batch stands before the update of `step`."""
        return Context(
            epoch=batch.epoch if epoch is None else epoch,
            progress=step / max(1, self.steps),
            image_ids=batch.image_ids,
            image_hw=one_or_each(batch.sizes),
            seed=self.seed,
        )

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return learning_rate(self.schedule, step, self.steps)

    def terms(self, batch: Batch, step: int) -> Outcome:
        """Forward pass, assignment and losses of a batch, before anything is divided or differentiated."""
        device = self.device
        objects = self.detector.taught(batch.objects).to(device)
        mixed = torch.autocast(device.type, torch.bfloat16) if self.schedule.amp == "bf16" else nullcontext()
        with mixed:
            priors, predictions = self.detector(batch.images.to(device), batch.extents)
        context = self.context(batch, step)
        watch = Stopwatch(device)
        assignment = self.method.assigner(priors, predictions, objects, context)
        watch.mark()
        terms = self.method.criterion(priors, predictions, objects, assignment, context)
        watch.mark()
        return Outcome(step, batch, priors, assignment, terms, watch)

    def gradient(self, terms: dict[str, Term]) -> Update:
        """The gradient of the normalised losses, clipped; terms of several batches or ranks may be summed before."""
        loss = total(terms)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.schedule.clip_grad, foreach=True)
        return Update(loss.detach(), norm)

    def step(self, step: int) -> None:
        """One update at the rate of that step."""
        set_rate(self.optimiser, self.rate(step))
        self.optimiser.step()

    def state(self) -> dict[str, Any]:
        """What a resumed learner needs: `weights` and `optimiser`. The tensors are the live ones, not copies."""
        return {"weights": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` returned."""
        self.model.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
