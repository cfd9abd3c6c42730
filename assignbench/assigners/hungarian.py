"""One-to-one assignment (DETR, Carion et al., ECCV 2020, section 3.1; Deformable DETR's class cost)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner, NonNegative, Share
from assignbench.assigners.criteria import CRITERIA, DenseCriterion
from assignbench.boxes import paired_giou
from assignbench.config.method import Nms, Part, Preset, preset
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets, Term
from assignbench.priors import Priors
from assignbench.select import boxes_of


def normalised_cxcywh(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Centre and size [B, N, 4] of boxes [B, N, 4] as shares of image sides [B, 2] (width, height)."""
    scale = sizes.unsqueeze(1)
    centre, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    return torch.cat([centre / scale, size / scale], dim=-1)


def image_sides(context: Context, boxes: Tensor) -> Tensor:
    """Width and height [B, 2] of each image (1 px where the context does not know them)."""
    sides = [(max(width, 1), max(height, 1)) for height, width in context.sizes(len(boxes))]
    return torch.tensor(sides, dtype=boxes.dtype).to(boxes.device, non_blocking=True)


BLOCK = 16_384  # priors whose costs are worked out at a time


@ASSIGNERS.register("hungarian")
@dataclass(frozen=True)
class Hungarian(Assigner):
    """The one-to-one assignment of least total cost: class, L1 of normalised boxes, GIoU.

    Invariant: an object has exactly one prior while there are priors enough, a prior at most one object. The class cost
    is the sigmoid focal difference (`cls` = "focal", weight 2) or minus the softmax probability ("softmax", weight 1;
    `background` adds a column of that logit). Solved by scipy on the host: exempt from the no-synchronisation rule.

    Differs from DETR in the class cost, which is Deformable DETR's: detectors here have no background column.

    >>> from assignbench.examples import three_anchors
    >>> Hungarian()(*three_anchors(), Context(image_hw=(64, 64))).cls.index
    tensor([[-1,  0, -1]])
    """

    cls: Literal["focal", "softmax"] = "focal"
    cls_weight: NonNegative = 2.0
    l1_weight: NonNegative = 5.0
    giou_weight: NonNegative = 2.0

    @property
    def exempt_from(self) -> tuple[str, ...]:
        """The solver runs on the host, breaks ties its own way, and serves objects wherever they lie."""
        return ("no_host_synchronisation", "ties_go_to_the_lowest_index", "untouched_objects")

    def cost(
        self, predictions: Predictions, objects: Objects, context: Context, background: Tensor | None = None
    ) -> Tensor:
        """Cost [B, A, G]; `background` [B, A] is the extra logit of the softmax. Images have their own sizes."""
        logits = predictions.cls_logits
        rows = objects.labels.unsqueeze(1).expand(-1, logits.shape[1], -1)
        if self.cls == "softmax":
            columns = logits if background is None else torch.cat([logits, background.unsqueeze(-1)], -1)
            cls = -columns.softmax(-1).gather(2, rows)
        else:
            p = logits.sigmoid()
            as_negative = -(1 - p + 1e-12).log() * 0.75 * p.square()
            as_positive = -(p + 1e-12).log() * 0.25 * (1 - p).square()
            cls = (as_positive - as_negative).gather(2, rows)
        sides = image_sides(context, objects.boxes)
        predicted = normalised_cxcywh(predictions.boxes, sides)
        wanted = normalised_cxcywh(objects.boxes, sides)
        cost = cls * self.cls_weight
        for start in range(0, cost.shape[1], BLOCK):  # GIoU's temporaries would each be as large as the cost
            part = slice(start, start + BLOCK)
            l1 = torch.cdist(predicted[:, part], wanted, p=1)
            giou = paired_giou(predictions.boxes[:, part].unsqueeze(2), objects.boxes.unsqueeze(1))
            cost[:, part] += self.l1_weight * l1 - self.giou_weight * giou
        return cost

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        index = self.solve(self.cost(predictions, objects, context), objects.valid)
        targets = Targets.hard(index)
        return Assignment(targets, targets)

    def solve(self, cost: Tensor, valid: Tensor) -> Tensor:
        """Index [B, A] of least total cost [B, A, G]."""
        from scipy.optimize import linear_sum_assignment  # a third of a second to load, for this rule alone

        index = torch.full(cost.shape[:2], BACKGROUND)
        for i, (matrix, keep) in enumerate(zip(cost.cpu(), valid.cpu(), strict=True)):
            columns = torch.nonzero(keep).squeeze(1)
            row, column = linear_sum_assignment(matrix[:, columns].nan_to_num_(1e9, 1e9, -1e9).numpy())
            index[i, torch.as_tensor(row)] = columns[torch.as_tensor(column)]
        return index.to(cost.device)


@CRITERIA.register("set")
class SetCriterion(DenseCriterion):
    """DETR's losses: class, GIoU, and L1 of centre and size as shares of the image, each over the number of positives.

    Keys: loss_cls, loss_box, loss_l1, and loss_quality with a quality head.

    Differs from DETR in the class loss, which is Deformable DETR's focal loss with weight 2.
    """

    def __init__(
        self,
        *,
        cls_weight: NonNegative = 2.0,
        l1_weight: NonNegative = 5.0,
        giou_weight: NonNegative = 2.0,
        focal_alpha: Share = 0.25,
        focal_gamma: NonNegative = 2.0,
    ) -> None:
        super().__init__(focal_alpha=focal_alpha, focal_gamma=focal_gamma, box="giou", box_weight=giou_weight)
        self.cls_weight, self.l1_weight = cls_weight, l1_weight

    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        found = super().terms(priors, predictions, objects, assignment, context)
        chosen = (assignment.box.index >= 0).unsqueeze(-1)
        # Priors without an object are measured against themselves, as in the dense criterion.
        targets = torch.where(chosen, boxes_of(assignment.box.index, objects.boxes), predictions.boxes.detach())
        sides = image_sides(context, objects.boxes)
        apart = normalised_cxcywh(predictions.boxes, sides) - normalised_cxcywh(targets, sides)
        element = apart.abs().sum(dim=-1) * assignment.box.weight * chosen.squeeze(-1)
        cls = found["loss_cls"]
        found["loss_cls"] = replace(cls, sum=self.cls_weight * cls.sum)
        found["loss_l1"] = Term(self.l1_weight * element.sum(), chosen.sum().float(), len(chosen))
        return found


_DETR: dict[str, Any] = {"criterion": Part(name="set"), "nms": Nms(kind="none")}

PRESETS: tuple[Preset, ...] = (
    preset(
        "hungarian",
        "hungarian",
        "one prior per object by linear assignment, L1 x 5 and GIoU x 2, no NMS (DETR, Deformable DETR)",
        baseline="hungarian_iou",
        **_DETR,
    ),
    preset(
        "hungarian_iou",
        "max_iou",
        "the baseline of hungarian: static IoU matching with its losses, also without NMS, so duplicates stay",
        source="ours",
        **_DETR,
    ),
)
