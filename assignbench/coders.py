"""How a network output becomes a box: relative deltas for anchors, distances to the sides for points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from assignbench.priors import Kind, Priors


class Coder(Protocol):
    """`encode` and `decode` broadcast over leading dimensions: deltas [..., A, 4], boxes [..., A, 4] px."""

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor: ...
    def decode(self, priors: Priors, deltas: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class DeltaCoder:
    """(dx, dy) in prior sides over `stds`, (dw, dh) as log ratios over `stds` (Faster R-CNN, SSD: .1 .1 .2 .2).

    |dw|, |dh| are clamped at `max_log_ratio` when decoding, which no converged prediction meets.
    """

    stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    max_log_ratio: float = math.log(1000 / 16)

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor:
        """Deltas [..., A, 4] of boxes [..., A, 4], box a against prior a. Sides below 1e-3 px count as that."""
        sides = priors.boxes[:, 2:] - priors.boxes[:, :2]
        middle = (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2
        shift = ((boxes[..., :2] + boxes[..., 2:]) / 2 - middle) / sides
        stretch = ((boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3) / sides).log()
        return torch.cat([shift, stretch], dim=-1) / boxes.new_tensor(self.stds)

    def decode(self, priors: Priors, deltas: Tensor) -> Tensor:
        """Boxes [..., A, 4] of deltas [..., A, 4]; differentiable."""
        sides = priors.boxes[:, 2:] - priors.boxes[:, :2]
        middle = (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2
        scaled = deltas * deltas.new_tensor(self.stds)
        centre = middle + scaled[..., :2] * sides
        half = sides * scaled[..., 2:].clamp(-self.max_log_ratio, self.max_log_ratio).exp() / 2
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


def coder_for(kind: Kind) -> Coder:
    """The usual coder of a kind of prior."""
    return DeltaCoder() if kind == "anchor" else DistanceCoder()
