"""MuSu: "Mutual Supervision for Dense Object Detection" (Gao et al., ICCV 2021), sections 3.1-3.3 and 4.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.assigners.criteria import CRITERIA
from assignbench.boxes import inside, paired_giou, paired_iou, pairwise_iou
from assignbench.config.method import HeadInit, Nms, Part, Preset, preset
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets
from assignbench.losses import focal_on_log_probability
from assignbench.priors import Priors
from assignbench.select import boxes_of, labels_of, segment_ranks


def joint_log_scores(predictions: Predictions) -> Tensor:
    """ln of class score times implicit objectness [B, A, C]; the class score alone without a quality logit."""
    scores = F.logsigmoid(predictions.cls_logits)
    if predictions.quality_logits is None:
        return scores
    return scores + F.logsigmoid(predictions.quality_logits).unsqueeze(-1)


@ASSIGNERS.register("musu")
@dataclass(frozen=True)
class MuSu(Assigner):
    """Adaptive bags of priors per object; ranks by the other task's accuracy become soft weights of each task.

    Invariant: a prior has at most one object, the same for both tasks; an object may have none (no prior inside). The
    weights are exp(-rank / tau), so that the best prior of every bag weighs 1 in each task. `quality` of the class
    targets is its weight: the loss of Eq. 7 needs no more.

    `owners`: "inside_first" takes the object of highest predicted IoU among those that contain the point, "literal"
    the highest over all objects, dropped if the point is outside (the paper's words). `criterion`: "mutual" (Eq. 3),
    "p" or "q" (one task's score ranks both). `tau` > 0 fixes the temperature of Eq. 6; `hard` makes weights 0 or 1.

    Differs from the paper in `owners` only; no official code could be had.

    >>> from assignbench.examples import three_anchors
    >>> MuSu()(*three_anchors()).cls.quality  # the weights of the ranks
    tensor([[0.4931, 1.0000, 0.0000]])
    """

    theta: float = 4.0
    threshold: float = 0.1  # b of Eq. (2)
    alpha: float = 1 / 3
    tau: float = 0.0
    tau_ratio: float = 2.0
    owners: Literal["inside_first", "literal"] = "inside_first"
    criterion: Literal["mutual", "p", "q"] = "mutual"
    hard: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}")

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        owner = self._owners(priors, predictions, objects)
        label = labels_of(owner, objects.labels)
        p = joint_log_scores(predictions).gather(2, label.unsqueeze(-1)).squeeze(-1).exp()
        q = paired_iou(predictions.boxes, boxes_of(owner, objects.boxes)).pow(self.theta)
        joint = (p * q).masked_fill(owner < 0, 0.0)  # Eq. (1)
        width = objects.labels.shape[1]
        best = torch.zeros_like(joint[:, :1]).expand(-1, width).contiguous()
        best.scatter_reduce_(1, owner.clamp(min=0), joint, "amax")
        in_bag = (owner >= 0) & (joint > self.threshold * best.gather(1, owner.clamp(min=0)))  # Eq. (2)
        index = torch.where(in_bag, owner, BACKGROUND)
        size = torch.zeros_like(best).scatter_add_(1, owner.clamp(min=0), in_bag.float())
        v_cls, v_reg = self._criteria(p, q)
        base = size.sqrt() if self.tau <= 0 else torch.full_like(size, self.tau)
        tau = base.gather(1, owner.clamp(min=0)).clamp(min=1e-6)
        w_cls = self._weights(segment_ranks(index, v_cls, width), tau, in_bag)
        w_reg = self._weights(segment_ranks(index, v_reg, width), tau / self.tau_ratio, in_bag)
        diagnostics = {"joint": joint, "bag_size": size, "v_cls": v_cls * in_bag, "v_reg": v_reg * in_bag}
        cls = Targets(index, torch.ones_like(w_cls), w_cls)
        return Assignment(cls, Targets(index, w_reg, w_reg), diagnostics=diagnostics)

    def _owners(self, priors: Priors, predictions: Predictions, objects: Objects) -> Tensor:
        iou = pairwise_iou(objects.boxes, predictions.boxes)
        holds = (inside(priors.points, objects.boxes) > 0) & objects.valid.unsqueeze(-1)
        if priors.valid is not None:
            holds &= priors.valid.unsqueeze(1)
        if self.owners == "inside_first":
            best, owner = iou.masked_fill(~holds, -1.0).max(dim=1)
            return torch.where(best >= 0, owner, BACKGROUND)
        owner = iou.masked_fill(~objects.valid.unsqueeze(-1), -1.0).argmax(dim=1)
        return torch.where(holds.gather(1, owner.unsqueeze(1)).squeeze(1), owner, BACKGROUND)

    def _criteria(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        if self.criterion == "p":
            return p, p
        if self.criterion == "q":
            return q, q
        return q * p.pow(self.alpha), p * q.pow(self.alpha)  # Eq. (3)

    def _weights(self, ranks: Tensor, tau: Tensor, in_bag: Tensor) -> Tensor:
        if self.hard:
            return ((ranks < tau) & in_bag).float()
        return torch.exp(-ranks / tau) * in_bag  # Eq. (4)


@CRITERIA.register("musu")
class MuSuCriterion(nn.Module):
    """Eq. 7 on the product of class score and implicit objectness, GIoU loss on the box weights (Eq. 5, Eq. 8).

    Each task is divided by the sum of its own weights over the global batch, at least 1. Keys: loss_cls, loss_box.
    """

    def __init__(self, *, alpha: float = 0.25, gamma: float = 2.0, beta: float = 4.0, box_weight: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.gamma, self.beta, self.box_weight = alpha, gamma, beta, box_weight

    def forward(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Tensor]:
        objects = objects.with_room()
        index = assignment.cls.index
        scores = _float(predictions)
        log_p = joint_log_scores(scores)
        positive, negative = focal_on_log_probability(log_p, self.alpha, self.gamma)
        label = labels_of(index, objects.labels).unsqueeze(-1)
        chosen = index >= 0
        weight = assignment.cls.quality * chosen
        own_positive = positive.gather(2, label).squeeze(-1)
        own_negative = negative.gather(2, label).squeeze(-1)
        # Background of every class, exchanged for the weighted pair on the assigned class.  Eq. (7)
        pair = weight * own_positive + (1 - weight).pow(self.beta) * own_negative - own_negative
        total = negative.sum() + (pair * chosen).sum()
        count = context.reduce(weight.sum()).clamp(min=1)
        targets = torch.where(chosen.unsqueeze(-1), boxes_of(index, objects.boxes), priors.boxes)
        element = 1 - paired_giou(scores.boxes, targets)
        w_box = assignment.box.weight * chosen
        count_box = context.reduce(w_box.sum()).clamp(min=1)
        return {"loss_cls": total / count, "loss_box": self.box_weight * (element * w_box).sum() / count_box}


def _float(p: Predictions) -> Predictions:
    quality = None if p.quality_logits is None else p.quality_logits.float()
    return Predictions(p.cls_logits.float(), p.deltas.float(), p.boxes.float(), quality, p.quality_kind)


PRESETS: tuple[Preset, ...] = (
    preset(
        "musu",
        "musu",
        "adaptive bags, ranks of each task weigh the other (MuSu)",
        criterion=Part(name="musu"),
        quality="implicit",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        head_init=HeadInit(zero_box=True),
    ),
    preset(
        "musu_p",
        Part(name="musu", parameters={"criterion": "p"}),
        "MuSu ranked by the class score alone (v = p)",
        criterion=Part(name="musu"),
        quality="implicit",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        head_init=HeadInit(zero_box=True),
    ),
    preset(
        "musu_q",
        Part(name="musu", parameters={"criterion": "q"}),
        "MuSu ranked by the IoU alone (v = q)",
        criterion=Part(name="musu"),
        quality="implicit",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        head_init=HeadInit(zero_box=True),
    ),
    preset(
        "musu_hard",
        Part(name="musu", parameters={"hard": True}),
        "MuSu with hard targets",
        criterion=Part(name="musu"),
        quality="implicit",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        head_init=HeadInit(zero_box=True),
    ),
)
