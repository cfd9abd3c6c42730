"""FCOS (Tian et al., ICCV 2019, section 3): points inside an object, split over levels by the object's extent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.boxes import areas, centres, inside
from assignbench.config.method import Nms, Part, Preset, preset
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors


def reach(points: Tensor, boxes: Tensor) -> Tensor:
    """Largest of the four distances [B, G, A] from points [A, 2] to the sides of boxes [B, G, 4]."""
    x, y = points.unbind(-1)
    left, top, right, bottom = (c.contiguous().unsqueeze(-1) for c in boxes.unbind(-1))
    return (x - left).maximum(right - x).maximum((y - top).maximum(bottom - y))


def level_range(priors: Priors, extent: float = 8.0) -> tuple[Tensor, Tensor]:
    """Smallest and largest distance [A] that a prior's level regresses: half to `extent` strides, open at both ends."""
    low, high = extent / 2 * priors.strides, extent * priors.strides
    low = torch.where(priors.strides == priors.strides.min(), -1.0, low)
    return low, torch.where(priors.strides == priors.strides.max(), float("inf"), high)


def smallest_owner(candidate: Tensor, objects: Objects) -> Tensor:
    """The smallest object [B, A] among those that a prior is a candidate of [B, G, A]; lowest index on ties."""
    size = areas(objects.boxes).unsqueeze(-1).masked_fill(~candidate, float("inf"))
    least, owner = size.min(dim=1)
    return torch.where(torch.isinf(least), BACKGROUND, owner)


def central(priors: Priors, boxes: Tensor, radius: float) -> Tensor:
    """Whether points lie strictly within `radius` strides of the box centre and inside the box [B, G, A]."""
    middle = centres(boxes).unsqueeze(2)  # [B, G, 1, 2]
    extent = (radius * priors.strides).unsqueeze(-1)
    low = (middle - extent).maximum(boxes[:, :, None, :2])
    high = (middle + extent).minimum(boxes[:, :, None, 2:])
    return ((priors.points > low) & (priors.points < high)).all(dim=-1)


@ASSIGNERS.register("fcos")
@dataclass(frozen=True)
class FCOS(Assigner):
    """A point learns the smallest object that it lies in, if the largest side distance fits its level.

    Invariant: a prior has at most one object; an object may have none (tiny ones between points). Level of stride s
    takes distances of 4s to 8s, both inclusive, the first from 0, the last without end (64, 128, ... for 8, 16, ...);
    `extent` replaces the 8 where images are smaller than the paper's.
    `center_radius` > 0 keeps only points within so many strides of the object's centre (the later, improved FCOS).

    Differs from nothing known in the released code; the first of equally small objects wins.

    >>> from assignbench.examples import three_anchors
    >>> FCOS()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    center_radius: float = 0.0
    level_ranges: bool = True
    extent: float = 8.0

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        targets = Targets.hard(self.match(priors, objects))
        return Assignment(targets, targets)

    def match(self, priors: Priors, objects: Objects) -> Tensor:
        """The object of every prior [B, A]."""
        if self.center_radius > 0:
            candidate = central(priors, objects.boxes, self.center_radius)
        else:
            candidate = inside(priors.points, objects.boxes) > 0
        if self.level_ranges:
            distance = reach(priors.points, objects.boxes)
            low, high = level_range(priors, self.extent)
            candidate &= (distance >= low) & (distance <= high)
        candidate &= objects.valid.unsqueeze(-1)
        return smallest_owner(candidate, objects)


def centerness(points: Tensor, boxes: Tensor) -> Tensor:
    """sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) [B, A] of points [A, 2] in boxes [B, A, 4].  FCOS, Eq. (3)"""
    near = (points - boxes[..., :2]).clamp(min=0)
    far = (boxes[..., 2:] - points).clamp(min=0)
    ratio = near.minimum(far) / near.maximum(far).clamp(min=1e-6)
    return ratio.prod(dim=-1).sqrt()


PRESETS: tuple[Preset, ...] = (
    preset(
        "fcos",
        "fcos",
        "smallest object around the point, level ranges, centerness (FCOS)",
        criterion=Part(name="dense", parameters={"gamma": 2.0, "box": "giou", "box_weight": 2.0}),
        quality="centerness",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
    ),
    preset(
        "fcos_plain",
        "fcos",
        "FCOS without centerness",
        criterion=Part(name="dense", parameters={"gamma": 2.0, "box": "giou", "box_weight": 2.0}),
        nms=Nms(iou=0.6),
    ),
    preset(
        "fcos_center",
        Part(name="fcos", parameters={"center_radius": 1.5}),
        "FCOS with centre sampling",
        criterion=Part(name="dense", parameters={"gamma": 2.0, "box": "giou", "box_weight": 2.0}),
        quality="centerness",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
    ),
)
