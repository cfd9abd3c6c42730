"""FCOS (Tian et al., ICCV 2019, section 3): points inside an object, split over levels by the object's extent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner, NonNegative, Positive
from assignbench.boxes import areas, centres, inside
from assignbench.config.method import CoderConfig, Needs, Nms, Part, Preset, preset
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import best_over_objects, boxes_of


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


def smallest_owner(objects: Objects, num_priors: int, candidate: Callable[[Objects], Tensor]) -> Tensor:
    """The smallest object [B, A] among those that a prior is a candidate of; lowest index on ties.

    `candidate` gives [B, g, A] for a slice of the objects; invalid ones are left out here.
    """

    def smallness(start: int, part: Objects) -> Tensor:
        chosen = candidate(part) & part.valid.unsqueeze(-1)
        return (-areas(part.boxes)).unsqueeze(-1).masked_fill(~chosen, -float("inf"))

    return best_over_objects(objects, num_priors, smallness)[1]


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
    `center_radius` > 0 keeps only points within so many strides of the object's centre (the later, improved FCOS has
    1.5). The first of equally small objects wins. The diagnostics `ltrb` are the distances to learn in px.

    Differs from the paper in `level_ranges` and `extent`, which it fixes at these defaults.

    >>> from assignbench.examples import three_anchors
    >>> FCOS()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    center_radius: NonNegative = 0.0
    level_ranges: bool = True
    extent: Positive = 8.0

    @property
    def needs(self) -> Needs:
        """Points: the rule asks where they lie in an object, and levels by distances to its sides."""
        return Needs(priors=("point",), why="FCOS labels points; take a detector with points, e.g. fcos-slim")

    @property
    def idle(self) -> dict[str, str]:
        return {} if self.level_ranges else {"extent": "there are no level ranges; set level_ranges: true"}

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        index = self.match(priors, objects)
        targets = Targets.hard(index)
        boxes = boxes_of(index, objects.boxes)
        distances = torch.cat([priors.points - boxes[..., :2], boxes[..., 2:] - priors.points], dim=-1)
        return Assignment(targets, targets, prior_diagnostics={"ltrb": distances * (index >= 0).unsqueeze(-1)})

    def match(self, priors: Priors, objects: Objects) -> Tensor:
        """The object of every prior [B, A]."""
        objects = objects.with_room()
        return smallest_owner(objects, len(priors), lambda part: self._candidates(priors, part.boxes))

    def _candidates(self, priors: Priors, boxes: Tensor) -> Tensor:
        if self.center_radius > 0:
            candidate = central(priors, boxes, self.center_radius)
        else:
            candidate = inside(priors.points, boxes) > 0
        if self.level_ranges:
            distance = reach(priors.points, boxes)
            low, high = level_range(priors, self.extent)
            candidate &= (distance >= low) & (distance <= high)
        return candidate


def centerness(points: Tensor, boxes: Tensor) -> Tensor:
    """sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) [B, A] of points [A, 2] in boxes [B, A, 4].  FCOS, Eq. (3)"""
    near = (points - boxes[..., :2]).clamp(min=0)
    far = (boxes[..., 2:] - points).clamp(min=0)
    ratio = near.minimum(far) / near.maximum(far).clamp(min=1e-6)
    return ratio.prod(dim=-1).sqrt()


def _losses(box: str, weight: float, weighting: str) -> Part:
    return Part(name="dense", parameters={"box": box, "box_weight": weight, "weighting": weighting})


_LIGHT: dict[str, Any] = {
    "criterion": _losses("giou", 2.0, "none"),
    "quality": "centerness",
    "ranking": "cls*quality",
    "nms": Nms(iou=0.6),
    "source": "ours",
}

PRESETS: tuple[Preset, ...] = (
    preset(
        "fcos",
        "fcos",
        "smallest object around the point, -ln IoU weighted by centerness, NMS .5 (FCOS as printed). "
        "No baseline: it is one",
        source="printed",
        criterion=_losses("iou", 1.0, "centerness"),
        quality="centerness",
        ranking="cls*quality",
        nms=Nms(iou=0.5),
    ),
    preset(
        "fcos_improved",
        Part(name="fcos", parameters={"center_radius": 1.5}),
        "centre sampling, GIoU weighted by centerness, distances relu x stride, NMS .6 (the later FCOS). "
        "No baseline: it is one",
        criterion=_losses("giou", 1.0, "centerness"),
        quality="centerness",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        coder=CoderConfig(distance="relu"),
    ),
    preset("fcos_light", "fcos", "FCOS's rule and centerness with the light losses of `iou`", **_LIGHT),
    preset(
        "fcos_center",
        Part(name="fcos", parameters={"center_radius": 1.5}),
        "fcos_light with centre sampling",
        baseline="fcos_light",
        **_LIGHT,
    ),
    preset(
        "fcos_plain",
        "fcos",
        "fcos_light without centerness. No baseline: it is one",
        **{**_LIGHT, "quality": None, "ranking": "cls"},
    ),
)
