"""Criteria: what an assignment costs. The shared dense one is here; a paper's own sits in its assigner's file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.assigners.base import NonNegative, Positive, Share
from assignbench.assigners.fcos import centerness
from assignbench.coders import coder_for
from assignbench.config.method import Needs
from assignbench.contract import IGNORE, Assignment, Context, Objects, Predictions, Term
from assignbench.losses import (
    balanced_l1,
    focal_sum,
    giou_loss,
    iou_loss,
    iou_square_loss,
    quality_focal,
    smooth_l1,
)
from assignbench.priors import Priors
from assignbench.registry import Registry
from assignbench.select import boxes_of, labels_of, matched_iou

BoxLoss = Literal["giou", "iou", "iou_square", "smooth_l1", "l1", "balanced_l1"]
ClassLoss = Literal["focal", "quality_focal", "bce"]
Weighting = Literal["none", "iou", "centerness", "quality"]
Divisor = Literal["positives", "images", "drawn"]

NO_LOGIT = -1e4  # its sigmoid and the loss of being negative are exactly zero
FAR_AWAY = -1e5  # px


class Criterion(nn.Module, ABC):
    """Base of the criteria: (Priors, Predictions, Objects, Assignment, Context) -> one Term per loss.

    A subclass implements `terms`, where predictions are float32 outside autocast, objects have at least one column, and
    priors in the padding of a mixed batch are harmless: their logits say "surely nothing" and their boxes overlap
    nothing, without a gradient. The set of keys never changes, and every term stays attached to the graph.
    """

    @property
    def needs(self) -> Needs:
        """What the losses need of detector and method; everything goes unless a criterion says otherwise."""
        return Needs()

    @property
    def idle(self) -> dict[str, str]:
        """The parameters that do nothing beside the others' values, each with the reason; a study may not set them."""
        return {}

    def forward(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        with torch.autocast(predictions.cls_logits.device.type, enabled=False):
            predictions = predictions.map(lambda tensor: tensor.float())
            if priors.valid is not None:
                predictions = _without_padding(predictions, priors.valid)
                priors = replace(priors, valid=None)
            return self.terms(priors, predictions, objects.with_room(), assignment, context)

    @abstractmethod
    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        """The losses before they are normalised."""


CRITERIA: Registry[Criterion] = Registry("criterion", Criterion)  # type: ignore[type-abstract]


def _without_padding(predictions: Predictions, valid: Tensor) -> Predictions:
    nowhere = torch.zeros_like(predictions.boxes)
    nowhere[..., :2], nowhere[..., 2:] = FAR_AWAY - 1, FAR_AWAY
    wide = valid.unsqueeze(-1)
    quality, deltas = predictions.quality_logits, predictions.deltas
    return replace(
        predictions,
        cls_logits=torch.where(wide, predictions.cls_logits, NO_LOGIT),
        boxes=torch.where(wide, predictions.boxes, nowhere),
        deltas=None if deltas is None else torch.where(wide, deltas, 0.0),
        quality_logits=None if quality is None else torch.where(valid, quality, NO_LOGIT),
    )


def class_targets(assignment: Assignment, objects: Objects, num_classes: int) -> Tensor:
    """One-hot float targets [B, A, C]; rows of background and ignored priors are zero."""
    index = assignment.cls.index
    labels = labels_of(index, objects.labels).unsqueeze(-1)
    target = torch.zeros(*index.shape, num_classes, device=index.device)
    return target.scatter_(2, labels, (index >= 0).unsqueeze(-1).float())


def _l1(difference: Tensor, beta: float) -> Tensor:
    return difference.abs()


def _smooth(difference: Tensor, beta: float) -> Tensor:
    return smooth_l1(difference, beta)


def _balanced(difference: Tensor, beta: float) -> Tensor:
    return balanced_l1(difference, beta=beta)


_ON_BOXES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "giou": giou_loss,
    "iou": iou_loss,
    "iou_square": iou_square_loss,
}
_ON_DELTAS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "smooth_l1": _smooth,
    "l1": _l1,
    "balanced_l1": _balanced,
}


