"""How a network output becomes a box: relative deltas for anchors, distances to the sides for points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from assignbench.priors import Priors


class Coder(Protocol):
    """`encode` and `decode` broadcast over leading dimensions: deltas [..., A, 4], boxes [..., A, 4] px."""

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor: ...
    def decode(self, priors: Priors, deltas: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class DeltaCoder:
    """(dx, dy) in prior sides over `stds`, (dw, dh) as log ratios over `stds` (Faster R-CNN, SSD: .1 .1 .2 .2).

    |dw|, |dh| are clamped at `max_log_ratio` when decoding, which no converged prediction meets.
    """

    stds: tuple[float, float] = (0.1, 0.2)  # of the shift and of the log ratio
    max_log_ratio: float = math.log(1000 / 16)

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor:
        """Deltas [..., A, 4] of boxes [..., A, 4], box a against prior a. Sides below 1e-3 px count as that."""
        return self.encode_pairs(priors.boxes, boxes)

    def encode_pairs(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Deltas [..., 4] of boxes [..., 4] against anchors [..., 4], pair by pair."""
        sides = anchors[..., 2:] - anchors[..., :2]
        shift = ((boxes[..., :2] + boxes[..., 2:]) - (anchors[..., :2] + anchors[..., 2:])) / 2 / sides
        stretch = ((boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3) / sides).log()
        return torch.cat([shift / self.stds[0], stretch / self.stds[1]], dim=-1)

    def decode(self, priors: Priors, deltas: Tensor) -> Tensor:
        """Boxes [..., A, 4] of deltas [..., A, 4]; differentiable."""
        sides = priors.boxes[:, 2:] - priors.boxes[:, :2]
        middle = (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2
        centre = middle + deltas[..., :2] * self.stds[0] * sides
        half = sides * (deltas[..., 2:] * self.stds[1]).clamp(-self.max_log_ratio, self.max_log_ratio).exp() / 2
        return torch.cat([centre - half, centre + half], dim=-1)


@dataclass(frozen=True)
class DistanceCoder:
    """Distances (left, top, right, bottom) from the point to the sides: exp(delta) x stride (FCOS, MuSu)."""

    max_log: float = math.log(1000.0)

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor:
        """Deltas [..., A, 4] of boxes [..., A, 4]; distances below 1e-3 strides count as that."""
        distances = torch.cat([priors.points - boxes[..., :2], boxes[..., 2:] - priors.points], dim=-1)
        return (distances / priors.strides[:, None]).clamp(min=1e-3).log()

    def decode(self, priors: Priors, deltas: Tensor) -> Tensor:
        """Boxes [..., A, 4] of deltas [..., A, 4]; differentiable. Zero deltas give the prior's 2s x 2s square."""
        distances = deltas.clamp(max=self.max_log).exp() * priors.strides[:, None]
        return torch.cat([priors.points - distances[..., :2], priors.points + distances[..., 2:]], dim=-1)


def coder_for(priors: Priors) -> Coder:
    """The coder of some priors."""
    coding = priors.coding
    return DeltaCoder(coding.stds) if priors.kind == "anchor" else DistanceCoder()
