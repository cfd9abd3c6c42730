"""The contract's data: what goes into an assigner and what comes out, all plain tensors of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from assignbench.config.method import QualityKind
from assignbench.padding import of_images
from assignbench.sending import sent

BACKGROUND = -1
IGNORE = -2


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
        """The same objects on another device; a GPU is not waited for."""
        return Objects(*(sent(t, device) for t in (self.boxes, self.labels, self.valid)))

    def images(self, start: int, stop: int) -> Objects:
        """The objects of a slice of the batch."""
        return Objects(self.boxes[start:stop], self.labels[start:stop], self.valid[start:stop])

    def take(self, images: Sequence[int]) -> Objects:
        """The objects of some images of the batch, by their places."""
        return Objects(*(of_images(t, images) for t in (self.boxes, self.labels, self.valid)))


@dataclass(frozen=True)
class Predictions:
    """What the network said: cls_logits [B, A, C] · deltas [B, A, 4] · boxes [B, A, 4] px, decoded · quality_logits
    [B, A].

    `deltas` may be missing where nothing reads them (IoU losses). `quality_kind` says what the quality logit means.
    Unbatched tensors get a batch of one.
    """

    cls_logits: Tensor
    deltas: Tensor | None = None
    boxes: Tensor = None  # type: ignore[assignment]  # a field behind an optional one needs a default; None is refused
    quality_logits: Tensor | None = None
    quality_kind: QualityKind | None = None

    def __post_init__(self) -> None:
        if self.boxes is None:
            raise ValueError("predictions need decoded boxes [B, A, 4]")
        for name, dimensions in _PREDICTED.items():
            value = getattr(self, name)
            if value is not None and value.ndim == dimensions - 1:
                object.__setattr__(self, name, value[None])

    def map(self, change: Callable[[Tensor], Tensor]) -> Predictions:
        """The same predictions with every tensor changed."""
        tensors = {name: getattr(self, name) for name in _PREDICTED}
        changed: dict[str, Any] = {name: change(value) for name, value in tensors.items() if value is not None}
        return replace(self, **changed)

    def detached(self) -> Predictions:
        """float32 copies without gradient: what an assigner reads."""
        return self.map(lambda tensor: tensor.detach().float())

    def to(self, device: torch.device | str) -> Predictions:
        """The same predictions on another device."""
        return self.map(lambda tensor: tensor.to(device))

    def images(self, start: int, stop: int) -> Predictions:
        """The predictions of a slice of the batch."""
        return self.map(lambda tensor: tensor[start:stop])


_PREDICTED = {"cls_logits": 3, "deltas": 3, "boxes": 3, "quality_logits": 2}  # dimensions with the batch's


ImageSizes = tuple[int, int] | tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Context:
    """Where in training a batch stands. Every field has a usable default.

    `progress` is in [0, 1]; `seed`, `epoch` and an image's id key its random numbers. `image_hw` is (height, width) of
    all images, or one such pair per image where their sizes differ and the batch is padded.
    """

    epoch: int = 0
    progress: float = 1.0
    image_ids: tuple[int, ...] = ()
    image_hw: ImageSizes = (0, 0)
    seed: int = 0

    def images(self, start: int, stop: int) -> Context:
        """The context of a slice of the batch."""
        sizes: ImageSizes = self.image_hw
        if not _is_one_size(sizes):
            sizes = sizes[start:stop]  # type: ignore[assignment]  # a pair per image
        return replace(self, image_ids=self.image_ids[start:stop], image_hw=sizes)

    def take(self, images: Sequence[int]) -> Context:
        """The context of some images of the batch, by their places; every image must have its id."""
        sizes = self.sizes(len(self.image_ids))
        return replace(
            self,
            image_ids=tuple(self.image_ids[i] for i in images),
            image_hw=self.image_hw if _is_one_size(self.image_hw) else tuple(sizes[i] for i in images),
        )

    def named(self, batch: int) -> Context:
        """The same with an id for each of `batch` images: those without one are called by their place in the batch."""
        return replace(self, image_ids=(*self.image_ids, *range(len(self.image_ids), batch))[:batch])

    def sizes(self, batch: int) -> tuple[tuple[int, int], ...]:
        """(height, width) of each of `batch` images."""
        if _is_one_size(self.image_hw):
            return ((int(self.image_hw[0]), int(self.image_hw[1])),) * batch  # type: ignore[arg-type]
        return self.image_hw  # type: ignore[return-value]


def one_or_each(sizes: tuple[tuple[int, int], ...]) -> ImageSizes:
    """The (height, width) of a batch's images for a Context: one pair where all are alike, else one of each."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _is_one_size(sizes: ImageSizes) -> bool:
    return bool(sizes) and isinstance(sizes[0], int)


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
class Bags:
    """Bags of priors, one per object: what LTM's assigner hands to its criterion.

    prior [B, G, K] int64 · mask [B, G, K] bool (False in the padding of a smaller bag) · weight [B, G, K], what each
    member counts now. `size` is the nominal K, `beta` and `box` (a box loss by name) the matching likelihood's: they
    live here, and nowhere else.
    """

    prior: Tensor
    mask: Tensor
    weight: Tensor
    size: int = 0
    beta: float = 0.5
    box: str = "smooth_l1"