def box_losses(
    kind: str,
    priors: Priors,
    predictions: Predictions,
    targets: Tensor,
    *,
    beta: float = 0.11,
    coordinates: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Loss [B, A] of predicted boxes against target boxes [B, A, 4], by its name.

    "smooth_l1", "l1" and "balanced_l1" act on encoded boxes, by the coder of the priors, with transition point `beta`;
    they are the mean or the sum of four coordinates.
    """
    if kind in _ON_BOXES:
        return _ON_BOXES[kind](predictions.boxes.float(), targets)
    if predictions.deltas is None:
        raise ValueError(f"box loss '{kind}' acts on encoded boxes; give Predictions(deltas=...)")
    difference = predictions.deltas.float() - coder_for(priors).encode(priors, targets)
    element = _ON_DELTAS[kind](difference, beta)
    return element.sum(dim=-1) if coordinates == "sum" else element.mean(dim=-1)


def idle_of_focal(cls: str) -> dict[str, str]:
    """Which of focal's parameters a class loss does not read, with the reason."""
    unread = {"focal": (), "quality_focal": ("focal_alpha",), "bce": ("focal_alpha", "focal_gamma")}[cls]
    return {name: f"cls '{cls}' does not read it; set cls: focal" for name in unread}


def idle_of_box(box: str) -> dict[str, str]:
    """What a box loss does not read, with the reason."""
    found = {}
    if box not in ("smooth_l1", "balanced_l1"):
        found["box_beta"] = f"box '{box}' has no transition point; set box: smooth_l1"
    if box not in _ON_DELTAS:
        found["box_coordinates"] = f"box '{box}' is one number per box; set box: l1"
    return found


@CRITERIA.register("dense")
class DenseCriterion(Criterion):
    """A class loss over all priors that are not ignored, a box loss over the positives of the box task.

    `cls`: "focal" (`focal_alpha`, `focal_gamma`) on hard labels; "quality_focal" (exponent `focal_gamma`) and "bce"
    learn the soft targets in `assignment.cls.quality`. `cls_over` = "positives" leaves the class loss to positives
    (YOLOX, where objectness learns the background).

    `box` names the box loss; those on encoded boxes take `box_beta` and sum or average four coordinates
    (`box_coordinates`). `weighting` weighs boxes by their IoU ("iou", detached), the centerness of their prior
    ("centerness") or the soft target ("quality"), and then divides by the sum of these weights; "quality" divides the
    class loss by its sum too.

    `count` is what sums are divided by otherwise, over the global batch and at least 1: "positives" of the task,
    "images" the same but at least the number of images for the class loss (mmdet's PAA), "drawn" the priors that are
    not ignored (RPN, both losses).

    A quality head of kind "iou" learns the IoU of the predicted box with its object, "centerness" the centerness of
    its prior, "objectness" being positive (over all priors but ignored ones), each by binary cross-entropy over the
    number of positives. Keys: loss_cls, loss_box, and loss_quality with a quality head.
    """

    def __init__(
        self,
        *,
        cls: ClassLoss = "focal",
        focal_alpha: Share = 0.25,
        focal_gamma: NonNegative = 2.0,
        cls_over: Literal["all", "positives"] = "all",
        box: BoxLoss = "giou",
        box_weight: NonNegative = 2.0,
        box_beta: Positive = 0.11,
        box_coordinates: Literal["mean", "sum"] = "mean",
        weighting: Weighting = "none",
        quality_weight: NonNegative = 1.0,
        count: Divisor = "positives",
    ) -> None:
        super().__init__()
        self.cls, self.cls_over, self.count = cls, cls_over, count
        self.focal_alpha, self.focal_gamma = focal_alpha, focal_gamma
        self.box, self.box_weight, self.box_beta = box, box_weight, box_beta
        self.box_coordinates: Literal["mean", "sum"] = box_coordinates
        self.weighting, self.quality_weight = weighting, quality_weight

    @property
    def needs(self) -> Needs:
        """Encoded losses need anchors; there is no loss for an implicit quality head."""
        encoded = self.box in _ON_DELTAS
        why = f"box loss '{self.box}' acts on the encoded boxes of anchors; set criterion.box: giou"
        return Needs(
            priors=("anchor",) if encoded else ("anchor", "point"),
            quality=(None, "iou", "centerness", "objectness"),
            why=why if encoded else "the dense criterion teaches no implicit quality; set quality: iou",
        )

    @property
    def idle(self) -> dict[str, str]:
        found = {**idle_of_focal(self.cls), **idle_of_box(self.box)}
        if self.weighting == "quality":
            found["count"] = "weighting 'quality' divides by the sum of the soft targets; set weighting: none"
        return found

    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        chosen = assignment.box.index >= 0
        # Priors without an object are measured against themselves, which keeps every gradient finite.
        targets = torch.where(chosen.unsqueeze(-1), boxes_of(assignment.box.index, objects.boxes), priors.boxes)
        found = {
            "loss_cls": self._class_loss(predictions, objects, assignment),
            "loss_box": self._box_loss(priors, predictions, assignment, chosen, targets),
        }
        if predictions.quality_logits is not None:
            found["loss_quality"] = self._quality_loss(priors, predictions, assignment, chosen, targets)
        return found

    def _class_loss(self, predictions: Predictions, objects: Objects, assignment: Assignment) -> Term:
        logits, given = predictions.cls_logits, assignment.cls
        target = class_targets(assignment, objects, logits.shape[-1])
        positive, taught = given.index >= 0, given.index != IGNORE
        weight = given.weight * {"all": taught, "positives": positive}[self.cls_over]
        if self.cls == "focal":
            loss = focal_sum(logits, target, weight, self.focal_alpha, self.focal_gamma)
        else:
            target = target.mul_(given.quality.unsqueeze(-1))
            soft = self.cls == "quality_focal"
            element = quality_focal(logits, target, self.focal_gamma) if soft else _bce(logits, target)
            loss = (element * weight.unsqueeze(-1)).sum()
        counts = {"positives": positive, "images": positive, "drawn": taught & (given.weight > 0)}
        count = counts[self.count].sum() if self.weighting != "quality" else (given.quality * positive).sum()
        least = None if self.count == "images" else 1.0
        return Term(loss, count.float(), len(logits), least)

    def _box_loss(
        self, priors: Priors, predictions: Predictions, assignment: Assignment, chosen: Tensor, targets: Tensor
    ) -> Term:
        element = box_losses(
            self.box, priors, predictions, targets, beta=self.box_beta, coordinates=self.box_coordinates
        )
        given = assignment.box
        weight = given.weight * chosen
        drawn = (assignment.cls.index != IGNORE) & (assignment.cls.weight > 0)
        count, least = (drawn if self.count == "drawn" else chosen).sum(), 1.0
        if self.weighting != "none":
            weight = weight * self._box_weights(priors, predictions, assignment, targets)
            count, least = weight.sum(), 1.0 if self.weighting == "quality" else 1e-6
        return Term(self.box_weight * (element * weight).sum(), count.float(), len(chosen), least)

    def _box_weights(self, priors: Priors, predictions: Predictions, assignment: Assignment, targets: Tensor) -> Tensor:
        if self.weighting == "quality":
            return assignment.box.quality
        return _QUALITIES[self.weighting](priors, predictions.boxes.detach(), targets)

    def _quality_loss(
        self, priors: Priors, predictions: Predictions, assignment: Assignment, chosen: Tensor, targets: Tensor
    ) -> Term:
        logits, kind = predictions.quality_logits, predictions.quality_kind
        if logits is None or kind not in (*_QUALITIES, "objectness"):
            raise ValueError(f"the dense criterion cannot teach a quality head of kind {kind!r}; set quality: iou")
        if kind == "objectness":
            taught = (assignment.cls.index != IGNORE).float()
            element = _bce(logits, chosen.float()) * taught
        else:
            element = _bce(logits, _QUALITIES[kind](priors, predictions.boxes.detach(), targets)) * chosen
        return Term(self.quality_weight * element.sum(), chosen.sum().float(), len(chosen))


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def _centerness(priors: Priors, boxes: Tensor, targets: Tensor) -> Tensor:
    return centerness(priors.points, targets)


# What a quality head may learn, and boxes may be weighed by: [B, A] of priors, predicted boxes and targets.
_QUALITIES: dict[str, Callable[[Priors, Tensor, Tensor], Tensor]] = {"iou": matched_iou, "centerness": _centerness}
