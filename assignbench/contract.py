"""The contract's data: what goes into an assigner and what comes out, all plain tensors of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

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

    def class_agnostic(self) -> Objects:
        """The same objects as one class: what RPN sees."""
        return Objects(self.boxes, torch.zeros_like(self.labels), self.valid)

    def to(self, device: torch.device | str) -> Objects:
        """The same objects on another device."""
        return Objects(self.boxes.to(device), self.labels.to(device), self.valid.to(device))

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

    def to(self, device: torch.device | str) -> Predictions:
        """The same predictions on another device."""
        quality = None if self.quality_logits is None else self.quality_logits.to(device)
        logits, deltas, boxes = (t.to(device) for t in (self.cls_logits, self.deltas, self.boxes))
        return replace(self, cls_logits=logits, deltas=deltas, boxes=boxes, quality_logits=quality)

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