@dataclass(frozen=True)
class Assignment:
    """Targets of the two tasks, which may name different objects for one prior, and what the method wants kept.

    `diagnostics` are named tensors per image [B] or per object, [B, G] or [B, G, N]; those per object are recorded at
    the probe visits. `prior_diagnostics` are named tensors per prior, [B, A] or [B, A, N]; two of them are recorded at
    the probe visits: `candidate` [B, A] int64, the object that a rule judges the prior for (BACKGROUND for none), and
    `loss` [B, A], what it judges it by (lower is better). Which of the two a tensor stands in says what its second
    dimension counts; sizes cannot tell, since G and A may be equal. `stage` names the part of training where a rule
    changes over it ("" where it does not), for a criterion that changes with it.
    """

    cls: Targets
    box: Targets
    bags: Bags | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    prior_diagnostics: dict[str, Tensor] = field(default_factory=dict)
    stage: str = ""


def fault_of(found: object, shape: tuple[int, int]) -> str:
    """What makes an assigner's answer for [B, A] priors none that others could read; "" if nothing does.

    Types and shapes alone, which cost no look at a value; `conformance` looks at the rest.
    """
    if not isinstance(found, Assignment):
        return f"returned {_kind(found)}, expected an Assignment"
    for task in ("cls", "box"):
        targets: Any = getattr(found, task)
        if not isinstance(targets, Targets):
            return f"returned {_kind(targets)} as {task}, expected Targets"
        for name in ("index", "weight", "quality"):
            tensor: Any = getattr(targets, name)
            if not isinstance(tensor, Tensor):
                return f"returned {_kind(tensor)} as {task}.{name}, expected a tensor"
            if tuple(tensor.shape) != shape:
                return f"returned targets {list(tensor.shape)} ({task}.{name}), expected {list(shape)}"
        if targets.index.dtype != torch.int64:
            return f"returned {task}.index of {targets.index.dtype}, expected torch.int64"
    return ""


def _kind(found: object) -> str:
    return "None" if found is None else f"a {type(found).__name__}"


@dataclass(frozen=True)
class Term:
    """One loss before it is normalised: `sum` [] with gradient, `count` [] without, `images` it was summed over.

    Terms of parts of a batch, of accumulated batches and of ranks add up, and only then is the sum divided: by `count`,
    at least `least`, or at least the number of images where `least` is None. So every normaliser is global.
    """

    sum: Tensor
    count: Tensor
    images: int
    least: float | None = 1.0

    def __add__(self, other: Term) -> Term:
        if self.least != other.least:
            raise ValueError(f"terms of different losses: least {self.least} and {other.least}")
        return Term(self.sum + other.sum, self.count + other.count, self.images + other.images, self.least)

    @property
    def divisor(self) -> Tensor:
        """What the sum is divided by, [] without gradient."""
        return self.count.detach().clamp(min=float(self.images) if self.least is None else self.least)

    def value(self) -> Tensor:
        """The loss."""
        return self.sum / self.divisor


def summed(parts: Sequence[Mapping[str, Term]]) -> dict[str, Term]:
    """The terms of several parts of a batch as those of the whole. Raises ValueError for parts of different losses."""
    whole = dict(parts[0])
    for part in parts[1:]:
        if part.keys() != whole.keys():
            raise ValueError(f"parts of one batch have different losses: {sorted(whole)} and {sorted(part)}")
        whole = {name: term + part[name] for name, term in whole.items()}
    return whole


def total(terms: Mapping[str, Term], whole: Mapping[str, Term] | None = None) -> Tensor:
    """The sum of all losses; of a part of a batch its share in them, divided by what the `whole` batch counts."""
    counted = terms if whole is None else whole
    return torch.stack([term.sum / counted[name].divisor for name, term in terms.items()]).sum()
