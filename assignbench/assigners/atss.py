"""ATSS (Zhang et al., CVPR 2020, section 4): a threshold per object from the statistics of its nearest priors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner, Count, NonNegative
from assignbench.boxes import centres
from assignbench.config.method import Nms, Part, Preset, preset
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import joined_over_objects, matched_iou, resolve_conflicts, top_indices


@ASSIGNERS.register("atss")
@dataclass(frozen=True)
class ATSS(Assigner):
    """Per object and level the `topk` nearest priors; positive from mean + std of their IoUs on, centre inside.

    Invariant: a prior has at most one object (the one with the higher IoU); an object may have none, which happens
    to tiny and slender ones, where mean + std exceeds every IoU (`orphan: best_prior` gives such an object one).
    The standard deviation is unbiased; a centre is inside if it is more than `margin` px from every side.

    Differs from the released code, which takes `topk` times the priors of a location; here and in mmdet it is `topk`.

    >>> from assignbench.examples import three_anchors
    >>> ATSS(topk=1)(*three_anchors()).cls.index
    tensor([[ 0, -1, -1]])
    """

    topk: Count = 9
    margin: NonNegative = 0.01

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        candidates = self.candidates(priors, objects)  # [B, G, K]
        boxes = priors.boxes[candidates]
        iou = matched_iou(priors, boxes, objects.boxes.unsqueeze(2))
        spread = iou.std(dim=-1, keepdim=True) if iou.shape[-1] > 1 else torch.zeros_like(iou)
        chosen = iou >= iou.mean(dim=-1, keepdim=True) + spread
        chosen &= self._centre_distance(centres(boxes), objects.boxes) > self.margin
        chosen &= objects.valid.unsqueeze(-1)
        index = resolve_conflicts(candidates, chosen, iou, len(priors))
        targets = Targets.hard(index)
        return Assignment(targets, targets)

    def candidates(self, priors: Priors, objects: Objects) -> Tensor:
        """Indices [B, G, K] of the `topk` priors of every level whose centres are nearest to the object's."""
        return joined_over_objects(objects, len(priors), lambda part: (self._nearest(priors, part.boxes),))[0]

    def _nearest(self, priors: Priors, boxes: Tensor) -> Tensor:
        middle = centres(boxes)
        chosen = []
        for start, size in zip(priors.level_starts(), priors.level_sizes, strict=True):
            at = centres(priors.boxes[start : start + size])
            dx = middle[..., :1] - at[:, 0]
            dy = middle[..., 1:] - at[:, 1]
            chosen.append(top_indices(-(dx * dx + dy * dy), self.topk) + start)
        return torch.cat(chosen, dim=-1)

    @staticmethod
    def _centre_distance(points: Tensor, boxes: Tensor) -> Tensor:
        near = (points - boxes[..., None, :2]).amin(dim=-1)
        far = (boxes[..., None, 2:] - points).amin(dim=-1)
        return near.minimum(far)


# As printed: the box loss is weighted by centerness and divided by its sum, and a head learns the centerness.
_PRINTED: dict[str, Any] = {
    "criterion": Part(name="dense", parameters={"box": "giou", "box_weight": 2.0, "weighting": "centerness"}),
    "quality": "centerness",
    "ranking": "cls*quality",
    "nms": Nms(iou=0.6),
}

PRESETS: tuple[Preset, ...] = (
    preset(
        "atss",
        "atss",
        "threshold per object from its nearest priors, centerness (ATSS)",
        baseline="atss_iou",
        source="printed",
        **_PRINTED,
    ),
    preset(
        "atss_iou",
        "max_iou",
        "ATSS's baseline: static IoU matching with its losses, head and NMS",
        source="ours",
        **_PRINTED,
    ),
    preset("atss_plain", "atss", "ATSS's rule alone, with the light losses of `iou`", baseline="iou", source="ours"),
)
