"""MLC: mutual labeling and IoU rescoring, from the paper (no public code), Eqs. 4-11 and decisions D1-D12 of facts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.assigners.criteria import CRITERIA, BoxLoss, box_losses, class_targets
from assignbench.assigners.fcos import FCOS
from assignbench.assigners.max_iou import MaxIoU
from assignbench.boxes import paired_iou
from assignbench.config.method import Nms, Part, Preset, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.losses import sigmoid_focal
from assignbench.priors import Priors
from assignbench.select import boxes_of, labels_of, prior_iou, sample_balanced, segment_order

Candidates = Literal["retina", "fcos", "fcos_levels", "rpn"]


def otsu_thresholds(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Otsu's threshold [B, count] of the values [B, A] of every owner [B, A]; NaN where there are not two values.

    Exact: every cut between neighbouring distinct values is tried, the largest between-class variance wins, the first
    one on ties, and the threshold is the midpoint of the two values around it (D1, D2).
    """
    order, place, size, first = segment_order(owner, values, count)
    sorted_values = values.gather(1, order).double()
    sorted_owner = owner.gather(1, order)
    valid = sorted_owner >= 0
    running = (sorted_values * valid).cumsum(dim=1)
    before = torch.where(first > 0, running.gather(1, (first - 1).clamp(min=0)), 0.0)
    n, k = size.double(), (place + 1).double()
    end = (first + size - 1).clamp(min=0)
    total = running.gather(1, end) - before
    low = running - before
    gap = low / k.clamp(min=1) - (total - low) / (n - k).clamp(min=1)
    variance = k * (n - k) / (n * n).clamp(min=1) * gap * gap
    after = torch.cat([sorted_values[:, 1:], sorted_values[:, -1:]], dim=1)
    is_cut = valid & (k < n) & (after > sorted_values)
    variance = variance.masked_fill(~is_cut, -1.0)
    key = sorted_owner.clamp(min=0)
    best = torch.full((values.shape[0], count), -1.0, dtype=torch.float64, device=values.device)
    best.scatter_reduce_(1, key, variance, "amax")
    wins = is_cut & (variance == best.gather(1, key))
    none = values.shape[1]
    position = torch.arange(none, device=values.device).expand_as(order).masked_fill(~wins, none)
    where = torch.full_like(best, none, dtype=torch.long).scatter_reduce_(1, key, position, "amin")
    at = where.clamp(max=none - 1)
    middle = (sorted_values.gather(1, at) + after.gather(1, at)) / 2
    return middle.masked_fill(where == none, float("nan")).to(values.dtype)


@ASSIGNERS.register("mlc")
@dataclass(frozen=True)
class MutualLabeling(Assigner):
    """Candidates of an object are positive for a task if the other task does well on them, by Otsu's threshold.

    Invariant: a prior is a candidate of at most one object; per task it is positive for that object or background, and
    the two tasks may differ. A bag of one candidate, or of equal values, is positive as a whole (D3).

    `candidates`: "retina" (max-IoU from `low` on and the forced priors; those below `high` that were not forced were
    ignored before), "fcos" (all points inside, smallest object), "fcos_levels" (within the level's range too), "rpn"
    (0.3, ignored up to 0.7: our reading; `sample` priors per image, 1:1). Formerly ignored priors weigh
    |value - threshold|^`alpha`.
    Before `start` (share of training; the paper switches after half) the plain labels of the baseline hold.

    No code is public; every choice that the paper leaves open is D1-D12 of the facts.

    >>> from assignbench.examples import three_anchors
    >>> MutualLabeling()(*three_anchors()).box.index
    tensor([[-1,  0, -1]])
    """

    candidates: Candidates = "retina"
    alpha: float = 0.5
    high: float = 0.5
    low: float = 0.4
    start: float = 0.5
    extent: float = 8.0  # of FCOS's level ranges, for "fcos" and "fcos_levels"
    sample: int = 256  # drawn per image, for "rpn"

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        owner, ignored, baseline = self.match(priors, objects)
        if context.progress < self.start:
            targets = Targets.hard(baseline)
            box = Targets.hard(baseline.masked_fill(baseline == IGNORE, BACKGROUND))
            return self._sampled(Assignment(targets, box, diagnostics={"candidate": owner}), objects, context)
        count = objects.labels.shape[1]
        overlap = paired_iou(predictions.boxes, boxes_of(owner, objects.boxes))
        label = labels_of(owner, objects.labels)
        score = predictions.cls_logits.gather(2, label.unsqueeze(-1)).squeeze(-1).sigmoid()
        cls = self._task(owner, ignored, overlap, count)  # Eq. (4): classification learns where the box is good
        box = self._task(owner, ignored, score, count)  # Eq. (5): the box learns where the score is high
        labelled = Assignment(cls, box, diagnostics={"candidate": owner, "iou": overlap, "score": score})
        return self._sampled(labelled, objects, context)

    def _sampled(self, assignment: Assignment, objects: Objects, context: Context) -> Assignment:
        """For RPN: a prior that is positive for either task counts as positive; what is not drawn is left out of both.

        Box targets of it become background, its class targets are ignored.
        """
        if self.candidates != "rpn":
            return assignment
        cls, box = assignment.cls, assignment.box
        either = (cls.index >= 0) | (box.index >= 0)
        kept = sample_balanced(cls.index, either, self.sample, context, objects)
        return replace(
            assignment,
            cls=Targets(cls.index.masked_fill(~kept, IGNORE), cls.weight * kept, cls.quality * kept),
            box=Targets(box.index.masked_fill(~kept, BACKGROUND), box.weight, box.quality * kept),
        )

    def match(self, priors: Priors, objects: Objects) -> tuple[Tensor, Tensor, Tensor]:
        """The candidate's object [B, A], which candidates the baseline ignores [B, A], and the baseline's labels."""
        if self.candidates in ("fcos", "fcos_levels"):
            rule = FCOS(level_ranges=self.candidates == "fcos_levels", extent=self.extent)
            owner = rule.match(priors, objects)
            return owner, torch.zeros_like(owner, dtype=torch.bool), FCOS(extent=self.extent).match(priors, objects)
        high, low = (0.7, 0.3) if self.candidates == "rpn" else (self.high, self.low)
        iou = prior_iou(priors, objects)
        matcher = MaxIoU(high, low, "mmdet", 0.3 if self.candidates == "rpn" else 0.0)
        baseline, forced = matcher.match(iou, objects.valid)
        owner = torch.where(baseline == IGNORE, iou.argmax(dim=1), baseline)
        return owner, (baseline == IGNORE) & ~forced, baseline

    def _task(self, owner: Tensor, ignored: Tensor, value: Tensor, count: int) -> Targets:
        thresholds = otsu_thresholds(value, owner, count)
        threshold = thresholds.gather(1, owner.clamp(min=0))
        alone = torch.isnan(threshold)
        positive = (owner >= 0) & (alone | (value > threshold))
        distance = (value - threshold).abs().pow(self.alpha)  # Eqs. (7), (8)
        weight = torch.where(ignored & ~alone, distance, 1.0)
        return Targets(torch.where(positive, owner, BACKGROUND), weight, positive.float())


