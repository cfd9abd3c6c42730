"""The inputs that conformance is checked on: random predictions around given objects, alone and in padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from assignbench.coders import coder_for
from assignbench.config.method import PriorKind, QualityKind
from assignbench.contract import Context, Objects, Predictions
from assignbench.priors import Priors, anchor_grid, point_grid

CLASSES = 4


@dataclass(frozen=True)
class Case:
    """One set of inputs to an assigner."""

    priors: Priors
    predictions: Predictions
    objects: Objects
    context: Context = field(default_factory=Context)

    def images(self, start: int, stop: int) -> Case:
        """A slice of the batch."""
        return Case(
            self.priors,
            self.predictions.images(start, stop),
            self.objects.images(start, stop),
            self.context.images(start, stop),
        )


def grid(kind: PriorKind, image_hw: tuple[int, int] = (64, 64)) -> Priors:
    """Four anchors or one point per location on strides 8 to 32."""
    strides = (8, 16, 32)
    grids = {
        "anchor": lambda: anchor_grid(image_hw, strides, (2.0, 3.0), (1.0, 2.0)),
        "point": lambda: point_grid(image_hw, strides),
    }
    return grids[kind]()


def make_case(
    boxes: Sequence[Tensor],
    *,
    kind: PriorKind = "anchor",
    seed: int = 0,
    device: str = "cpu",
    quality: QualityKind | None = "iou",
    image_hw: tuple[int, int] = (64, 64),
) -> Case:
    """Random predictions around the given objects of each image (64 x 64 px, strides 8 to 32)."""
    random = torch.Generator().manual_seed(seed)
    priors = grid(kind, image_hw)
    batch = len(boxes)
    labels = [torch.randint(CLASSES, (len(b),), generator=random) for b in boxes]
    logits = 2 * torch.randn(batch, len(priors), CLASSES, generator=random) - 1
    deltas = 0.7 * torch.randn(batch, len(priors), 4, generator=random)
    scores = torch.randn(batch, len(priors), generator=random)
    decoded = coder_for(priors).decode(priors, deltas)
    predictions = Predictions(logits, deltas, decoded, scores if quality else None, quality)
    padded = Objects.pad(list(boxes), labels)
    context = Context(image_ids=tuple(range(batch)), image_hw=image_hw)
    return Case(priors.to(device), predictions.to(device), padded.to(device), context)


def padded_case(*, kind: PriorKind = "anchor", device: str = "cpu", quality: QualityKind | None = "iou") -> Case:
    """Four images of three sizes in a batch of 96 x 96 px; `priors.valid` marks what lies inside each."""
    sizes = ((64, 64), (96, 64), (64, 64), (96, 96))
    boxes = [random_boxes(n, seed) for n, seed in ((4, 21), (2, 22), (5, 23), (6, 24))]
    case = make_case(boxes, kind=kind, device=device, quality=quality, image_hw=(96, 96))
    x, y = case.priors.points.unbind(-1)
    inside = torch.stack([(x < width) & (y < height) for height, width in sizes])
    return replace(case, priors=replace(case.priors, valid=inside), context=replace(case.context, image_hw=sizes))


def unpadded(case: Case, i: int) -> tuple[Case, Tensor]:
    """Image `i` of a padded batch alone, with the priors of its own size, and their places [N] in the batch's."""
    if case.priors.valid is None:
        raise ValueError("the case has no padding")
    mask = case.priors.valid[i]
    keep = mask.nonzero().squeeze(1)
    sizes = tuple(int(level.sum()) for level in torch.split(mask, list(case.priors.level_sizes)))
    alone = without_room(case.images(i, i + 1))
    inner = alone.predictions.map(lambda tensor: tensor[:, keep])
    return replace(alone, priors=case.priors.take(keep, sizes), predictions=inner), keep


def random_boxes(count: int, seed: int) -> Tensor:
    """Boxes [count, 4] of 6 to 50 px in a 64 px image, no two alike."""
    random = torch.Generator().manual_seed(seed)
    sides = 6 + 44 * torch.rand(count, 2, generator=random)
    corner = torch.rand(count, 2, generator=random) * (64 - sides)
    return torch.cat([corner, corner + sides], dim=1)


def without_room(case: Case) -> Case:
    """A case of one image whose objects are all valid."""
    count = int(case.objects.valid.sum())
    o = case.objects
    return replace(case, objects=Objects(o.boxes[:, :count], o.labels[:, :count], o.valid[:, :count]))
