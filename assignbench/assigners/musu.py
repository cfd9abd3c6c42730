"""MuSu: "Mutual Supervision for Dense Object Detection" (Gao et al., ICCV 2021), sections 3.1-3.3 and 4.1.

Equations: 1, 2, 3, 4, 5, 6, 7, 8
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from pydantic import JsonValue
from torch import Tensor
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner, NonNegative, Positive, Share
from assignbench.assigners.criteria import CRITERIA, Criterion
from assignbench.boxes import inside, paired_giou
from assignbench.config.method import CoderConfig, HeadInit, Needs, Nms, Part, Preset, Source, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets, Term
from assignbench.losses import focal_on_log_probability
from assignbench.priors import Priors
from assignbench.select import boxes_of, labels_of, matched_iou, predicted_iou, segment_ranks


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
    "p" or "q" (one task's score ranks both). `tau` > 0 fixes the temperature of Eq. 6 for classification; the box's is
    `tau_ratio` times smaller. `hard` makes weights 0 or 1.

    Diagnostics per object: `bag_size`, `bag_threshold` (t of Eq. 2). Per image: `weight_cls`, `weight_box`, the sums of
    the weights (N of each task). Per prior: `owner` (before the bag is cut), `joint` (P of Eq. 1), `v_cls`, `v_reg`,
    `rank_cls`, `rank_reg` (-1 outside the bags).

    Differs from the paper in `owners` only; no official code could be had. Left open there: ties (the lowest index),
    points on an edge (outside), objects without a prior (they get none).

    >>> from assignbench.examples import three_anchors
    >>> MuSu()(*three_anchors()).cls.quality  # the weights of the ranks
    tensor([[0.4931, 1.0000, 0.0000]])
    """

    theta: Positive = 4.0
    threshold: Annotated[float, Ge(0), Lt(1)] = 0.1  # b of Eq. 2
    alpha: Share = 1 / 3
    tau: NonNegative = 0.0
    tau_ratio: Positive = 2.0
    owners: Literal["inside_first", "literal"] = "inside_first"
    criterion: Literal["mutual", "p", "q"] = "mutual"
    hard: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {self.alpha}")

    @property
    def needs(self) -> Needs:
        """Points: a prior counts where it lies inside an object. The score may have an implicit objectness."""
        return Needs(
            priors=("point",), quality=(None, "implicit"), why="MuSu's bags are points, scored by implicit objectness"
        )

    @property
    def gives(self) -> frozenset[str]:
        """Class targets between 0 and 1: the weights."""
        return frozenset({"soft"})

    @property
    def idle(self) -> dict[str, str]:
        if self.criterion == "mutual":
            return {}
        return {"alpha": f"criterion '{self.criterion}' does not mix; set criterion: mutual"}

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        owner = self._owners(priors, predictions, objects)
        held = owner.clamp(min=0)
        label = labels_of(owner, objects.labels)
        p = joint_log_scores(predictions).gather(2, label.unsqueeze(-1)).squeeze(-1).exp()
        q = matched_iou(priors, predictions.boxes, boxes_of(owner, objects.boxes)).pow(self.theta)
        joint = (p * q).masked_fill(owner < 0, 0.0)  # Eq. (1)
        width = objects.labels.shape[1]
        best = torch.zeros_like(joint[:, :1]).expand(-1, width).contiguous()
        bar = self.threshold * best.scatter_reduce_(1, held, joint, "amax")  # Eq. (2)
        in_bag = (owner >= 0) & (joint > bar.gather(1, held))
        index = torch.where(in_bag, owner, BACKGROUND)
        size = torch.zeros_like(best).scatter_add_(1, held, in_bag.float())
        v_cls, v_reg = self._criteria(p, q)
        tau = self._temperatures(size).gather(1, held).clamp(min=1e-6)
        rank_cls, rank_reg = segment_ranks(index, v_cls, width), segment_ranks(index, v_reg, width)
        w_cls, w_reg = self._weights(rank_cls, tau, in_bag), self._weights(rank_reg, tau / self.tau_ratio, in_bag)
        of_priors = {"owner": owner, "joint": joint, "v_cls": v_cls * in_bag, "v_reg": v_reg * in_bag}
        of_priors |= {"rank_cls": rank_cls.masked_fill(~in_bag, -1), "rank_reg": rank_reg.masked_fill(~in_bag, -1)}
        told = {"bag_size": size, "bag_threshold": bar}
        told |= {"weight_cls": w_cls.sum(1), "weight_box": w_reg.sum(1)}
        cls = Targets(index, torch.ones_like(w_cls), w_cls)
        return Assignment(cls, Targets(index, w_reg, w_reg), diagnostics=told, prior_diagnostics=of_priors)

    def _owners(self, priors: Priors, predictions: Predictions, objects: Objects) -> Tensor:
        iou = predicted_iou(priors, predictions, objects)
        holds = (inside(priors.points, objects.boxes) > 0) & objects.valid.unsqueeze(-1)
        if self.owners == "inside_first":
            best, owner = iou.masked_fill(~holds, -1.0).max(dim=1)
            return torch.where(best >= 0, owner, BACKGROUND)
        owner = iou.masked_fill(~objects.valid.unsqueeze(-1), -1.0).argmax(dim=1)
        return torch.where(holds.gather(1, owner.unsqueeze(1)).squeeze(1), owner, BACKGROUND)

    def _criteria(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        mutual = q * p.pow(self.alpha), p * q.pow(self.alpha)  # Eq. (3)
        return {"mutual": mutual, "p": (p, p), "q": (q, q)}[self.criterion]

    def _temperatures(self, size: Tensor) -> Tensor:
        """Temperature [B, G] of the class weights of bags of these sizes."""
        return size.sqrt() if self.tau <= 0 else torch.full_like(size, self.tau)  # Eq. (6)

    def _weights(self, ranks: Tensor, tau: Tensor, in_bag: Tensor) -> Tensor:
        if self.hard:
            return ((ranks < tau) & in_bag).float()
        return torch.exp(-ranks / tau) * in_bag  # Eq. (4)


@CRITERIA.register("musu")
class MuSuCriterion(Criterion):
    """Eq. 7 on the product of class score and implicit objectness, GIoU loss with the box weights, both as in Eq. 5.

    Each task is divided by the sum of its own weights over the global batch, at least 1. With a rule of hard labels
    (FCOS) Eq. 7 is the focal loss, and the weights are 1. Keys: loss_cls, loss_box.
    """

    def __init__(
        self,
        *,
        focal_alpha: Share = 0.25,
        focal_gamma: NonNegative = 2.0,
        beta: NonNegative = 4.0,
        box_weight: NonNegative = 1.0,
    ) -> None:
        super().__init__()
        self.focal_alpha, self.focal_gamma = focal_alpha, focal_gamma
        self.beta, self.box_weight = beta, box_weight

    @property
    def needs(self) -> Needs:
        """Of quality heads only the implicit one, which learns by its product with the class score."""
        return Needs(quality=(None, "implicit"), why="MuSu's loss teaches implicit objectness; set quality: implicit")

    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        index = assignment.cls.index
        positive, negative = focal_on_log_probability(joint_log_scores(predictions), self.focal_alpha, self.focal_gamma)
        label = labels_of(index, objects.labels).unsqueeze(-1)
        chosen, images = index >= 0, len(index)
        weight = assignment.cls.quality * chosen
        own_positive = positive.gather(2, label).squeeze(-1)
        own_negative = negative.gather(2, label).squeeze(-1)
        # Background of every class, exchanged for the weighted pair on the assigned class.
        pair = weight * own_positive + (1 - weight).pow(self.beta) * own_negative - own_negative  # Eq. (7)
        taught = (assignment.cls.index != IGNORE).unsqueeze(-1)
        background = (negative * taught).sum()
        targets = torch.where(chosen.unsqueeze(-1), boxes_of(index, objects.boxes), priors.boxes)
        element = 1 - paired_giou(predictions.boxes, targets)
        w_box = assignment.box.weight * chosen
        return {  # Eqs. (5), (8)
            "loss_cls": Term(background + (pair * chosen).sum(), weight.sum(), images),
            "loss_box": Term(self.box_weight * (element * w_box).sum(), w_box.sum(), images),
        }


def _preset(
    name: str,
    rule: Part,
    about: str,
    *,
    baseline: str = "",
    source: Source = "printed",
    flat: bool = True,
    coder: CoderConfig | None = None,
) -> Preset:
    """A preset with the paper's head, losses and NMS; `flat` zeroes the box layer, so that boxes start as 2s x 2s."""
    return preset(
        name,
        rule,
        about,
        baseline=baseline,
        source=source,
        criterion=Part(name="musu"),
        quality="implicit",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        head_init=HeadInit(zero_box=flat),
        coder=coder or CoderConfig(),
    )


def _musu(name: str, about: str, **parameters: JsonValue) -> Preset:
    return _preset(name, Part(name="musu", parameters=parameters), about, baseline="fcos_plus_plus")


CENTRAL = Part(name="fcos", parameters={"center_radius": 1.5})

PRESETS: tuple[Preset, ...] = (
    _musu("musu", "adaptive bags, ranks of each task weigh the other (MuSu)"),
    _musu("musu_literal", "MuSu with owners by the paper's words: an IoU with any object counts", owners="literal"),
    _musu("musu_p", "MuSu ranked by the class score alone (v = p)", criterion="p"),
    _musu("musu_q", "MuSu ranked by the IoU alone (v = q)", criterion="q"),
    _musu("musu_hard", "MuSu with hard targets", hard=True),
    _preset("fcos_plus_plus", CENTRAL, "FCOS with centre sampling, MuSu's head and losses: MuSu's baseline"),
    _preset(
        "fcos_plus_plus_relu",
        CENTRAL,
        "the same with distances as relu times stride, as the improved FCOS decodes them. No baseline: it is one",
        source="framework",
        flat=False,
        coder=CoderConfig(distance="relu"),
    ),
    _preset("fcos_musu", Part(name="fcos"), "plain FCOS with MuSu's head and losses. No baseline: it is one"),
)
