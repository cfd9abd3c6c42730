"""Priors: what a prediction is made from, an anchor box or a point with its stride."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from assignbench.config.method import CoderConfig, PriorKind
from assignbench.config.network import PriorSpec
from assignbench.padding import Alike, Padding, groups_of
from assignbench.sending import sent

_PLAIN = CoderConfig()


@dataclass(frozen=True)
class Priors:
    """All priors of an image size, in the order level, row, column, prior of the location.

    boxes [A, 4] xyxy px · strides [A] px · kind · points [A, 2] px · level_sizes (priors per level, sums to A).
    Points default to box centres, the whole set to one level; kind and strides must be given. A point's box is the
    2s x 2s square at the point (`Priors.from_points`). `valid` [B, A] masks priors in a mixed-size batch's padding;
    `padding` is what the host knows of it, and may be missing. `coding` says how outputs become boxes, and whether
    pixels are counted inclusively.
    """

    boxes: Tensor
    points: Tensor = field(default_factory=lambda: torch.empty(0))
    strides: Tensor = field(default_factory=lambda: torch.empty(0))
    level_sizes: tuple[int, ...] = ()
    anchors_per_location: int = 1
    kind: PriorKind | None = None
    coding: CoderConfig = _PLAIN
    valid: Tensor | None = None
    padding: Padding | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"priors need boxes of shape [A, 4], got {tuple(self.boxes.shape)}")
        if self.strides.shape != self.boxes.shape[:1]:
            raise ValueError(
                f"priors need strides of shape [{len(self.boxes)}], got {tuple(self.strides.shape)}; "
                "give Priors(strides=...)"
            )
        if self.kind not in ("anchor", "point"):
            raise ValueError(f"priors are of kind 'anchor' or 'point', got {self.kind!r}; give Priors(kind=...)")
        if self.points.numel() == 0:
            object.__setattr__(self, "points", (self.boxes[:, :2] + self.boxes[:, 2:]) / 2)
        if not self.level_sizes:
            object.__setattr__(self, "level_sizes", (len(self.boxes),))
        if sum(self.level_sizes) != len(self.boxes):
            raise ValueError(f"level sizes {self.level_sizes} do not sum to {len(self.boxes)} priors")

    @staticmethod
    def from_points(
        points: Tensor, strides: Tensor, level_sizes: tuple[int, ...] = (), *, per_location: int = 1
    ) -> Priors:
        """Point priors from points [A, 2] px and strides [A] px; their boxes are 2s x 2s squares."""
        side = strides.unsqueeze(-1)
        boxes = torch.cat([points - side, points + side], dim=-1)
        return Priors(boxes, points, strides, level_sizes, per_location, "point")

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device | str) -> Priors:
        """The same priors on another device; a GPU is not waited for."""
        return replace(
            self,
            boxes=sent(self.boxes, device),
            points=sent(self.points, device),
            strides=sent(self.strides, device),
            valid=None if self.valid is None else sent(self.valid, device),
        )

    def take(self, keep: Tensor, level_sizes: tuple[int, ...]) -> Priors:
        """The priors at the rising places `keep` [N], of which each level has `level_sizes`; no mask any more."""
        return replace(
            self,
            boxes=self.boxes[keep],
            points=self.points[keep],
            strides=self.strides[keep],
            level_sizes=level_sizes,
            valid=None,
            padding=None,
        )

    def groups(self) -> tuple[Alike, ...]:
        """The images that `valid` masks alike. A mask that came without `padding` is looked at, and waited for."""
        if self.valid is None:
            raise ValueError("priors without a mask are those of every image")
        if self.padding is not None and self.padding.valid is self.valid:  # else somebody changed the mask since
            return self.padding.groups
        return groups_of(self.valid, self.level_sizes)

    def level_starts(self) -> tuple[int, ...]:
        """Index of the first prior of each level."""
        starts = [0]
        for size in self.level_sizes[:-1]:
            starts.append(starts[-1] + size)
        return tuple(starts)

    def levels(self) -> Tensor:
        """Level [A] of every prior, from 0 for the finest."""
        device = self.boxes.device
        return torch.cat([torch.full((n,), level, device=device) for level, n in enumerate(self.level_sizes)])


def cells(side: int, stride: int) -> int:
    """Rows or columns of a level: ceil(side / stride)."""
    return math.ceil(side / stride)


def grid_points(height: int, width: int, stride: int, offset: float = 0.5) -> Tensor:
    """Points [h*w, 2] at ((x + offset) s, (y + offset) s) of a level of ceil(side / stride) cells, rows outer."""
    rows, columns = cells(height, stride), cells(width, stride)
    y, x = torch.meshgrid(torch.arange(rows) + offset, torch.arange(columns) + offset, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2) * stride


def prior_grid(spec: PriorSpec, image_hw: tuple[int, int], strides: Sequence[int]) -> Priors:
    """The priors of an image size over levels of these strides, as a description has them."""
    return {"anchor": _anchors, "point": _points}[spec.kind](spec, image_hw, strides)


def anchor_grid(
    image_hw: tuple[int, int], strides: Sequence[int], scales: Sequence[float], ratios: Sequence[float]
) -> Priors:
    """Anchors of side scale x stride for every scale, each with every ratio w:h (scale outer, ratio inner)."""
    return _anchors(PriorSpec(scales=tuple(scales), ratios=tuple(ratios)), image_hw, strides)


def point_grid(image_hw: tuple[int, int], strides: Sequence[int], per_location: int = 1) -> Priors:
    """Points of every level, each repeated `per_location` times; their boxes are 2s x 2s squares."""
    return _points(PriorSpec(kind="point", per_location=per_location), image_hw, strides)


def _anchors(spec: PriorSpec, image_hw: tuple[int, int], strides: Sequence[int]) -> Priors:
    boxes, points, sizes = [], [], []
    for stride in strides:
        point = grid_points(*image_hw, stride, spec.offset)
        half = _half_sides(spec, stride)
        at = point[:, None, :].expand(-1, len(half), -1)
        boxes.append(torch.cat([at - half, at + half], dim=-1).reshape(-1, 4))
        points.append(at.reshape(-1, 2))
        sizes.append(len(points[-1]))
    placed = torch.cat(boxes)
    if spec.clamp:
        placed = _within(placed, image_hw)
    if spec.inclusive:
        placed = placed - placed.new_tensor([0.0, 0.0, 1.0, 1.0])
    moved = spec.clamp or spec.inclusive
    return Priors(
        boxes=placed,
        points=torch.empty(0) if moved else torch.cat(points),  # of moved boxes: their centres
        strides=_per_prior(strides, sizes),
        level_sizes=tuple(sizes),
        anchors_per_location=spec.count,
        kind="anchor",
    )


def _half_sides(spec: PriorSpec, stride: int) -> Tensor:
    """Half the sides [P, 2] px of the anchors of a location."""
    pairs = {
        "scale": [(s, r) for s in spec.scales for r in spec.ratios],
        "ratio": [(s, r) for r in spec.ratios for s in spec.scales],
    }[spec.order]
    half = {"none": _exact, "torchvision": _rounded_corners, "freeanchor": _rounded_base}[spec.rounding]
    return half(torch.tensor(pairs, dtype=torch.float64), stride)


def _exact(pairs: Tensor, stride: int) -> Tensor:
    scale, root = pairs[:, 0], pairs[:, 1].sqrt()
    return torch.stack([scale * root, scale / root], dim=-1).float() * stride / 2


def _rounded_corners(pairs: Tensor, stride: int) -> Tensor:
    """The side of the square is cut to whole px, the half sides of every ratio are rounded."""
    side, root = (pairs[:, 0] * stride).floor(), pairs[:, 1].sqrt()
    return torch.stack([side * root / 2, side / root / 2], dim=-1).round().float()


def _rounded_base(pairs: Tensor, stride: int) -> Tensor:
    """A ratio gives whole sides to a box of one stride, its height following from its rounded width; then scaled."""
    width = (stride * pairs[:, 1].sqrt()).round()
    sides = torch.stack([width, (width / pairs[:, 1]).round()], dim=-1)
    return (sides * pairs[:, :1] / 2).float()


def _within(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Boxes whose centre and sides are each held within the image; a box itself may still stick out of it."""
    limit = boxes.new_tensor([image_hw[1], image_hw[0]])
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2).minimum(limit)
    half = (boxes[:, 2:] - boxes[:, :2]).minimum(limit) / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _points(spec: PriorSpec, image_hw: tuple[int, int], strides: Sequence[int]) -> Priors:
    count = spec.per_location
    points = [grid_points(*image_hw, s, spec.offset).repeat_interleave(count, dim=0) for s in strides]
    sizes = [len(p) for p in points]
    return Priors.from_points(torch.cat(points), _per_prior(strides, sizes), tuple(sizes), per_location=count)


def _per_prior(strides: Sequence[int], sizes: Sequence[int]) -> Tensor:
    return torch.cat([torch.full((n,), float(s)) for s, n in zip(strides, sizes, strict=True)])
