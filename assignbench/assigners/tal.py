"""Task-aligned assignment (TOOD, Feng et al., ICCV 2021, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from assignbench.assigners.atss import ATSS
from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.boxes import pairwise_iou
from assignbench.config.method import Nms, Part, Preset, preset
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import resolve_conflicts, top_indices


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
    first `static` share of training, ATSS assigns (four epochs of twelve in the paper's schedule).

    >>> from assignbench.examples import three_anchors
    >>> TAL()(*three_anchors()).cls.quality  # soft targets
    tensor([[0.2884, 0.9000, 0.0000]])
    """

    topk: int = 13
    alpha: float = 1.0
    beta: float = 6.0
    margin: float = 0.01
    static: float = 1 / 3

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        if context.progress < self.static:
            return ATSS().assign(priors, predictions, objects, context)
        iou = pairwise_iou(objects.boxes, predictions.boxes)
        logits = predictions.cls_logits.transpose(1, 2)
        score = logits.gather(1, objects.labels.unsqueeze(-1).expand_as(iou)).sigmoid()
        metric = power(score, self.alpha).mul_(power(iou, self.beta)).mul_(objects.valid.unsqueeze(-1))
        prior = top_indices(metric, self.topk)
        value, overlap = metric.gather(2, prior), iou.gather(2, prior)
        points = priors.points[prior]
        corner = objects.boxes.unsqueeze(2)
        holds = ((points - corner[..., :2] > self.margin) & (corner[..., 2:] - points > self.margin)).all(-1)
        index = resolve_conflicts(prior, (value > 0) & holds, overlap, len(priors))
        positive = index >= 0
        owner = index.clamp(min=0).unsqueeze(1)
        t = metric.gather(1, owner).squeeze(1) * positive
        u = iou.gather(1, owner).squeeze(1) * positive
        zero = torch.zeros_like(metric[:, :, 0])
        best_t = zero.scatter_reduce(1, owner.squeeze(1), t, "amax")
        best_u = zero.scatter_reduce(1, owner.squeeze(1), u, "amax")
        soft = t / (best_t.gather(1, owner.squeeze(1)) + 1e-7) * best_u.gather(1, owner.squeeze(1))
        targets = Targets(index, torch.ones_like(soft), soft)
        return Assignment(targets, targets, diagnostics={"metric": t})


PRESETS: tuple[Preset, ...] = (
    preset(
        "tal",
        "tal",
        "task-aligned top 13 with soft targets (TOOD)",
        criterion=Part(
            name="dense", parameters={"cls": "quality_focal", "box": "giou", "box_weight": 2.0, "weighting": "quality"}
        ),
        nms=Nms(iou=0.6),
    ),
)
