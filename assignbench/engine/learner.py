"""What learns: a detector, a method and an optimiser. Learners know nothing of each other or of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from assignbench.config.recipe import Schedule, learning_rate
from assignbench.contract import Assignment, Context, Term, one_or_each, summed, total
from assignbench.data.stream import Batch
from assignbench.detectors import Detector
from assignbench.engine.averaging import average_of
from assignbench.engine.distributed import ALONE, World
from assignbench.engine.meter import Meter
from assignbench.engine.optim import build_optimiser, clipped, set_rate
from assignbench.engine.outcome import Outcome, Part, Update
from assignbench.engine.stopwatch import Stopwatch
from assignbench.methods import Built
from assignbench.sending import sent

MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """A detector that learns by a method: `learn(batches)`, `step()`, `finish()`, `state()`.

    `steps` is the number of updates of the whole run, which the rate and the methods' `progress` depend on;
    `epoch_steps` how many there are in an epoch. A learner that diverged or failed keeps the reason in `stopped` and
    sees no more batches. Its `meter` counts the time that it took.
    """

    def __init__(
        self,
        name: str,
        detector: Detector,
        method: Built,
        schedule: Schedule,
        seed: int,
        steps: int,
        epoch_steps: int = 1,
    ) -> None:
        self.name, self.detector, self.method = name, detector, method
        self.schedule, self.seed, self.steps, self.epoch_steps = schedule, seed, steps, epoch_steps
        self.stopped: BaseException | None = None
        self.meter, self.world = Meter(), ALONE
        self.model = nn.ModuleDict({"detector": detector, "criterion": method.criterion})
        named = [*detector.named_parameters(), *method.criterion.named_parameters(prefix="criterion")]
        self.optimiser = build_optimiser(named, schedule)
        # Half precision cannot hold small gradients: losses are scaled up for it, and updates that overflow left out.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=schedule.amp == "fp16")
        self.average = average_of(self.model, schedule, steps)
        self._forward = torch.compile(detector) if schedule.compile else detector

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return self.detector.device

    def join(self, world: World) -> None:
        """From now on this is one of the learners that have the same weights and learn from shares of each batch."""
        self.world = world
        if world.size > 1:
            from assignbench.engine.norms import share_norms  # brings torch's compiler, which takes a second

            self.detector.train()
            share_norms(self.model, world)

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
        return learning_rate(self.schedule, step, self.steps, self.epoch_steps)

    def terms(self, batch: Batch, step: int, assignment: Assignment | None = None) -> Part:
        """Forward pass, assignment and losses of a batch, before anything is divided or differentiated.

        An `assignment` that was made of the same batch and the same weights is taken as it is.
        """
        device = self.device
        objects = self.detector.taught(batch.placed or batch.objects).to(device)
        with self._precision():
            priors, predictions = self._forward(sent(batch.images, device), batch.extents)
        context = self.context(batch, step)
        watch = Stopwatch(device)
        if assignment is None:
            assignment = self.method.assigner(priors, predictions, objects, context)
        watch.mark()
        terms = self.method.criterion(priors, predictions, objects, assignment, context)
        watch.mark()
        return Part(batch, priors, assignment, terms, watch)

    def learn(self, batches: Sequence[Batch], step: int) -> tuple[Outcome, Update]:
        """The clipped gradient of an update, whose losses are divided by what is counted over all its batches.

        One batch at a time is in memory. What they all count has to be known before the first backward pass: the
        batches after the first are looked at ahead, without a graph, and passed forward again for their gradient. Their
        assignments are kept from the first look, and running statistics count each batch once.

        Where processes share the batches, all of them end with the same gradient: that of the loss over all images.
        """
        ahead = [self._look(batch, step) for batch in batches[1:]]
        first = self.terms(batches[0], step)
        parts = (replace(first, terms=_detached(first.terms)), *ahead)
        whole = self.world.terms(summed([part.terms for part in parts]))
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._backward(first.terms, whole)
        for part in ahead:
            again = self.terms(part.batch, step, part.assignment)
            loss = loss + self._backward(again.terms, whole)
        if self.world.size > 1:
            self.world.add_gradients(list(self.model.parameters()))
            loss = total(whole)
        self.scaler.unscale_(self.optimiser)
        norm = clipped(self.optimiser, self.schedule.clip_grad)
        return Outcome(step, parts, whole), Update(loss, norm)

    def forgives(self, update: Update) -> Tensor:
        """Whether [] a gradient that is not finite is an overflow of half precision: the update is left out then."""
        scale = self.scaler.scale(torch.ones((), device=self.device))  # one, where there is no scale
        return torch.isfinite(update.loss) & (scale > 1)

    def step(self, step: int) -> None:
        """One update at the rate of that step."""
        set_rate(self.optimiser, self.rate(step))
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average is not None:
            self.average.update()

    def finish(self) -> None:
        """After the last step: the averaged weights take the place of the last ones, where there are any."""
        if self.average is not None:
            self.average.into(self.model)

    def state(self) -> dict[str, Any]:
        """What a resumed learner needs: `weights`, and what updates them. The tensors are the live ones, not copies."""
        average = {} if self.average is None else {"average": self.average.state()}
        return {
            "weights": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            **average,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` returned. Raises KeyError or RuntimeError for what is not the state of this."""
        self.model.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.restore(state["average"])

    def settle(self, weights: Mapping[str, Tensor]) -> None:
        """Takes over the weights of a training that has come to its end."""
        self.model.load_state_dict(weights)
        if self.average is not None:
            self.average.restart()

    def _precision(self) -> AbstractContextManager[object]:
        dtype = MIXED.get(self.schedule.amp)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    @torch.no_grad()
    def _look(self, batch: Batch, step: int) -> Part:
        """The terms of a batch whose gradient comes later."""
        with _unmoved(self.model):
            return self.terms(batch, step)

    def _backward(self, terms: dict[str, Term], whole: dict[str, Term]) -> Tensor:
        """Adds the gradient of a batch's share in the losses; returns that share [], detached."""
        loss = total(terms, whole)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def _detached(terms: dict[str, Term]) -> dict[str, Term]:
    return {name: replace(term, sum=term.sum.detach()) for name, term in terms.items()}


@contextmanager
def _unmoved(model: nn.Module) -> Iterator[None]:
    """Forward passes inside leave the running statistics as they were."""
    held = [buffer.clone() for buffer in model.buffers()]
    yield
    for buffer, before in zip(model.buffers(), held, strict=True):
        buffer.copy_(before)
