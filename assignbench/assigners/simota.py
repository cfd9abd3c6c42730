"""SimOTA (YOLOX, Ge et al. 2021, section 2.1) and RTMDet's relative: as many priors per object as IoUs add up to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner, Count, NonNegative, Positive
from assignbench.boxes import centres, inside
from assignbench.config.method import HeadInit, Nms, Part, Preset, preset
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import boxes_of, first_true, matched_iou, object_blocks, predicted_iou, top_indices, top_mask

Measured = tuple[Tensor, Tensor, Tensor]  # IoU, cost and whether it is a candidate, each [B, g, A]


def dynamic_k(objects: Objects, num_priors: int, topk: int, measure: Callable[[Objects], Measured]) -> Tensor:
    """The index [B, A] after each object took its k cheapest candidates; k = sum of its `topk` best IoUs, at least 1.

    A prior that several objects took goes to the object for which it is cheapest, of *all* objects: also to one that
    did not take it (mmdet and YOLOX). The others are not refilled. `measure` is asked slice by slice of the objects.
    """
    batch, device = objects.labels.shape[0], objects.boxes.device
    least = torch.full((batch, num_priors), float("inf"), device=device)
    taker, cheapest = (torch.full((batch, num_priors), BACKGROUND, device=device) for _ in range(2))
    takers = torch.zeros(batch, num_priors, dtype=torch.long, device=device)
    for start, part in object_blocks(objects, num_priors):
        iou, cost, candidate = measure(part)
        iou = iou.masked_fill(~candidate, 0.0)
        wanted = iou.gather(2, top_indices(iou, topk)).sum(-1).long().clamp(min=1).minimum(candidate.sum(-1))
        cost = cost.masked_fill(~candidate, float("inf"))
        chosen = top_mask(-cost, wanted) & candidate
        row, some = first_true(chosen)
        taker = torch.where((taker < 0) & some, row + start, taker)
        takers = takers + chosen.sum(dim=1)
        low, row = cost.min(dim=1)
        cheapest = torch.where(low < least, row + start, cheapest)  # strictly: the lower index stays on ties
        least = least.minimum(low)
    return torch.where(takers > 1, cheapest, taker)


def _matched(priors: Priors, predictions: Predictions, objects: Objects, index: Tensor) -> Assignment:
    """The assignment whose class targets are the IoUs with the matched objects."""
    iou = matched_iou(priors, predictions.boxes, boxes_of(index, objects.boxes)).masked_fill(index < 0, 0.0)
    targets = Targets(index, torch.ones_like(iou), iou)
    return Assignment(targets, targets, prior_diagnostics={"matched_iou": iou})


def _any_object(objects: Objects, num_priors: int, holds: Callable[[Objects], Tensor]) -> Tensor:
    """Whether any valid object holds a prior [B, 1, A]."""
    found = [(holds(part) & part.valid.unsqueeze(-1)).any(dim=1) for _, part in object_blocks(objects, num_priors)]
    return torch.stack(found).any(dim=0).unsqueeze(1)


@ASSIGNERS.register("simota")
@dataclass(frozen=True)
class SimOTA(Assigner):
    """Cost = class cross-entropy of sqrt(class x objectness) + `iou_weight` x -ln IoU, lowest first.

    Invariant: a prior has at most one object; an object may have none (a lost conflict is not refilled). Candidates
    lie in any object or within `radius` strides of any object's centre; those not in both of their object cost
    `outside` more. A candidate that several objects take goes to the cheapest of all objects. The class targets'
    `quality` is the IoU. `center_only` asks for the centre test alone. `zero_overlap`: an object without any candidate
    of its own gets nothing ("skip") or the least bad candidate of others ("force", the frameworks).

    Differs from mmdet and YOLOX in the default of `zero_overlap`. The other defaults are mmdet's, which are an older
    YOLOX's; the current YOLOX has radius 1.5, `center_only` and `outside` 1e6.

    >>> from assignbench.examples import three_anchors
    >>> SimOTA()(*three_anchors()).cls.index
    tensor([[-1,  0, -1]])
    """

    radius: Positive = 2.5
    topk: Count = 10
    iou_weight: NonNegative = 3.0
    cls_weight: NonNegative = 1.0
    outside: NonNegative = 1e5
    center_only: bool = False
    zero_overlap: Literal["skip", "force"] = "skip"

    @property
    def gives(self) -> frozenset[str]:
        """The class targets are IoUs."""
        return frozenset({"soft"})

    def adopted_quality(self, priors: Priors, predictions: Predictions, objects: Objects, index: Tensor) -> Tensor:
        """The IoU of the prediction, as of every positive."""
        return matched_iou(priors, predictions.boxes, boxes_of(index, objects.boxes))

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        def reachable(part: Objects) -> Tensor:
            near, holds = self._tests(priors, part)
            return near | holds

        scores = predictions.cls_logits.sigmoid()
        if predictions.quality_logits is not None:
            scores = (scores * predictions.quality_logits.sigmoid().unsqueeze(-1)).sqrt()
        anybody, absent = _any_object(objects, len(priors), reachable), binary_absence(scores)

        def measure(part: Objects) -> Measured:
            near, holds = self._tests(priors, part)
            iou = predicted_iou(priors, predictions, part)
            cost = binary_cost(scores, part.labels, absent).mul_(self.cls_weight)
            cost.sub_((iou + 1e-7).log_().mul_(self.iou_weight)).add_(~(near & holds), alpha=self.outside)
            candidate = anybody & part.valid.unsqueeze(-1)
            if self.zero_overlap == "skip":
                candidate = candidate & (near | holds).any(dim=2, keepdim=True)
            return iou, cost, candidate

        index = dynamic_k(objects, len(priors), self.topk, measure)
        return _matched(priors, predictions, objects, index)

    def _tests(self, priors: Priors, objects: Objects) -> tuple[Tensor, Tensor]:
        """Which priors lie near the centres and in the boxes, each [B, G, A]."""
        near = _in_centre(priors, objects.boxes, self.radius)
        return near, near if self.center_only else inside(priors.points, objects.boxes) > 0


def _in_centre(priors: Priors, boxes: Tensor, radius: float) -> Tensor:
    """Strictly within `radius` strides of the box centre [B, G, A], the box itself not asked."""
    middle = centres(boxes)
    reach = radius * priors.strides
    dx = (priors.points[:, 0] - middle[..., :1]).abs()
    dy = (priors.points[:, 1] - middle[..., 1:]).abs()
    return (dx < reach) & (dy < reach)


def binary_absence(scores: Tensor) -> Tensor:
    """Binary cross-entropy [B, 1, A] of scores [B, A, C] against no class at all."""
    return -torch.log1p(-scores).clamp(min=-100).sum(-1).unsqueeze(1)


def binary_cost(scores: Tensor, labels: Tensor, absent: Tensor) -> Tensor:
    """Binary cross-entropy [B, G, A] of scores [B, A, C] against one-hot labels [B, G], summed over classes.

    `absent` is `binary_absence(scores)`, taken once per prior; only the object's own class is exchanged. Logarithms are
    floored at -100, as torch's loss does.
    """
    own = scores.transpose(1, 2).gather(1, labels.unsqueeze(-1).expand(-1, -1, scores.shape[1]))
    exchange = torch.log1p(-own).clamp(min=-100) - own.log().clamp(min=-100)
    return exchange.add_(absent)


@ASSIGNERS.register("dynamic_soft_label")
@dataclass(frozen=True)
class DynamicSoftLabel(Assigner):
    """RTMDet (Lyu et al. 2022, section 3.3): the class cost is against the IoU as a soft label; a soft centre prior.

    Invariant: a prior has at most one object; an object may have none. Candidates have their centre inside any object;
    cost = |y IoU - p|^2-weighted cross-entropy + `iou_weight` x -ln IoU + 10^(distance in strides - `radius`).
    `zero_overlap` as in SimOTA: an object around no point gets nothing, or the least bad candidate of others.

    Differs from mmdet in the default of `zero_overlap`.

    >>> from assignbench.examples import three_anchors
    >>> DynamicSoftLabel()(*three_anchors()).cls.index
    tensor([[-1,  0, -1]])
    """

    topk: Count = 13
    radius: Positive = 3.0
    iou_weight: NonNegative = 3.0
    zero_overlap: Literal["skip", "force"] = "skip"

    @property
    def gives(self) -> frozenset[str]:
        """The class targets are IoUs."""
        return frozenset({"soft"})

    def adopted_quality(self, priors: Priors, predictions: Predictions, objects: Objects, index: Tensor) -> Tensor:
        """The IoU of the prediction, as of every positive."""
        return matched_iou(priors, predictions.boxes, boxes_of(index, objects.boxes))

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        def holds(part: Objects) -> Tensor:
            return inside(priors.points, part.boxes) > 0

        anybody, absent = _any_object(objects, len(priors), holds), soft_absence(predictions.cls_logits)

        def measure(part: Objects) -> Measured:
            iou = predicted_iou(priors, predictions, part)
            cost = soft_class_cost(predictions.cls_logits, part.labels, iou, absent)
            cost.sub_((iou + 1e-7).log_().mul_(self.iou_weight)).add_(self._centre_cost(priors, part))
            candidate = anybody & part.valid.unsqueeze(-1)
            if self.zero_overlap == "skip":
                candidate = candidate & holds(part).any(dim=2, keepdim=True)
            return iou, cost, candidate

        index = dynamic_k(objects, len(priors), self.topk, measure)
        return _matched(priors, predictions, objects, index)

    def _centre_cost(self, priors: Priors, objects: Objects) -> Tensor:
        """10^(distance in strides - `radius`) [B, G, A]; in place, as there are many pairs."""
        middle = centres(objects.boxes)
        distance = (priors.points[:, 0] - middle[..., :1]).square_()
        distance.add_((priors.points[:, 1] - middle[..., 1:]).square_())
        return distance.sqrt_().div_(priors.strides).sub_(self.radius).mul_(math.log(10.0)).exp_()


def soft_absence(logits: Tensor) -> Tensor:
    """Quality focal cost [B, 1, A] of logits [B, A, C] against no class at all."""
    return (F.softplus(logits) * logits.sigmoid().square()).sum(-1).unsqueeze(1)


def soft_class_cost(logits: Tensor, labels: Tensor, iou: Tensor, absent: Tensor) -> Tensor:
    """Quality focal cost [B, G, A] of logits [B, A, C] against IoU-soft labels, summed over classes.

    `absent` is `soft_absence(logits)`, taken once per prior.
    """
    own = logits.transpose(1, 2).gather(1, labels.unsqueeze(-1).expand(-1, -1, logits.shape[1]))
    p = own.sigmoid()
    entropy = F.softplus(own)
    cost = absent - entropy * p.square()
    return cost.add_(entropy.sub_(own.mul_(iou)).mul_(p.sub_(iou).square_()))


_YOLOX: dict[str, Any] = {
    # Classes are learned by positives alone, objectness by all priors that are not ignored.
    "criterion": Part(
        name="dense", parameters={"cls": "bce", "cls_over": "positives", "box": "iou_square", "box_weight": 5.0}
    ),
    "quality": "objectness",
    "ranking": "cls*quality",
    "nms": Nms(iou=0.65),
    "head_init": HeadInit(prior_prob=0.01, quality_prob=0.01),
}
_RTMDET: dict[str, Any] = {
    "criterion": Part(
        name="dense", parameters={"cls": "quality_focal", "box": "giou", "box_weight": 2.0, "weighting": "quality"}
    ),
    "nms": Nms(iou=0.65),
}

PRESETS: tuple[Preset, ...] = (
    preset(
        "simota",
        "simota",
        "dynamic-k matching by cost, objectness head (SimOTA)",
        baseline="simota_iou",
        source="framework",
        **_YOLOX,
    ),
    preset(
        "simota_iou",
        "max_iou",
        "SimOTA's baseline: static IoU matching with its losses, head and NMS",
        source="ours",
        **_YOLOX,
    ),
    preset(
        "dynamic_soft_label",
        "dynamic_soft_label",
        "dynamic-k matching with soft class cost (RTMDet)",
        baseline="dynamic_soft_label_iou",
        source="framework",
        **_RTMDET,
    ),
    preset(
        "dynamic_soft_label_iou",
        "max_iou",
        "RTMDet's baseline: static IoU matching with its losses and NMS",
        source="ours",
        **_RTMDET,
    ),
)
