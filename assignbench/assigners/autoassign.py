"""AutoAssign (Zhu et al. 2020, sections 3.2-3.4): a learned centre prior and confidence weights instead of labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner, Count, CountOrNone, NonNegative
from assignbench.assigners.criteria import CRITERIA, Criterion
from assignbench.assigners.fcos import smallest_owner
from assignbench.boxes import centres, inside, paired_giou, pairwise_iou
from assignbench.config.method import CoderConfig, HeadInit, Needs, Nms, Part, Preset, preset
from assignbench.contract import IGNORE, Assignment, Context, Objects, Predictions, Targets, Term
from assignbench.priors import Priors
from assignbench.select import top_indices

FLOOR = 1e-12


@ASSIGNERS.register("autoassign")
@dataclass(frozen=True)
class AutoAssign(Assigner):
    """Every point inside an object is its candidate; how much each one teaches is the criterion's learned weight.

    Invariant: for analyses, a prior is named for the smallest object around it; the loss itself lets a prior take part
    in every object that contains it. An object without a point inside has no candidate, unless `orphan` gives it one.

    >>> from assignbench.examples import three_anchors
    >>> AutoAssign()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    @property
    def needs(self) -> Needs:
        """Points: candidates are those inside an object."""
        return Needs(priors=("point",), why="AutoAssign weighs points; take a detector with points, e.g. fcos-slim")

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        index = smallest_owner(objects, len(priors), lambda part: inside(priors.points, part.boxes) > 0)
        targets = Targets.hard(index)
        return Assignment(targets, targets)


@CRITERIA.register("autoassign")
class AutoAssignCriterion(Criterion):
    """Weighted likelihood of every object's points, a focal term elsewhere, and a term that keeps centres inside.

    Owns the centre prior: mean and deviation per class in strides, for up to `classes` classes. Keys: loss_positive
    (over the number of objects), loss_negative (over the sum of centre priors), loss_center (over the images).

    An object without a point inside costs the floor of 100, as in mmdet, unless the assigner gave it one (`orphan`);
    with `force_topk` > 0 it takes so many points of highest centre prior instead (mmdet's option of that name has 9).

    Differs from the paper as mmdet does: weights of the three losses (.25, .75, .75), GIoU weight 5 in the likelihood,
    and the term of centres, which the paper does not have.
    """

    def __init__(
        self,
        *,
        positive_weight: NonNegative = 0.25,
        negative_weight: NonNegative = 0.75,
        center_weight: NonNegative = 0.75,
        giou_weight: NonNegative = 5.0,
        classes: Count = 100,
        force_topk: CountOrNone = 0,
    ) -> None:
        super().__init__()
        self.positive_weight, self.negative_weight = positive_weight, negative_weight
        self.center_weight, self.giou_weight = center_weight, giou_weight
        self.force_topk = force_topk
        self.mean = nn.Parameter(torch.zeros(classes, 2))
        self.sigma = nn.Parameter(torch.ones(classes, 2))

    @property
    def needs(self) -> Needs:
        """Points, and an implicit objectness head or none."""
        return Needs(
            priors=("point",),
            quality=(None, "implicit"),
            why="AutoAssign's loss weighs points and multiplies class and implicit objectness; set quality: implicit",
        )

    def center_prior(self, priors: Priors, objects: Objects, usable: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The learned Gaussian [B, G, A], zero outside, and which points an object holds [B, G, A].

        `usable` [B, A] leaves out points that may not take part.
        """
        holds = (inside(priors.points, objects.boxes) > 0) & objects.valid.unsqueeze(-1)
        if usable is not None:
            holds = holds & usable.unsqueeze(1)
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
            nearness = prior.detach() if usable is None else prior.detach().masked_fill(~usable.unsqueeze(1), -1.0)
            nearest = top_indices(nearness, min(self.force_topk, len(priors)))
            holds = torch.where(homeless.unsqueeze(-1), torch.zeros_like(holds).scatter(2, nearest, True), holds)
        return prior * holds, holds

    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        logits, boxes = predictions.cls_logits, predictions.boxes
        score = F.logsigmoid(logits)
        if predictions.quality_logits is not None:
            score = score + F.logsigmoid(predictions.quality_logits).unsqueeze(-1)
        prior, holds = self.center_prior(priors, objects, assignment.cls.index != IGNORE)
        prior, holds = self._with_orphans(prior, holds, assignment, objects)
        giou = paired_giou(boxes.unsqueeze(1), objects.boxes.unsqueeze(2))
        own = score.transpose(1, 2).gather(1, objects.labels.unsqueeze(-1).expand(-1, -1, logits.shape[1]))
        likelihood = (own - self.giou_weight * (1 - giou)).exp()
        weight = torch.exp(3 * likelihood) * prior
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=FLOOR)
        bag = (weight * likelihood).sum(-1)
        positive = -bag.clamp(min=1e-44).log().clamp(min=-100)
        per_image, spread, batch = objects.valid.sum(1), prior.sum((1, 2)), len(boxes)
        ratio = torch.where(spread > 0, per_image / spread.clamp(min=FLOOR), per_image.float()) * (per_image > 0)
        zero = logits.sum() * 0 + boxes.sum() * 0  # keeps every term attached to the graph
        negative = zero + self.negative_weight * self._negative(score, boxes, objects, holds)
        images = torch.full((), float(batch), device=boxes.device)
        return {
            "loss_positive": Term(
                zero + self.positive_weight * (positive * objects.valid).sum(), per_image.sum().float(), batch
            ),
            "loss_negative": Term(negative, spread.detach().sum(), batch),
            "loss_center": Term(zero + self.center_weight * ratio.sum(), images, batch),
        }

    @staticmethod
    def _with_orphans(prior: Tensor, holds: Tensor, assignment: Assignment, objects: Objects) -> tuple[Tensor, Tensor]:
        """Objects that hold no point get the one that the assigner gave them, at full centre prior."""
        named = assignment.cls.index.unsqueeze(1) == torch.arange(holds.shape[1], device=holds.device)[:, None]
        given = named & (objects.valid & ~holds.any(dim=-1)).unsqueeze(-1)
        return torch.where(given, 1.0, prior), holds | given

    def _negative(self, score: Tensor, boxes: Tensor, objects: Objects, holds: Tensor) -> Tensor:
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
        return (q.square() * -torch.log1p(-q)).sum()


PRESETS: tuple[Preset, ...] = (
    preset(
        "autoassign",
        "autoassign",
        "learned centre prior and confidence weights (AutoAssign). "
        "No baseline: its loss is the matching, and reads no labels",
        source="framework",
        criterion=Part(name="autoassign"),
        quality="implicit",
        ranking="cls*quality",
        nms=Nms(iou=0.6),
        # Boxes start 4 strides to each side, which is a bias of 4 as distances are relu x stride.
        head_init=HeadInit(prior_prob=0.02, box_bias=4.0),
        coder=CoderConfig(distance="relu"),
    ),
)
