"""The contract of every assigner: (Priors, Predictions, Objects, Context) -> Assignment, on the whole batch at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

import torch

from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.registry import Registry


class Assigner(ABC):
    """Base of the assigners: pure, without gradient, in float32 whatever the autocast state.

    A subclass is a frozen dataclass (its fields are its hyper-parameters) and implements `assign`, where G >= 1
    and invalid objects are marked in `objects.valid`. Images of a batch are independent of each other, so a batch
    whose [B, G, A] matrices would exceed `MAX_PAIRS` entries is worked through in slices, with the same results.
    """

    MAX_PAIRS = 64_000_000

    def __call__(
        self, priors: Priors, predictions: Predictions, objects: Objects, context: Context | None = None
    ) -> Assignment:
        context = context or Context()
        with torch.no_grad(), torch.autocast(priors.boxes.device.type, enabled=False):
            objects = objects.with_room()
            batch, width = objects.labels.shape
            step = max(1, self.MAX_PAIRS // (width * len(priors)))
            if step >= batch:
                return self.assign(priors, predictions.detached(), objects, context)
            parts = []
            for start in range(0, batch, step):
                stop = min(start + step, batch)
                part = predictions.images(start, stop).detached()
                masked = priors if priors.valid is None else replace(priors, valid=priors.valid[start:stop])
                parts.append(self.assign(masked, part, objects.images(start, stop), context.images(start, stop)))
            return _joined(parts)

    @abstractmethod
    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        """The rule itself. Predictions are detached float32."""


class PerImageAssigner(Assigner):
    """For people who bring an assigner for one image: implement `assign_image`; the batch is looped over here."""

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        parts = []
        for i in range(len(objects.boxes)):
            keep = objects.valid[i]
            image = Objects(objects.boxes[i][keep], objects.labels[i][keep])
            parts.append(self.assign_image(priors, predictions.images(i, i + 1), image, context.images(i, i + 1)))
        return _joined(parts)

    @abstractmethod
    def assign_image(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        """The rule for a batch of one, all of whose objects are valid (there may be none)."""


def _joined(parts: list[Assignment]) -> Assignment:
    def targets(select: Callable[[Assignment], Targets]) -> Targets:
        chosen = [select(p) for p in parts]
        return Targets(
            torch.cat([t.index for t in chosen]),
            torch.cat([t.weight for t in chosen]),
            torch.cat([t.quality for t in chosen]),
        )

    bags = None
    if parts[0].bags is not None:
        kept = [p.bags for p in parts if p.bags is not None]
        bags = (torch.cat([b[0] for b in kept]), torch.cat([b[1] for b in kept]), torch.cat([b[2] for b in kept]))
    names = parts[0].diagnostics
    joined = {name: torch.cat([p.diagnostics[name] for p in parts]) for name in names}
    return Assignment(targets(lambda p: p.cls), targets(lambda p: p.box), bags, joined)


ASSIGNERS: Registry[Assigner] = Registry("assigner", Assigner)  # type: ignore[type-abstract]