@CRITERIA.register("mlc")
class MLCCriterion(nn.Module):
    """Weighted focal and box losses, each over its own number of positives (D7), and IoU rescoring.

    `rescoring` (the paper's IUR weight, not given there) multiplies the mean squared error between the quality logit's
    sigmoid and the predicted box's IoU over the union of both tasks' positives (D10). `alignment` (our reading of
    prediction alignment) multiplies the mean squared error between class score and IoU over the box positives, with
    gradient to both. Keys: loss_cls, loss_box, with a quality head loss_quality, with alignment loss_align.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        box: BoxLoss = "smooth_l1",
        box_weight: float = 1.0,
        rescoring: float = 1.0,
        alignment: float = 0.0,
    ) -> None:
        super().__init__()
        self.alpha, self.gamma, self.box_weight = alpha, gamma, box_weight
        self.box: BoxLoss = box
        self.rescoring, self.alignment = rescoring, alignment

    def forward(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Tensor]:
        objects = objects.with_room()
        logits = predictions.cls_logits.float()
        focal = sigmoid_focal(logits, class_targets(assignment, objects, logits.shape[-1]), self.alpha, self.gamma)
        cls_positive, box_positive = assignment.cls.index >= 0, assignment.box.index >= 0
        n_cls = context.reduce(cls_positive.sum()).clamp(min=1)
        n_box = context.reduce(box_positive.sum()).clamp(min=1)
        losses = {"loss_cls": (focal * assignment.cls.weight.unsqueeze(-1)).sum() / n_cls}
        # The object of a prior is the same for both tasks (D6), so either names it.
        index = torch.where(box_positive, assignment.box.index, assignment.cls.index.clamp(min=BACKGROUND))
        either = (cls_positive | box_positive).unsqueeze(-1)
        targets = torch.where(either, boxes_of(index, objects.boxes), priors.boxes)
        element = box_losses(self.box, priors, predictions, targets)
        losses["loss_box"] = self.box_weight * (element * assignment.box.weight * box_positive).sum() / n_box
        overlap = paired_iou(predictions.boxes.float(), targets)
        if predictions.quality_logits is not None:
            union = either.squeeze(-1)
            error = (predictions.quality_logits.float().sigmoid() - overlap.detach()).square()
            losses["loss_quality"] = self.rescoring * (error * union).sum() / context.reduce(union.sum()).clamp(min=1)
        if self.alignment > 0:
            label = labels_of(index, objects.labels).unsqueeze(-1)
            gap = (logits.gather(2, label).squeeze(-1).sigmoid() - overlap).square()
            losses["loss_align"] = self.alignment * (gap * box_positive).sum() / n_box
        return losses


PRESETS: tuple[Preset, ...] = (
    preset(
        "mlc",
        "mlc",
        "mutual labeling by Otsu's thresholds and IoU rescoring (MLC), RetinaNet candidates",
        criterion=Part(name="mlc", parameters={"box": "smooth_l1"}),
        quality="iou",
        ranking="cls*quality",
    ),
    preset(
        "mutual_labeling",
        "mlc",
        "mutual labeling without IoU rescoring (MLC's ML)",
        criterion=Part(name="mlc", parameters={"box": "smooth_l1"}),
    ),
    preset(
        "iou_rescoring",
        Part(name="mlc", parameters={"start": 2.0}),
        "IoU rescoring without mutual labeling (MLC's IUR)",
        criterion=Part(name="mlc", parameters={"box": "smooth_l1"}),
        quality="iou",
        ranking="cls*quality",
    ),
    preset(
        "mlc_fcos",
        Part(name="mlc", parameters={"candidates": "fcos", "alpha": 0.0}),
        "MLC on FCOS, all points inside",
        criterion=Part(name="mlc", parameters={"box": "iou"}),
        quality="iou",
        ranking="cls*quality",
    ),
    preset(
        "mlc_rpn",
        Part(name="mlc", parameters={"candidates": "rpn", "alpha": 2.0}),
        "MLC on RPN, our reading of it",
        criterion=Part(name="mlc", parameters={"box": "smooth_l1"}),
        quality="iou",
        ranking="cls*quality",
        nms=Nms(iou=0.7),
    ),
)
