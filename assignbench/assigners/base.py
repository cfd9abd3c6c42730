"""The contract of every assigner: (Priors, Predictions, Objects, Context) -> Assignment, on the whole batch at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from assignbench.priors import Priors
from assignbench.registry import Registry

BACKGROUND = -1
IGNORE = -2

QualityKind = Literal["iou", "centerness", "objectness", "implicit"]


@dataclass(frozen=True)
class Objects:
    """Ground truth of a batch, padded: boxes [B, G, 4] xyxy px · labels [B, G] 0-based · valid [B, G] bool.

    Crowd regions and what a study excludes never enter. Unbatched tensors ([G, 4], [G]) get a batch of one.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        if self.boxes.ndim == 2:
            object.__setattr__(self, "boxes", self.boxes[None])
        if self.labels.ndim == 1:
            object.__setattr__(self, "labels", self.labels[None])
        if self.valid.numel() == 0:
            object.__setattr__(self, "valid", torch.ones_like(self.labels, dtype=torch.bool))
        if self.valid.ndim == 1:
            object.__setattr__(self, "valid", self.valid[None])
        if self.boxes.shape[:2] != self.labels.shape or self.labels.shape != self.valid.shape:
            raise ValueError(
                f"objects disagree: boxes {tuple(self.boxes.shape)}, labels {tuple(self.labels.shape)}, "
                f"valid {tuple(self.valid.shape)}"
            )

    @staticmethod
    def pad(boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Objects:
        """A batch from one [G_i, 4] and one [G_i] tensor per image."""
        width = max((len(b) for b in boxes), default=0)
        padded = torch.zeros(len(boxes), width, 4)
        label = torch.zeros(len(boxes), width, dtype=torch.long)
        valid = torch.zeros(len(boxes), width, dtype=torch.bool)
        for i, (b, c) in enumerate(zip(boxes, labels, strict=True)):
            padded[i, : len(b)], label[i, : len(b)], valid[i, : len(b)] = b, c, True
        return Objects(padded, label, valid)

    def with_room(self) -> Objects:
        """The same objects with at least one (invalid) column, so that reductions over G are defined."""
        if self.boxes.shape[1]:
            return self
        batch = self.boxes.shape[0]
        return Objects(
            self.boxes.new_zeros(batch, 1, 4),
            self.labels.new_zeros(batch, 1),
            torch.zeros(batch, 1, dtype=torch.bool, device=self.boxes.device),
        )

    def images(self, start: int, stop: int) -> Objects:
        """The objects of a slice of the batch."""
        return Objects(self.boxes[start:stop], self.labels[start:stop], self.valid[start:stop])


@dataclass(frozen=True)
class Predictions:
    """What the network said: cls_logits [B, A, C] · deltas [B, A, 4] · boxes [B, A, 4] px · quality_logits [B, A].

    `quality_kind` says what the quality logit means. Unbatched tensors get a batch of one.
    """

    cls_logits: Tensor
    deltas: Tensor
    boxes: Tensor
    quality_logits: Tensor | None = None
    quality_kind: QualityKind | None = None

    def __post_init__(self) -> None:
        for name in ("cls_logits", "deltas", "boxes"):
            if getattr(self, name).ndim == 2:
                object.__setattr__(self, name, getattr(self, name)[None])
        if self.quality_logits is not None and self.quality_logits.ndim == 1:
            object.__setattr__(self, "quality_logits", self.quality_logits[None])

    def detached(self) -> Predictions:
        """float32 copies without gradient: what an assigner reads."""
        quality = None if self.quality_logits is None else self.quality_logits.detach().float()
        return replace(
            self,
            cls_logits=self.cls_logits.detach().float(),
            deltas=self.deltas.detach().float(),
            boxes=self.boxes.detach().float(),
            quality_logits=quality,
        )

    def images(self, start: int, stop: int) -> Predictions:
        """The predictions of a slice of the batch."""
        quality = None if self.quality_logits is None else self.quality_logits[start:stop]
        return replace(
            self,
            cls_logits=self.cls_logits[start:stop],
            deltas=self.deltas[start:stop],
            boxes=self.boxes[start:stop],
            quality_logits=quality,
        )


def _unreduced(value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True)
class Context:
    """Where in training a batch stands. Every field has a usable default.

    `progress` is in [0, 1]; `seed`, `epoch` and an image's id key its random numbers; `reduce` sums a tensor
    over ranks.
    """

    epoch: int = 0
    progress: float = 1.0
    image_ids: tuple[int, ...] = ()
    image_hw: tuple[int, int] = (0, 0)
    seed: int = 0
    reduce: Callable[[Tensor], Tensor] = _unreduced

    def images(self, start: int, stop: int) -> Context:
        """The context of a slice of the batch."""
        return replace(self, image_ids=self.image_ids[start:stop])


@dataclass(frozen=True)
class Targets:
    """What each prior learns: index [B, A] int64 (object >= 0, BACKGROUND, IGNORE) · weight [B, A] · quality [B, A]."""

    index: Tensor
    weight: Tensor
    quality: Tensor

    @staticmethod
    def hard(index: Tensor) -> Targets:
        """Weight one everywhere (zero where ignored), quality one on positives."""
        positive = (index >= 0).float()
        return Targets(index, (index != IGNORE).float(), positive)


@dataclass(frozen=True)
class Assignment:
    """Targets of the two tasks, which may name different objects for one prior, and what the method wants kept."""

    cls: Targets
    box: Targets
    bags: tuple[Tensor, Tensor, Tensor] | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)


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
    def assign_image(
        self, priors: Priors, predictions: Predictions, objects: Objects, context: Context
    ) -> Assignment:
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


ASSIGNERS: Registry[Assigner] = Registry("assigner")
