"""Which predictions compete for an object, whatever the method: what the divergence of scores is measured on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from assignbench.assigners.fcos import FCOS
from assignbench.config.method import PriorKind
from assignbench.contract import BACKGROUND, Objects
from assignbench.priors import Priors
from assignbench.select import prior_iou

NEGATIVE = 0.4  # IoU of an object with an anchor from which on max-IoU matching takes the anchor, or ignores it
PAIRS = 16_000_000  # objects x anchors whose overlaps are held at once


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
    """Worked through in blocks of objects: a crowd's overlaps with all anchors need not be held at once.

    Of equal overlaps the first object wins; of two objects that both have an anchor as their best, the last.
    """
    shape = (len(objects.boxes), len(priors))
    best = priors.boxes.new_full(shape, -1.0)
    owner = torch.zeros(shape, dtype=torch.long, device=best.device)
    forced = torch.full_like(owner, BACKGROUND)
    step = max(1, PAIRS // max(1, best.numel()))
    for start in range(0, objects.labels.shape[1], step):
        some = slice(start, start + step)
        iou = prior_iou(priors, Objects(objects.boxes[:, some], objects.labels[:, some], objects.valid[:, some]))
        most, place = iou.max(dim=1)
        owner = torch.where(most > best, place + start, owner)
        best = torch.maximum(best, most)
        peak = iou.amax(dim=2, keepdim=True)
        number = torch.arange(start, start + iou.shape[1], dtype=torch.int32, device=iou.device).view(1, -1, 1)
        forced = torch.maximum(forced, torch.where((iou == peak) & (peak > 0), number, BACKGROUND).amax(dim=1))
    return torch.where(forced >= 0, forced, torch.where(best >= NEGATIVE, owner, BACKGROUND))


def _of_points(priors: Priors, objects: Objects) -> Tensor:
    return FCOS(level_ranges=False).match(priors, objects)


_RULES: dict[PriorKind | None, Callable[[Priors, Objects], Tensor]] = {"anchor": _of_anchors, "point": _of_points}
