"""Criteria: what an assignment costs. The shared dense one is here; a paper's own sits in its assigner's file."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.assigners.fcos import centerness
from assignbench.boxes import paired_giou, paired_iou
from assignbench.coders import coder_for
from assignbench.contract import IGNORE, Assignment, Context, Objects, Predictions
from assignbench.losses import balanced_l1, iou_loss, quality_focal, sigmoid_focal, smooth_l1
from assignbench.priors import Priors
from assignbench.registry import Registry
from assignbench.select import boxes_of, labels_of

CRITERIA: Registry[nn.Module] = Registry("criterion", nn.Module)

BoxLoss = Literal["giou", "iou", "iou_square", "smooth_l1", "balanced_l1"]
ClassLoss = Literal["focal", "quality_focal", "bce"]
Weighting = Literal["none", "iou", "centerness", "quality"]


def class_targets(assignment: Assignment, objects: Objects, num_classes: int) -> Tensor:
    """One-hot float targets [B, A, C]; rows of background and ignored priors are zero."""
    index = assignment.cls.index
    labels = labels_of(index, objects.labels).masked_fill(index < 0, num_classes)
    return F.one_hot(labels, num_classes + 1)[..., :num_classes].float()


def box_losses(kind: BoxLoss, priors: Priors, predictions: Predictions, targets: Tensor) -> Tensor:
    """Loss [B, A] of predicted boxes against target boxes [B, A, 4]; encoded losses are the mean of four."""
    if kind == "giou":
        return 1 - paired_giou(predictions.boxes.float(), targets)
    if kind == "iou_square":
        return 1 - paired_iou(predictions.boxes.float(), targets).square()
    if kind == "iou":
        return iou_loss(predictions.boxes.float(), targets)
    difference = predictions.deltas.float() - coder_for(priors.kind).encode(priors, targets)
    element = balanced_l1(difference) if kind == "balanced_l1" else smooth_l1(difference)
    return element.mean(dim=-1)


@CRITERIA.register("dense")
class DenseCriterion(nn.Module):
    """A class loss over all priors that are not ignored, a box loss over the positives of the box task.

    `cls`: "focal" on hard labels; "quality_focal" and "bce" learn the soft targets in `assignment.cls.quality`.
    `box_weight` multiplies the box loss; `weighting` weighs its boxes by their IoU ("iou", detached), the centerness of
    their prior ("centerness") or the soft target ("quality"), and then divides by the sum of these weights. Otherwise
    each sum is divided by its own number of positives over the global batch, at least 1 (`count_images`: at least the
    number of images, for the class loss, as mmdet's PAA; "quality" weighting divides the class loss by its sum too).

    A quality head of kind "iou" learns the IoU of the predicted box with its object, "centerness" the centerness of
    its prior, "objectness" being positive (over all priors), each by binary cross-entropy. Keys: loss_cls, loss_box,
    and loss_quality with a quality head. Finite and attached to the graph also without a single object.
    """

    def __init__(
        self,
        *,
        cls: ClassLoss = "focal",
        alpha: float = 0.25,
        gamma: float = 2.0,
        box: BoxLoss = "giou",
        box_weight: float = 2.0,
        weighting: Weighting = "none",
        quality_weight: float = 1.0,
        count_images: bool = False,
    ) -> None:
        super().__init__()
        self.cls: ClassLoss = cls
        self.weighting: Weighting = weighting
        self.alpha, self.gamma, self.count_images = alpha, gamma, count_images
        self.box: BoxLoss = box
        self.box_weight, self.quality_weight = box_weight, quality_weight

    def forward(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Tensor]:
        objects = objects.with_room()
        chosen = assignment.box.index >= 0
        # Priors without an object are measured against themselves, which keeps every gradient finite.
        targets = torch.where(chosen.unsqueeze(-1), boxes_of(assignment.box.index, objects.boxes), priors.boxes)
        overlap = paired_iou(predictions.boxes.detach().float(), targets)
        losses = {"loss_cls": self._class_loss(predictions, objects, assignment, context)}
        weight = assignment.box.weight * chosen * self._box_weights(priors, overlap, targets, assignment)
        total = context.reduce(weight.sum() if self.weighting != "none" else chosen.sum())
        divisor = total.clamp(min=1e-6) if self.weighting in ("iou", "centerness") else total.clamp(min=1)
        element = box_losses(self.box, priors, predictions, targets)
        losses["loss_box"] = self.box_weight * (element * weight).sum() / divisor
        if predictions.quality_logits is not None:
            losses["loss_quality"] = self._quality_loss(priors, predictions, chosen, overlap, targets, context)
        return losses

    def _class_loss(
        self, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> Tensor:
        logits = predictions.cls_logits.float()
        target = class_targets(assignment, objects, logits.shape[-1])
        soft = target * assignment.cls.quality.unsqueeze(-1)
        if self.cls == "focal":
            element = sigmoid_focal(logits, target, self.alpha, self.gamma)
        elif self.cls == "quality_focal":
            element = quality_focal(logits, soft, self.gamma)
        else:
            element = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
        weight = assignment.cls.weight.masked_fill(assignment.cls.index == IGNORE, 0.0)
        positives = context.reduce((assignment.cls.index >= 0).sum()).clamp(min=1)
        if self.weighting == "quality":
            positives = context.reduce(soft.sum()).clamp(min=1)
        elif self.count_images:
            positives = positives.clamp(min=len(logits))
        return (element * weight.unsqueeze(-1)).sum() / positives

    def _box_weights(self, priors: Priors, overlap: Tensor, targets: Tensor, assignment: Assignment) -> Tensor:
        if self.weighting == "iou":
            return overlap
        if self.weighting == "centerness":
            return centerness(priors.points, targets)
        return assignment.box.quality if self.weighting == "quality" else torch.ones_like(overlap)

    def _quality_loss(
        self,
        priors: Priors,
        predictions: Predictions,
        chosen: Tensor,
        overlap: Tensor,
        targets: Tensor,
        context: Context,
    ) -> Tensor:
        if predictions.quality_logits is None:
            raise ValueError("no quality head")
        logits = predictions.quality_logits.float()
        count = context.reduce(chosen.sum()).clamp(min=1)
        if predictions.quality_kind == "objectness":
            return (
                self.quality_weight
                * F.binary_cross_entropy_with_logits(logits, chosen.float(), reduction="sum")
                / count
            )
        target = centerness(priors.points, targets) if predictions.quality_kind == "centerness" else overlap
        element = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return self.quality_weight * (element * chosen).sum() / count
