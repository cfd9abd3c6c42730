"""SimOTA (YOLOX, Ge et al. 2021, section 2.1) and RTMDet's relative: as many priors per object as IoUs add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.boxes import centres, inside, pairwise_iou
from assignbench.config.method import Nms, Part, Preset, preset
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import resolve_conflicts_dense, top_indices, top_mask


def dynamic_k(iou: Tensor, cost: Tensor, candidate: Tensor, topk: int) -> Tensor:
    """The index [B, A] after each object took its k cheapest candidates; k = sum of its `topk` best IoUs, at least 1.

    A prior that several objects took goes to the cheaper one, and the loser is not refilled.
    """
    iou = iou.masked_fill(~candidate, 0.0)
    best = iou.gather(2, top_indices(iou, topk))
    wanted = best.sum(-1).long().clamp(min=1).minimum(candidate.sum(-1))
    chosen = top_mask(-cost.masked_fill(~candidate, float("inf")), wanted) & candidate
    return resolve_conflicts_dense(chosen, -cost)


def _matched(iou: Tensor, index: Tensor) -> Tensor:
    """IoU [B, A] with the matched object, 0 without one."""
    value = iou.gather(1, index.clamp(min=0).unsqueeze(1)).squeeze(1)
    return value.masked_fill(index < 0, 0.0)


@ASSIGNERS.register("simota")
@dataclass(frozen=True)
class SimOTA(Assigner):
    """Cost = class cross-entropy of sqrt(class x objectness) + `iou_weight` x -ln IoU, lowest first.

    Invariant: a prior has at most one object; an object may have none (a lost conflict is not refilled). Candidates
    lie in any object or within `radius` strides of any object's centre; those not in both of their object cost
    `outside` more. The class targets' `quality` is the IoU. Defaults are mmdet's (an older YOLOX); current YOLOX has
    radius 1.5, only the centre test and 1e6 (`center_only`). `zero_overlap`: an object without any candidate of its own
    gets nothing ("skip") or the least bad candidate of others ("force", the frameworks).

    Differs from mmdet and YOLOX in the default of `zero_overlap`.

    >>> from assignbench.examples import three_anchors
    >>> SimOTA()(*three_anchors()).cls.index
    tensor([[-1,  0, -1]])
    """

    radius: float = 2.5
    topk: int = 10
    iou_weight: float = 3.0
    cls_weight: float = 1.0
    outside: float = 1e5
    center_only: bool = False
    zero_overlap: Literal["skip", "force"] = "skip"

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        valid = objects.valid.unsqueeze(-1)
        near = _in_centre(priors, objects.boxes, self.radius) & valid
        holds = near if self.center_only else (inside(priors.points, objects.boxes) > 0) & valid
        candidate = (near | holds).any(dim=1, keepdim=True) & valid
        if self.zero_overlap == "skip":
            candidate = candidate & (near | holds).any(dim=2, keepdim=True)
        scores = predictions.cls_logits.sigmoid()
        if predictions.quality_logits is not None:
            scores = (scores * predictions.quality_logits.sigmoid().unsqueeze(-1)).sqrt()
        iou = pairwise_iou(objects.boxes, predictions.boxes)
        cost = self.cls_weight * binary_cost(scores, objects.labels)
        cost = cost - self.iou_weight * (iou + 1e-7).log() + self.outside * (~(near & holds))
        index = dynamic_k(iou, cost, candidate, self.topk)
        matched = _matched(iou, index)
        targets = Targets(index, torch.ones_like(matched), matched)
        return Assignment(targets, targets, diagnostics={"matched_iou": matched})


def _in_centre(priors: Priors, boxes: Tensor, radius: float) -> Tensor:
    """Strictly within `radius` strides of the box centre [B, G, A], the box itself not asked."""
    middle = centres(boxes)
    reach = radius * priors.strides
    dx = (priors.points[:, 0] - middle[..., :1]).abs()
    dy = (priors.points[:, 1] - middle[..., 1:]).abs()
    return (dx < reach) & (dy < reach)


def binary_cost(scores: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy [B, G, A] of scores [B, A, C] against one-hot labels [B, G], summed over classes.

    The sum over classes is taken once per prior; only the object's own class is exchanged. Logarithms are floored at
    -100, as torch's loss does.
    """
    log_no = torch.log1p(-scores).clamp(min=-100)
    own = scores.transpose(1, 2).gather(1, labels.unsqueeze(-1).expand(-1, -1, scores.shape[1]))
    exchange = torch.log1p(-own).clamp(min=-100) - own.log().clamp(min=-100)
    return exchange - log_no.sum(-1).unsqueeze(1)


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

    topk: int = 13
    radius: float = 3.0
    iou_weight: float = 3.0
    zero_overlap: Literal["skip", "force"] = "skip"

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        valid = objects.valid.unsqueeze(-1)
        holds = (inside(priors.points, objects.boxes) > 0) & valid
        candidate = holds.any(dim=1, keepdim=True) & valid
        if self.zero_overlap == "skip":
            candidate = candidate & holds.any(dim=2, keepdim=True)
        iou = pairwise_iou(objects.boxes, predictions.boxes)
        cost = soft_class_cost(predictions.cls_logits, objects.labels, iou)
        cost.sub_((iou + 1e-7).log_().mul_(self.iou_weight)).add_(self._centre_cost(priors, objects))
        index = dynamic_k(iou, cost, candidate, self.topk)
        matched = _matched(iou, index)
        targets = Targets(index, torch.ones_like(matched), matched)
        return Assignment(targets, targets, diagnostics={"matched_iou": matched})

    def _centre_cost(self, priors: Priors, objects: Objects) -> Tensor:
        """10^(distance in strides - `radius`) [B, G, A]; in place, as there are many pairs."""
        middle = centres(objects.boxes)
        distance = (priors.points[:, 0] - middle[..., :1]).square_()
        distance.add_((priors.points[:, 1] - middle[..., 1:]).square_())
        return distance.sqrt_().div_(priors.strides).sub_(self.radius).mul_(math.log(10.0)).exp_()


def soft_class_cost(logits: Tensor, labels: Tensor, iou: Tensor) -> Tensor:
    """Quality focal cost [B, G, A] of logits [B, A, C] against IoU-soft labels, summed over classes."""
    absent = (F.softplus(logits) * logits.sigmoid().square()).sum(-1).unsqueeze(1)
    own = logits.transpose(1, 2).gather(1, labels.unsqueeze(-1).expand(-1, -1, logits.shape[1]))
    p = own.sigmoid()
    entropy = F.softplus(own)
    cost = absent - entropy * p.square()
    return cost.add_(entropy.sub_(own.mul_(iou)).mul_(p.sub_(iou).square_()))


PRESETS: tuple[Preset, ...] = (
    preset(
        "simota",
        "simota",
        "dynamic-k matching by cost (SimOTA)",
        criterion=Part(name="dense", parameters={"cls": "bce", "box": "iou_square", "box_weight": 5.0}),
        quality="objectness",
        ranking="cls*quality",
        nms=Nms(iou=0.65),
    ),
    preset(
        "dynamic_soft_label",
        "dynamic_soft_label",
        "dynamic-k matching with soft class cost (RTMDet)",
        criterion=Part(
            name="dense", parameters={"cls": "quality_focal", "box": "giou", "box_weight": 2.0, "weighting": "quality"}
        ),
        nms=Nms(iou=0.65),
    ),
)
