"""How a network output becomes a box: relative deltas for anchors, distances to the sides for points."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from assignbench.config.method import LegacyPlusOne
from assignbench.priors import Priors


class Coder(Protocol):
    """`encode` and `decode` broadcast over leading dimensions: deltas [..., A, 4], boxes [..., A, 4] px."""

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor: ...
    def decode(self, priors: Priors, deltas: Tensor) -> Tensor: ...


# Per convention: what is added to x2 - x1 for a width, and where the centre lies from the middle of the corners.
# FreeAnchor counts its centre from x1 by the inclusive width, PAA and ATSS take the middle of the corners and decode
# with width - 1. Both return exactly what was encoded.
_CONVENTIONS: dict[LegacyPlusOne, tuple[float, float]] = {
    "none": (0.0, 0.0),
    "freeanchor": (1.0, 0.5),
    "paa": (1.0, 0.0),
}


@dataclass(frozen=True)
class DeltaCoder:
    """(dx, dy) in prior sides over `stds`, (dw, dh) as log ratios over `stds` (Faster R-CNN, SSD: .1 .1 .2 .2).

    |dw|, |dh| are clamped at `max_log_ratio` when decoding, which no converged prediction meets. `plus_one` counts
    pixels inclusively: sides are x2 - x1 + 1, and the centre is x1 + side / 2 ("freeanchor") or (x1 + x2) / 2 ("paa",
    also ATSS). In every convention decoding undoes encoding, so a perfect net returns the exact box.
    """

    stds: tuple[float, float] = (0.1, 0.2)  # of the shift and of the log ratio
    max_log_ratio: float = math.log(1000 / 16)
    plus_one: LegacyPlusOne = "none"

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor:
        """Deltas [..., A, 4] of boxes [..., A, 4], box a against prior a. Sides below 1e-3 px count as that."""
        return self.encode_pairs(priors.boxes, boxes)

    def encode_pairs(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Deltas [..., 4] of boxes [..., 4] against anchors [..., 4], pair by pair."""
        (middle, sides), (wanted, size) = self._parts(anchors), self._parts(boxes)
        return torch.cat(
            [(wanted - middle) / sides / self.stds[0], (size.clamp(min=1e-3) / sides).log() / self.stds[1]], dim=-1
        )

    def decode(self, priors: Priors, deltas: Tensor) -> Tensor:
        """Boxes [..., A, 4] of deltas [..., A, 4]; differentiable."""
        return self.decode_pairs(priors.boxes, deltas)

    def decode_pairs(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Boxes [..., 4] of deltas [..., 4] against anchors [..., 4], pair by pair; differentiable."""
        extra, offset = _CONVENTIONS[self.plus_one]
        middle, sides = self._parts(anchors)
        centre = middle + deltas[..., :2] * self.stds[0] * sides - offset
        stretch = (deltas[..., 2:] * self.stds[1]).clamp(-self.max_log_ratio, self.max_log_ratio).exp()
        half = (sides * stretch - extra) / 2
        return torch.cat([centre - half, centre + half], dim=-1)

    def _parts(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Centres and sides [..., 2] by the convention."""
        extra, offset = _CONVENTIONS[self.plus_one]
        return (boxes[..., :2] + boxes[..., 2:]) / 2 + offset, boxes[..., 2:] - boxes[..., :2] + extra


@dataclass(frozen=True)
class DistanceCoder:
    """Distances (left, top, right, bottom) from the point to the sides, in strides: exp(delta) or relu(delta).

    "exp" is FCOS (2019) and MuSu; "relu" the later FCOS and FCOS++.
    """

    activation: Literal["exp", "relu"] = "exp"
    max_log: float = math.log(1000.0)

    def encode(self, priors: Priors, boxes: Tensor) -> Tensor:
        """Deltas [..., A, 4] of boxes [..., A, 4]; distances count from 1e-3 strides on ("exp"), from 0 on ("relu")."""
        distances = torch.cat([priors.points - boxes[..., :2], boxes[..., 2:] - priors.points], dim=-1)
        return _TO_DELTAS[self.activation](distances / priors.strides[:, None])

    def decode(self, priors: Priors, deltas: Tensor) -> Tensor:
        """Boxes [..., A, 4] of deltas [..., A, 4]; differentiable. With "exp", zeros give the prior's square."""
        distances = _FROM_DELTAS[self.activation](deltas, self.max_log) * priors.strides[:, None]
        return torch.cat([priors.points - distances[..., :2], priors.points + distances[..., 2:]], dim=-1)


def _logarithms(shares: Tensor) -> Tensor:
    return shares.clamp(min=1e-3).log()


def _exponentials(deltas: Tensor, max_log: float) -> Tensor:
    return deltas.clamp(max=max_log).exp()


def _rectified(deltas: Tensor, max_log: float) -> Tensor:
    return deltas.relu()


_FROM_DELTAS: dict[str, Callable[[Tensor, float], Tensor]] = {"exp": _exponentials, "relu": _rectified}
_TO_DELTAS: dict[str, Callable[[Tensor], Tensor]] = {"exp": _logarithms, "relu": torch.relu}


def coder_for(priors: Priors) -> Coder:
    """The coder of some priors, as their `coding` has it."""
    coding = priors.coding
    coders: dict[str, Coder] = {
        "anchor": DeltaCoder(coding.stds, plus_one=coding.legacy_plus_one),
        "point": DistanceCoder(coding.distance),
    }
    return coders[priors.kind or "anchor"]
