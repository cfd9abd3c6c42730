"""AutoAssign (Zhu et al. 2020, sections 3.2-3.4): a learned centre prior and confidence weights instead of labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.assigners.criteria import CRITERIA
from assignbench.assigners.fcos import smallest_owner
from assignbench.boxes import centres, inside, paired_giou, pairwise_iou
from assignbench.config.method import HeadInit, Nms, Part, Preset, preset
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import top_indices

FLOOR = 1e-12


@ASSIGNERS.register("autoassign")
@dataclass(frozen=True)
class AutoAssign(Assigner):
    """Every point inside an object is its candidate; how much each one teaches is the criterion's learned weight.

    Invariant: for analyses, a prior is named for the smallest object around it; the loss itself lets a prior take part
    in every object that contains it. An object without a point inside has no candidate.

    >>> from assignbench.examples import three_anchors
    >>> AutoAssign()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        holds = (inside(priors.points, objects.boxes) > 0) & objects.valid.unsqueeze(-1)
        targets = Targets.hard(smallest_owner(holds, objects))
        return Assignment(targets, targets)


@CRITERIA.register("autoassign")
class AutoAssignCriterion(nn.Module):
    """Weighted likelihood of every object's points, a focal term elsewhere, and a term that keeps centres inside.

    Owns the centre prior: mean and deviation per class in strides, for up to `classes` classes. Keys: loss_positive,
    loss_negative, loss_center. An object without a point inside costs the floor of 100, as in mmdet; with `force_topk`
    > 0 it takes so many points of highest centre prior instead (mmdet's option of that name has 9).
    """

    def __init__(
        self,
        *,
        positive_weight: float = 0.25,
        negative_weight: float = 0.75,
        center_weight: float = 0.75,
        giou_weight: float = 5.0,
        classes: int = 100,
        force_topk: int = 0,
    ) -> None:
        super().__init__()
        self.positive_weight, self.negative_weight = positive_weight, negative_weight
        self.center_weight, self.giou_weight = center_weight, giou_weight
        self.force_topk = force_topk
        self.mean = nn.Parameter(torch.zeros(classes, 2))
        self.sigma = nn.Parameter(torch.ones(classes, 2))

    def center_prior(self, priors: Priors, objects: Objects) -> tuple[Tensor, Tensor]:
        """The learned Gaussian [B, G, A], zero outside, and which points an object holds [B, G, A]."""
        holds = (inside(priors.points, objects.boxes) > 0) & objects.valid.unsqueeze(-1)
        middle = centres(objects.boxes)
        mean, sigma = self.mean[objects.labels], self.sigma[objects.labels]  # [B, G, 2]
        value = torch.zeros((), device=middle.device)
        for axis in (0, 1):
            offset = (priors.points[:, axis] - middle[..., axis : axis + 1]) / priors.strides
            gap = offset - mean[..., axis : axis + 1]
            value = value + gap.square() / (2 * sigma[..., axis : axis + 1].square())
        prior = torch.exp(-value)
        if self.force_topk:
            homeless = objects.valid & ~holds.any(dim=-1)
            nearest = top_indices(prior.detach(), min(self.force_topk, len(priors)))
            holds = torch.where(homeless.unsqueeze(-1), torch.zeros_like(holds).scatter(2, nearest, True), holds)
        return prior * holds, holds

    def forward(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Tensor]:
        objects = objects.with_room()
        logits = predictions.cls_logits.float()
        quality = predictions.quality_logits
        score = F.logsigmoid(logits)
        if quality is not None:
            score = score + F.logsigmoid(quality.float()).unsqueeze(-1)
        prior, holds = self.center_prior(priors, objects)
        count = context.reduce(objects.valid.sum())
        boxes = predictions.boxes.float()
        giou = paired_giou(boxes.unsqueeze(1), objects.boxes.unsqueeze(2))
        own = score.transpose(1, 2).gather(1, objects.labels.unsqueeze(-1).expand(-1, -1, logits.shape[1]))
        likelihood = (own - self.giou_weight * (1 - giou)).exp()
        weight = torch.exp(3 * likelihood) * prior
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=FLOOR)
        bag = (weight * likelihood).sum(-1)
        positive = -bag.clamp(min=1e-44).log().clamp(min=-100)
        zero = logits.sum() * 0 + boxes.sum() * 0
        losses = {
            "loss_positive": zero + self.positive_weight * (positive * objects.valid).sum() / count.clamp(min=1),
            "loss_negative": zero + self.negative_weight * self._negative(score, boxes, objects, prior, holds, context),
        }
        per_image = objects.valid.sum(1)
        spread = prior.sum((1, 2))
        ratio = torch.where(spread > 0, per_image / spread.clamp(min=FLOOR), per_image.float())
        ratio = ratio * (per_image > 0)
        losses["loss_center"] = zero + self.center_weight * ratio.mean()
        return losses

    def _negative(
        self, score: Tensor, boxes: Tensor, objects: Objects, prior: Tensor, holds: Tensor, context: Context
    ) -> Tensor:
        """Focal loss on class x objectness x (1 - normalised confidence of matching)."""
        with torch.no_grad():
            iou = pairwise_iou(objects.boxes, boxes) * objects.valid.unsqueeze(-1)
            best = iou.amax(dim=1)  # the largest IoU of a prediction with any object
            confidence = (1 / (1 - best).clamp(min=FLOOR)).unsqueeze(1).expand_as(iou)
            high = confidence.masked_fill(~holds, -float("inf")).amax(-1, keepdim=True)
            low = confidence.masked_fill(~holds, float("inf")).amin(-1, keepdim=True)
            scaled = (confidence - low + FLOOR) / (high - low + FLOOR)  # a lone point counts as certain
            rows = objects.labels.unsqueeze(-1).expand_as(scaled)
            numbers = torch.arange(holds.shape[1], device=holds.device)[None, :, None].expand_as(rows)
            # Where objects of one class share a point, the later one decides.
            last = torch.full_like(score.transpose(1, 2), -1, dtype=torch.long)
            last = last.scatter_reduce(1, rows, numbers.masked_fill(~holds, -1), "amax")
            decides = holds & (last.gather(1, rows) == numbers)
            scaled = torch.where(decides, scaled, 0.0)
            remain = torch.zeros_like(score.transpose(1, 2)).scatter_reduce(1, rows, scaled, "amax").transpose(1, 2)
        q = (score.exp() * (1 - remain)).clamp(max=1 - 1e-7)
        total = (q.square() * -torch.log1p(-q)).sum()
        return total / context.reduce(prior.detach().sum()).clamp(min=1)


PRESETS: tuple[Preset, ...] = (
    preset(
        "autoassign",
        "autoassign",
        "learned centre prior and confidence weights (AutoAssign)",
        criterion=Part(name="autoassign"),
        quality="implicit",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        head_init=HeadInit(prior_prob=0.02),
    ),
)
