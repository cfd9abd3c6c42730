"""From scored boxes to detections: what enters NMS, every flavour of NMS, and box voting.

The analyses replay a cell's NMS by it, all images at once; the engine has its own on the device that predicts
(`engine.nms`), box by box the same. Equal scores are broken by the lowest index, always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from assignbench.config.method import Nms, NmsKind, Voting
from assignbench.measure.boxes import pairwise_iou
from assignbench.measure.ordering import descending, places_within, stable_order
from assignbench.measure.suppression import clusters, decayed

AnyFloats = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
VOTING_IOU = 0.01  # boxes that overlap less than this have no vote


@dataclass(frozen=True)
class Boxes:
    """Scored boxes: `boxes` [N, 4] in pixels, everything else [N].

    `scores` is what boxes are ranked by; after `thin_out` it is the detection's final score. `priors` says which prior
    predicted the box.
    """

    boxes: AnyFloats
    labels: npt.NDArray[np.integer[Any]]
    scores: AnyFloats
    cls_scores: AnyFloats
    quality_scores: AnyFloats
    priors: npt.NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: npt.NDArray[Any]) -> Boxes:
        """The boxes at these indices (or under this mask), in that order."""
        return Boxes(
            self.boxes[index],
            self.labels[index],
            self.scores[index],
            self.cls_scores[index],
            self.quality_scores[index],
            self.priors[index],
        )


def falling(scores: AnyFloats) -> Ints:
    """Indices by falling score, the lowest index first among equals."""
    return stable_order(descending(scores))


def select_before(
    ranking: AnyFloats, floored: AnyFloats, floor: float, pre_nms: int, level_of_prior: Ints | None = None
) -> Ints:
    """What enters NMS: flat indices into [A, C] (prior * C + class), best ranking score first.

    `ranking` and `floored` are scores [A, C]; a pair enters if `floored` (the class score, or the ranking score itself)
    lies above `floor`. The `pre_nms` best pairs stay: of the image, or of every level if `level_of_prior` [A] is given.
    """
    flat = ranking.ravel()
    above = np.flatnonzero(floored.ravel() > floor)
    if level_of_prior is None:
        return above[_best(flat[above], pre_nms)]
    level = level_of_prior[above // ranking.shape[1]]
    kept = [above[level == one] for one in np.unique(level)]
    chosen = np.sort(np.concatenate([k[_best(flat[k], pre_nms)] for k in kept])) if kept else above
    return np.asarray(chosen[falling(flat[chosen])])


def _best(scores: AnyFloats, count: int) -> Ints:
    """Places of the `count` largest scores, best first. Only those that can be among them are sorted."""
    if len(scores) <= count:
        return falling(scores)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    able = np.flatnonzero(scores >= least)
    return np.asarray(able[falling(scores[able])][:count])


def thin_out(before: Boxes, nms: Nms, limit: int, images: Ints | None = None) -> Boxes:
    """The at most `limit` detections that NMS leaves of the boxes of each image, best first, with final scores.

    `images` [N] says of which image each box is (all of one if it is not given); detections are ordered by it.
    """
    images = np.zeros(len(before), np.int64) if images is None else images
    return _FLAVOURS[nms.kind](before, images, nms, limit)


def vote(kept: Boxes, before: Boxes, voting: Voting) -> Boxes:
    """PAA's box voting, Eqs. (9) and (10): each kept box becomes a weighted mean of its class's boxes around it.

    The weight of a box before NMS is exp(-(1 - IoU)^2 / sigma), times its own ranking score if the voting is by score;
    boxes with an IoU of 0.01 or less have no vote. Scores stay as they are. Both are of one image.
    """
    if not len(kept) or not len(before):
        return kept
    overlap = pairwise_iou(kept.boxes, before.boxes)
    near = (overlap > VOTING_IOU) & (kept.labels[:, None] == before.labels[None])
    weight = np.exp(-np.square(1 - overlap) / voting.sigma) * near
    weight = weight * _VOTES[voting.by](before)
    total = weight.sum(axis=1, keepdims=True)
    mean = np.divide(weight @ before.boxes.astype(np.float64), total, out=np.zeros((len(kept), 4)), where=total > 0)
    return replace(kept, boxes=np.where(total > 0, mean, kept.boxes).astype(kept.boxes.dtype))


_VOTES: dict[str, Callable[[Boxes], AnyFloats]] = {
    "score": lambda before: before.scores,
    "closeness": lambda before: np.ones(len(before)),
}


def _standard(before: Boxes, images: Ints, nms: Nms, limit: int) -> Boxes:
    """Greedy NMS within each class."""
    return before.take(clusters(before.boxes, before.labels, images, before.scores, nms.iou, limit)[0])


def _agnostic(before: Boxes, images: Ints, nms: Nms, limit: int) -> Boxes:
    """Greedy NMS across classes."""
    one = np.zeros_like(before.labels)
    return before.take(clusters(before.boxes, one, images, before.scores, nms.iou, limit)[0])


def _iou_guided(before: Boxes, images: Ints, nms: Nms, limit: int) -> Boxes:
    """IoU-Net's NMS: ranked by the predicted IoU alone; a kept box takes its cluster's best class score."""
    kept, owner = clusters(before.boxes, before.labels, images, before.quality_scores, nms.iou, len(before))
    best = cluster_best(before.cls_scores, owner)[kept]
    order = _first(images[kept], best, limit)
    return replace(before.take(kept[order]), scores=best[order], cls_scores=best[order])


def cluster_best(values: AnyFloats, owner: Ints) -> AnyFloats:
    """For each box [N] the largest value among the boxes that it owns (-inf for one that owns none)."""
    best = np.full(len(values), -np.inf, values.dtype)
    owned = owner >= 0
    np.maximum.at(best, owner[owned], values[owned])
    return best


def _soft(before: Boxes, images: Ints, nms: Nms, limit: int) -> Boxes:
    """Soft-NMS (Bodla et al., ICCV 2017): every pick lowers the scores of its class by exp(-IoU^2 / sigma)."""
    chosen, final = decayed(before.boxes, before.labels, images, before.scores, nms.sigma, limit)
    order = stable_order(chosen)  # among equal scores the lowest index first
    order = order[_first(images[chosen[order]], final[order], limit)]
    return replace(before.take(chosen[order]), scores=final[order].astype(before.scores.dtype))


def _none(before: Boxes, images: Ints, nms: Nms, limit: int) -> Boxes:
    """No suppression: the best boxes as they are (one-to-one methods)."""
    return before.take(_first(images, before.scores, limit))


def _first(images: Ints, scores: AnyFloats, limit: int) -> Ints:
    """The best `limit` of every image, by image and falling score, the lowest index first among equals."""
    order = stable_order(images, descending(scores))
    return np.asarray(order[places_within(images[order]) < limit])


_FLAVOURS: dict[NmsKind, Callable[[Boxes, Ints, Nms, int], Boxes]] = {
    "standard": _standard,
    "agnostic": _agnostic,
    "soft": _soft,
    "iou_guided": _iou_guided,
    "none": _none,
}
