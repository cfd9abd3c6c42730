"""Criteria: what an assignment costs. The shared dense one is here; a paper's own sits in its assigner's file."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.assigners.select import boxes_of, labels_of
from assignbench.boxes import paired_giou, paired_iou
from assignbench.coders import coder_for
from assignbench.contract import IGNORE, Assignment, Context, Objects, Predictions
from assignbench.losses import balanced_l1, iou_loss, sigmoid_focal, smooth_l1
from assignbench.priors import Priors
from assignbench.registry import Registry

CRITERIA: Registry[nn.Module] = Registry("criterion")

BoxLoss = Literal["giou", "iou", "smooth_l1", "balanced_l1"]


def class_targets(assignment: Assignment, objects: Objects, num_classes: int) -> Tensor:
    """One-hot float targets [B, A, C]; rows of background and ignored priors are zero."""
    index = assignment.cls.index
    labels = labels_of(index, objects.labels).masked_fill(index < 0, num_classes)
    return F.one_hot(labels, num_classes + 1)[..., :num_classes].float()


def box_losses(kind: BoxLoss, priors: Priors, predictions: Predictions, targets: Tensor) -> Tensor:
    """Loss [B, A] of predicted boxes against target boxes [B, A, 4]; encoded losses are the mean of four."""
    if kind == "giou":
        return 1 - paired_giou(predictions.boxes.float(), targets)
    if kind == "iou":
        return iou_loss(predictions.boxes.float(), targets)
    difference = predictions.deltas.float() - coder_for(priors.kind).encode(priors, targets)
    element = balanced_l1(difference) if kind == "balanced_l1" else smooth_l1(difference)
    return element.mean(dim=-1)


@CRITERIA.register("dense")
class DenseCriterion(nn.Module):
    """Sigmoid focal loss over all priors that are not ignored, a box loss over the positives of the box task.

    Each sum is divided by its own number of positives over the global batch (at least 1). Where the method has a
    quality head of kind "iou", its logit learns the IoU of the predicted box with its object, by binary
    cross-entropy over the box positives. Keys: loss_cls, loss_box, and loss_quality with a quality head.
    Finite and attached to the graph also without a single object.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        box: BoxLoss = "giou",
        box_weight: float = 2.0,
        quality_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma
        self.box: BoxLoss = box
        self.box_weight, self.quality_weight = box_weight, quality_weight

    def forward(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Tensor]:
        objects = objects.with_room()
        logits = predictions.cls_logits.float()
        focal = sigmoid_focal(logits, class_targets(assignment, objects, logits.shape[-1]), self.alpha, self.gamma)
        weight = assignment.cls.weight.masked_fill(assignment.cls.index == IGNORE, 0.0)
        positives = context.reduce((assignment.cls.index >= 0).sum()).clamp(min=1)
        losses = {"loss_cls": (focal * weight.unsqueeze(-1)).sum() / positives}

        chosen = assignment.box.index >= 0
        # Priors without an object are measured against themselves, which keeps every gradient finite.
        targets = torch.where(chosen.unsqueeze(-1), boxes_of(assignment.box.index, objects.boxes), priors.boxes)
        weight = assignment.box.weight * chosen
        count = context.reduce(chosen.sum()).clamp(min=1)
        element = box_losses(self.box, priors, predictions, targets)
        losses["loss_box"] = self.box_weight * (element * weight).sum() / count
        if predictions.quality_logits is not None:
            overlap = paired_iou(predictions.boxes.detach().float(), targets)
            bce = F.binary_cross_entropy_with_logits(predictions.quality_logits.float(), overlap, reduction="none")
            losses["loss_quality"] = self.quality_weight * (bce * chosen).sum() / count
        return losses
