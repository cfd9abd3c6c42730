"""From scored boxes to detections: what enters NMS, every flavour of NMS, and box voting.

This is the only NMS of the package: the engine calls it when it evaluates a cell, and the analysis calls it when it
replays one. Equal scores are broken by the lowest index, always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from assignbench.config.method import Nms, NmsKind, Voting
from assignbench.measure.boxes import areas, iou_with, pairwise_iou

AnyFloats = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
VOTING_IOU = 0.01  # boxes that overlap less than this have no vote


@dataclass(frozen=True)
class Boxes:
    """Scored boxes of one image: `boxes` [N, 4] in pixels, everything else [N].

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
    return np.asarray(np.argsort(-scores, kind="stable"), np.int64)


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


def thin_out(before: Boxes, nms: Nms, limit: int) -> Boxes:
    """The at most `limit` detections that NMS leaves of the boxes of one image, best first, with final scores."""
    return _FLAVOURS[nms.kind](before, nms, limit)


def vote(kept: Boxes, before: Boxes, voting: Voting) -> Boxes:
    """PAA's box voting, Eqs. (9) and (10): each kept box becomes a weighted mean of its class's boxes around it.

    The weight of a box before NMS is exp(-(1 - IoU)^2 / sigma), times its own ranking score if the voting is by score;
    boxes with an IoU of 0.01 or less have no vote. Scores stay as they are.
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


def clusters(boxes: AnyFloats, labels: npt.NDArray[Any], rank: AnyFloats, iou: float, limit: int) -> tuple[Ints, Ints]:
    """Greedy NMS within each label: the kept indices, best rank first, and who owns each box.

    A box belongs to the first kept box that it overlaps by more than `iou` (a kept box to itself). `owner` [N] holds
    that index, or -1 for boxes that were not reached before `limit` boxes were kept.
    """
    waiting = falling(rank)
    corners, labels = boxes.astype(np.float64)[waiting], labels[waiting]
    size = areas(corners)
    owner = np.full(len(rank), -1, np.int64)
    kept: list[int] = []
    while len(waiting) and len(kept) < limit:
        pick = int(waiting[0])
        covered = (iou_with(corners[0], float(size[0]), corners, size) > iou) & (labels == labels[0])
        covered[0] = True
        owner[waiting[covered]] = pick
        kept.append(pick)
        stay = ~covered
        waiting, corners, labels, size = waiting[stay], corners[stay], labels[stay], size[stay]
    return np.asarray(kept, np.int64), owner


def _standard(before: Boxes, nms: Nms, limit: int) -> Boxes:
    """Greedy NMS within each class."""
    return before.take(clusters(before.boxes, before.labels, before.scores, nms.iou, limit)[0])


def _agnostic(before: Boxes, nms: Nms, limit: int) -> Boxes:
    """Greedy NMS across classes."""
    return before.take(clusters(before.boxes, np.zeros_like(before.labels), before.scores, nms.iou, limit)[0])


def _iou_guided(before: Boxes, nms: Nms, limit: int) -> Boxes:
    """IoU-Net's NMS: ranked by the predicted IoU alone; a kept box takes its cluster's best class score."""
    kept, owner = clusters(before.boxes, before.labels, before.quality_scores, nms.iou, len(before))
    best = cluster_best(before.cls_scores, owner)[kept]
    order = falling(best)[:limit]
    return replace(before.take(kept[order]), scores=best[order], cls_scores=best[order])


def cluster_best(values: AnyFloats, owner: Ints) -> AnyFloats:
    """For each box [N] the largest value among the boxes that it owns (-inf for one that owns none)."""
    best = np.full(len(values), -np.inf, values.dtype)
    owned = owner >= 0
    np.maximum.at(best, owner[owned], values[owned])
    return best


def _soft(before: Boxes, nms: Nms, limit: int) -> Boxes:
    """Soft-NMS (Bodla et al., ICCV 2017): every pick lowers the scores of its class by exp(-IoU^2 / sigma)."""
    corners = before.boxes.astype(np.float64)
    labels, scores = before.labels, before.scores.astype(np.float64)
    size, waiting = areas(corners), np.arange(len(before))
    chosen, final = [], []
    for _ in range(min(limit, len(before))):
        pick = int(scores.argmax())
        chosen.append(int(waiting[pick]))
        final.append(float(scores[pick]))
        decay = np.exp(-np.square(iou_with(corners[pick], float(size[pick]), corners, size)) / nms.sigma)
        scores = np.where(labels == labels[pick], scores * decay, scores)
        stay = np.arange(len(waiting)) != pick
        waiting, corners, labels, scores, size = (
            waiting[stay],
            corners[stay],
            labels[stay],
            scores[stay],
            size[stay],
        )
    kept = before.take(np.asarray(chosen, np.int64))
    return replace(kept, scores=np.asarray(final).astype(before.scores.dtype))


def _none(before: Boxes, nms: Nms, limit: int) -> Boxes:
    """No suppression: the best boxes as they are (one-to-one methods)."""
    return before.take(falling(before.scores)[:limit])


_FLAVOURS: dict[NmsKind, Callable[[Boxes, Nms, int], Boxes]] = {
    "standard": _standard,
    "agnostic": _agnostic,
    "soft": _soft,
    "iou_guided": _iou_guided,
    "none": _none,
}
