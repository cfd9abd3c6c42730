"""Which predictions compete for an object, whatever the method: what the divergence of scores is measured on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from assignbench.assigners.fcos import FCOS
from assignbench.assigners.max_iou import MaxIoU
from assignbench.config.method import PriorKind
from assignbench.contract import IGNORE, Objects
from assignbench.priors import Priors
from assignbench.select import prior_iou


def divergence_candidates(priors: Priors, objects: Objects) -> Tensor:
    """The object [B, A] that each prior is a candidate of, or BACKGROUND: the sets J_k of docs/definitions.md.

    Invariant: a prior is a candidate of at most one object, and the sets depend on priors and objects alone, so that
    all methods of a detector are measured on the same ones. For anchors they are those that max-IoU matching at 0.5
    and 0.4 gives to the object, with its best anchors forced, or would ignore; for points those that lie inside it,
    the smallest object winning.
    """
    objects = objects.with_room()
    return _RULES[priors.kind](priors, objects)


def _of_anchors(priors: Priors, objects: Objects) -> Tensor:
    iou = prior_iou(priors, objects)
    index, _ = MaxIoU(positive=0.5, negative=0.4, low_quality="mmdet", min_iou=0.0).match(iou, objects.valid)
    return torch.where(index == IGNORE, iou.argmax(dim=1), index)


def _of_points(priors: Priors, objects: Objects) -> Tensor:
    return FCOS(level_ranges=False).match(priors, objects)


_RULES: dict[PriorKind | None, Callable[[Priors, Objects], Tensor]] = {"anchor": _of_anchors, "point": _of_points}
