"""Task-aligned assignment (TOOD, Feng et al., ICCV 2021, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assignbench.assigners.atss import ATSS
from assignbench.assigners.base import ASSIGNERS, Assigner, Count, NonNegative, Positive, Share
from assignbench.assigners.criteria import CRITERIA, Criterion, DenseCriterion
from assignbench.config.method import Needs, Nms, Part, Preset, preset
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets, Term
from assignbench.priors import Priors
from assignbench.select import (
    boxes_of,
    joined_over_objects,
    labels_of,
    matched_iou,
    predicted_iou,
    resolve_conflicts,
    top_indices,
)


def power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent, a new tensor; whole exponents by multiplication, which is several times faster."""
    whole = int(exponent)
    if whole != exponent or not 1 <= whole <= 16:
        return x.pow(exponent)
    result = x.clone()
    highest = 1
    while 2 * highest <= whole:
        highest *= 2
    while highest > 1:  # the binary digits below the first one
        highest //= 2
        result.mul_(result)
        if whole & highest:
            result.mul_(x)
    return result


@ASSIGNERS.register("tal")
@dataclass(frozen=True)
class TAL(Assigner):
    """The `topk` priors of highest t = s^`alpha` x IoU^`beta` over all levels, centre inside, t above zero.

    Invariant: a prior has at most one object (the one with the higher IoU); an object may have none, as the inside
    test comes after the choice. The soft target is t scaled so that an object's best one gets its best IoU. During the
    first `static` share of training, ATSS assigns (four epochs of twelve in the paper's schedule), and the assignment's
    stage is "static", later "aligned".

    Differs from the released code in `static`, which is a share of any schedule here and four epochs there.

    >>> from assignbench.examples import three_anchors
    >>> TAL()(*three_anchors()).cls.quality  # soft targets
    tensor([[0.2884, 0.9000, 0.0000]])
    """

    topk: Count = 13
    alpha: NonNegative = 1.0
    beta: Positive = 6.0
    margin: NonNegative = 0.01
    static: Share = 1 / 3

    @property
    def gives(self) -> frozenset[str]:
        """The class targets are normalised alignments."""
        return frozenset({"soft"})

    def adopted_quality(self, priors: Priors, predictions: Predictions, objects: Objects, index: Tensor) -> Tensor:
        """The IoU, which an object's only positive gets by the rule, too."""
        return matched_iou(priors, predictions.boxes, boxes_of(index, objects.boxes))

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        if context.progress < self.static:
            found = ATSS().assign(priors, predictions, objects, context)
            return replace(found, prior_diagnostics={"metric": found.cls.quality}, stage="static")
        prior, value, overlap = joined_over_objects(
            objects, len(priors), lambda part: self._best(priors, predictions, part)
        )
        points = priors.points[prior]
        corner = objects.boxes.unsqueeze(2)
        holds = ((points - corner[..., :2] > self.margin) & (corner[..., 2:] - points > self.margin)).all(-1)
        index = resolve_conflicts(prior, (value > 0) & holds, overlap, len(priors))
        positive = index >= 0
        owner = index.clamp(min=0)
        score = predictions.cls_logits.gather(2, labels_of(index, objects.labels).unsqueeze(-1)).squeeze(-1).sigmoid()
        u = matched_iou(priors, predictions.boxes, boxes_of(index, objects.boxes)) * positive
        t = power(score, self.alpha) * power(u, self.beta)
        zero = torch.zeros_like(value[:, :, 0])
        best_t, best_u = (zero.scatter_reduce(1, owner, v, "amax").gather(1, owner) for v in (t, u))
        soft = t / (best_t + 1e-7) * best_u
        targets = Targets(index, torch.ones_like(soft), soft)
        return Assignment(targets, targets, prior_diagnostics={"metric": t}, stage="aligned")

    def _best(self, priors: Priors, predictions: Predictions, objects: Objects) -> tuple[Tensor, Tensor, Tensor]:
        """The `topk` priors [B, G, K] of highest t, their t and their IoU."""
        iou = predicted_iou(priors, predictions, objects)
        logits = predictions.cls_logits.transpose(1, 2)
        score = logits.gather(1, objects.labels.unsqueeze(-1).expand_as(iou)).sigmoid()
        metric = power(score, self.alpha).mul_(power(iou, self.beta))
        prior = top_indices(metric, self.topk)
        return prior, metric.gather(2, prior), iou.gather(2, prior)


@CRITERIA.register("tal")
class TALCriterion(Criterion):
    """The losses of the assigner's stage: ATSS's while it is "static", quality focal afterwards.

    "static": focal loss (`focal_alpha`, `focal_gamma`) over the positives, GIoU weighted by centerness over its sum.
    Otherwise quality focal loss on the soft targets (exponent `focal_gamma`), GIoU weighted by them, both over their
    sum. Keys: loss_cls, loss_box, and loss_quality with a quality head.

    Differs from the released code in the least sum of centernesses (1e-6 here, 1 there).
    """

    def __init__(
        self, *, box_weight: NonNegative = 2.0, focal_alpha: Share = 0.25, focal_gamma: NonNegative = 2.0
    ) -> None:
        super().__init__()
        static = DenseCriterion(
            focal_alpha=focal_alpha, focal_gamma=focal_gamma, box_weight=box_weight, weighting="centerness"
        )
        aligned = DenseCriterion(
            cls="quality_focal", focal_gamma=focal_gamma, box_weight=box_weight, weighting="quality"
        )
        self._stages = {"static": static, "aligned": aligned, "": aligned}

    @property
    def needs(self) -> Needs:
        """What the dense losses need."""
        return self._stages["aligned"].needs

    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        if assignment.stage not in self._stages:
            raise ValueError(
                f"criterion 'tal' knows no stage '{assignment.stage}' of an assigner (known: static, aligned)"
            )
        return self._stages[assignment.stage].terms(priors, predictions, objects, assignment, context)


PRESETS: tuple[Preset, ...] = (
    preset(
        "tal",
        "tal",
        "task-aligned top 13 with soft targets, after a third of training with ATSS (TOOD)",
        baseline="tal_static",
        criterion=Part(name="tal"),
        nms=Nms(iou=0.6),
    ),
    preset(
        "tal_static",
        Part(name="tal", parameters={"static": 1.0}),
        "TOOD's baseline: its first stage (ATSS) for the whole training",
        criterion=Part(name="tal"),
        nms=Nms(iou=0.6),
    ),
)
