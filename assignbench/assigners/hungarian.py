"""One-to-one assignment (DETR, Carion et al., ECCV 2020, section 3.1; Deformable DETR's class cost)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.boxes import paired_giou
from assignbench.config.method import Part, Preset, preset
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors


def normalised_cxcywh(boxes: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Centre and size [..., 4] as shares of the image (of 1 px where the size is not given)."""
    height, width = (max(s, 1) for s in image_hw)
    scale = boxes.new_tensor([width, height]) if boxes.device.type == "cpu" else _scale(boxes, width, height)
    centre, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    return torch.cat([centre / scale, size / scale], dim=-1)


def _scale(boxes: Tensor, width: int, height: int) -> Tensor:
    return torch.stack([torch.full((), float(v), device=boxes.device) for v in (width, height)])


BLOCK = 16_384  # priors whose costs are worked out at a time


@ASSIGNERS.register("hungarian")
@dataclass(frozen=True)
class Hungarian(Assigner):
    """The one-to-one assignment of least total cost: class, L1 of normalised boxes, GIoU.

    Invariant: an object has exactly one prior while there are priors enough, a prior at most one object. The class cost
    is the sigmoid focal difference (`cls` = "focal", weight 2) or minus the softmax probability ("softmax", weight 1;
    `background` adds a column of that logit). Solved by scipy on the host: exempt from the no-synchronisation rule.

    >>> from assignbench.examples import three_anchors
    >>> Hungarian()(*three_anchors(), Context(image_hw=(64, 64))).cls.index
    tensor([[-1,  0, -1]])
    """

    cls: Literal["focal", "softmax"] = "focal"
    cls_weight: float = 2.0
    l1_weight: float = 5.0
    giou_weight: float = 2.0

    @property
    def exempt_from(self) -> tuple[str, ...]:
        """The solver runs on the host, breaks ties its own way, and serves objects wherever they lie."""
        return ("no_host_synchronisation", "ties_go_to_the_lowest_index", "untouched_objects")

    def cost(
        self, predictions: Predictions, objects: Objects, image_hw: tuple[int, int], background: Tensor | None = None
    ) -> Tensor:
        """Cost [B, A, G]; `background` [B, A] is the extra logit of the softmax."""
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
        predicted = normalised_cxcywh(predictions.boxes, image_hw)
        wanted = normalised_cxcywh(objects.boxes, image_hw)
        cost = cls * self.cls_weight
        for start in range(0, cost.shape[1], BLOCK):  # GIoU's temporaries would each be as large as the cost
            part = slice(start, start + BLOCK)
            l1 = torch.cdist(predicted[:, part], wanted, p=1)
            giou = paired_giou(predictions.boxes[:, part].unsqueeze(2), objects.boxes.unsqueeze(1))
            cost[:, part] += self.l1_weight * l1 - self.giou_weight * giou
        return cost

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        index = self.solve(self.cost(predictions, objects, context.image_hw), objects.valid)
        targets = Targets.hard(index)
        return Assignment(targets, targets)

    def solve(self, cost: Tensor, valid: Tensor) -> Tensor:
        """Index [B, A] of least total cost [B, A, G]."""
        index = torch.full(cost.shape[:2], BACKGROUND)
        for i, (matrix, keep) in enumerate(zip(cost.cpu(), valid.cpu(), strict=True)):
            columns = torch.nonzero(keep).squeeze(1)
            row, column = linear_sum_assignment(matrix[:, columns].nan_to_num_(1e9, 1e9, -1e9).numpy())
            index[i, torch.as_tensor(row)] = columns[torch.as_tensor(column)]
        return index.to(cost.device)


PRESETS: tuple[Preset, ...] = (
    preset(
        "hungarian",
        "hungarian",
        "one prior per object by linear assignment (DETR)",
        criterion=Part(name="dense", parameters={"gamma": 2.0, "box": "giou", "box_weight": 2.0}),
    ),
)
