"""NMS and box voting on the device that predicted, for all images of a batch at once.

The rules are those of `measure.nms`, box by box and to the last bit of every overlap: that one replays a cell's NMS in
numpy for the analyses, which know no torch, and tests hold the two equal. Equal scores are broken by the lowest index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assignbench.boxes import pairwise_iou
from assignbench.config.method import Nms, NmsKind, Voting
from assignbench.engine.scored import NOTHING, Scored, falling, leading, most_of
from assignbench.sending import fetched, near

VOTING_IOU = 0.01  # boxes that overlap less than this have no vote
BLOCK = 256  # boxes of an image that are settled at once
ROUNDS = 16  # picks of soft NMS between two looks at whether anything is left, each of which waits for the device
UNSEEN = 7  # rounds of settling a block between two such looks, where looking means waiting
VOTES = 4_000_000  # pairs of boxes that vote at once


def thin_out(before: Scored, nms: Nms, limit: int) -> Scored:
    """The at most `limit` detections that NMS leaves of the boxes of each image, best first, with final scores."""
    return _FLAVOURS[nms.kind](before, nms, limit)


def vote(kept: Scored, before: Scored, voting: Voting) -> Scored:
    """Box voting: each kept box becomes a weighted mean of its class's boxes around it.

    The weight of a box before NMS is exp(-(1 - IoU)^2 / sigma), times its own ranking score if the voting is by score;
    boxes with an IoU of 0.01 or less have no vote. Scores stay as they are.
    """
    batch, width = before.scores.shape
    if not kept.scores.shape[1]:
        return kept
    around = before.boxes.double()
    votes = _VOTES[voting.by](before).double().masked_fill(~before.valid, 0.0).unsqueeze(1)
    parts = []
    step = max(1, VOTES // (batch * width))
    for start in range(0, kept.scores.shape[1], step):
        some, labels = kept.boxes[:, start : start + step], kept.labels[:, start : start + step]
        overlap = pairwise_iou(some.double(), around)
        near = (overlap > VOTING_IOU) & (labels.unsqueeze(2) == before.labels.unsqueeze(1))
        weight = (-(1 - overlap).square() / voting.sigma).exp() * near * votes
        total = weight.sum(dim=-1, keepdim=True)
        parts.append(torch.where(total > 0, (weight @ around) / total, some.double()))
    return replace(kept, boxes=torch.cat(parts, dim=1).to(kept.boxes.dtype))


_VOTES: dict[str, Callable[[Scored], Tensor]] = {
    "score": lambda before: before.scores,
    "closeness": lambda before: torch.ones_like(before.scores),
}


@dataclass(frozen=True)
class _Settled:
    """A block of boxes [B, n], best first: which are kept, and who can take them.

    `takers` [B, K] are the places of all boxes kept before and of the block's own, by rank; `covered` [B, K, n] says
    which kept one of them overlaps which box of the block.
    """

    boxes: Tensor
    kept: Tensor
    takers: Tensor
    covered: Tensor


def _settled(before: Scored, labels: Tensor, rank: Tensor, iou: float, limit: int) -> Iterator[_Settled]:
    """Greedy NMS within each label, block by block, until `limit` boxes of each image are kept.

    A box is kept unless one that was kept before it overlaps it by more than `iou`. Only the best boxes are ever
    looked at, and of those no one after the other: see `_unbeaten`.
    """
    order = falling(rank)
    corners = before.boxes.double()
    ends = before.valid.sum(dim=1)
    taken, there = order[:, :0], order[:, :0].bool()
    count = torch.zeros_like(ends)
    for start in range(0, order.shape[1], BLOCK):
        boxes = order[:, start : start + BLOCK]
        stop = start + boxes.shape[1]
        own = _covers(corners, labels, boxes, boxes, iou).triu(1)
        earlier = _covers(corners, labels, taken, boxes, iou) & there.unsqueeze(2)
        kept = _unbeaten(before.valid.gather(1, boxes) & ~earlier.any(dim=1), own)
        yield _Settled(boxes, kept, torch.cat([taken, boxes], 1), torch.cat([earlier, own & kept.unsqueeze(2)], 1))
        count = count + kept.sum(dim=1)
        most, done = _read(kept.sum(dim=1).amax(), ((count >= limit) | (ends <= stop)).all())
        if done:
            return
        first = leading(kept, most)
        taken, there = torch.cat([taken, boxes.gather(1, first)], 1), torch.cat([there, kept.gather(1, first)], 1)


def _read(*numbers: Tensor) -> list[int]:
    """What the host is told of numbers [], which it waits for once."""
    return [int(n) for n in fetched([torch.stack([n.long() for n in numbers])])[0].tolist()]


def _first(kept: Tensor) -> Tensor:
    """Places [B, most] of the kept boxes [B, n] of each image, in order; then of others, where it has fewer."""
    return leading(kept, most_of(kept))


def _covers(corners: Tensor, labels: Tensor, first: Tensor, second: Tensor, iou: float) -> Tensor:
    """Whether boxes at places [B, K] overlap those of their label at places [B, n] by more than `iou` [B, K, n]."""
    a, b = (corners.gather(1, place.unsqueeze(-1).expand(-1, -1, 4)) for place in (first, second))
    return (pairwise_iou(a, b) > iou) & (labels.gather(1, first).unsqueeze(2) == labels.gather(1, second).unsqueeze(1))


def _unbeaten(free: Tensor, covers: Tensor) -> Tensor:
    """Which of the boxes [B, n], best first, the greedy rule keeps: those that are `free` and that no kept one covers.

    Whether a box is kept depends on the boxes before it alone. So what is kept, worked out from any guess, is right for
    one more box each time, and for all of them when it does not change any more.
    """
    kept = free
    while True:
        for _ in range(0 if near(kept) else UNSEEN):
            kept = free & ~(kept.unsqueeze(2) & covers).any(dim=1)
        again = free & ~(kept.unsqueeze(2) & covers).any(dim=1)
        if torch.equal(again, kept):
            return kept
        kept = again


def _thinned(before: Scored, labels: Tensor, iou: float, limit: int) -> Scored:
    rank = before.ranked_by(before.scores)
    parts = [(s.boxes, s.kept) for s in _settled(before, labels, rank, iou, limit)]
    none = before.priors[:, :0].long()
    boxes, kept = torch.cat([none, *(p[0] for p in parts)], 1), torch.cat([none.bool(), *(p[1] for p in parts)], 1)
    first = _first(kept)[:, :limit]
    return before.take(boxes.gather(1, first), kept.gather(1, first))


def _standard(before: Scored, nms: Nms, limit: int) -> Scored:
    """Greedy NMS within each class."""
    return _thinned(before, before.labels, nms.iou, limit)


def _agnostic(before: Scored, nms: Nms, limit: int) -> Scored:
    """Greedy NMS across classes."""
    return _thinned(before, torch.zeros_like(before.labels), nms.iou, limit)


def _iou_guided(before: Scored, nms: Nms, limit: int) -> Scored:
    """IoU-Net's NMS: ranked by the predicted IoU alone; a kept box takes its cluster's best class score.

    A box belongs to the cluster of the first kept box that covers it. Equal best scores: the better predicted IoU.
    """
    rank = before.ranked_by(before.quality_scores)
    best = before.cls_scores.clone()
    kept = torch.zeros_like(before.valid)
    for part in _settled(before, before.labels, rank, nms.iou, rank.shape[1]):
        kept.scatter_(1, part.boxes, part.kept)
        owner = part.takers.gather(1, part.covered.byte().argmax(dim=1))
        given = before.cls_scores.gather(1, part.boxes).masked_fill(~part.covered.any(dim=1), NOTHING)
        best.scatter_reduce_(1, owner, given, "amax")
    scored = replace(before, scores=best, cls_scores=best, valid=kept)
    order = falling(rank)
    order = order.gather(1, _first(kept.gather(1, order)))
    return _none(scored.take(order, kept.gather(1, order)), nms, limit)


@dataclass(frozen=True)
class _Corners:
    """Left, top, right and bottom [4, B, N] and area [B, N] of boxes, in float64."""

    sides: Tensor
    area: Tensor

    @staticmethod
    def of(boxes: Tensor) -> _Corners:
        sides = boxes.double().permute(2, 0, 1).contiguous()
        return _Corners(sides, (sides[2] - sides[0]).clamp(min=0) * (sides[3] - sides[1]).clamp(min=0))

    def iou_with(self, pick: Tensor) -> Tensor:
        """IoU [B, N] of all boxes with one of each image [B, 1]; 0 where both are empty."""
        left, top, right, bottom = self.sides
        left_, top_, right_, bottom_ = self.sides.gather(2, pick.expand(4, -1, -1))
        width = right.minimum(right_).sub_(left.maximum(left_)).clamp_(min=0)
        height = bottom.minimum(bottom_).sub_(top.maximum(top_)).clamp_(min=0)
        shared = width.mul_(height)
        union = (self.area + self.area.gather(1, pick)).sub_(shared)
        return torch.where(union > 0, shared / union, 0.0)


def _soft(before: Scored, nms: Nms, limit: int) -> Scored:
    """Soft-NMS (Bodla et al., ICCV 2017): every pick lowers the scores of its class by exp(-IoU^2 / sigma)."""
    corners, scores = _Corners.of(before.boxes), before.ranked_by(before.scores.double())
    picks, final = [before.priors[:, :0].long()], [scores[:, :0]]
    for number in range(min(limit, scores.shape[1])):
        if number % ROUNDS == 0 and not bool((scores > NOTHING).any()):
            break
        best, pick = scores.max(dim=1, keepdim=True)
        picks.append(pick)
        final.append(best)
        decay = (-corners.iou_with(pick).square() / nms.sigma).exp()
        near = (before.labels == before.labels.gather(1, pick)) & (scores > NOTHING)
        scores = torch.where(near, scores * decay, scores).scatter_(1, pick, NOTHING)
    score = torch.cat(final, dim=1)
    kept = before.take(torch.cat(picks, dim=1), score > NOTHING)
    return replace(kept, scores=score.masked_fill(~kept.valid, 0.0).to(before.scores.dtype))


def _none(before: Scored, nms: Nms, limit: int) -> Scored:
    """No suppression: the best boxes as they are (one-to-one methods)."""
    order = falling(before.ranked_by(before.scores))[:, :limit]
    return before.take(order, torch.ones_like(order, dtype=torch.bool))


_FLAVOURS: dict[NmsKind, Callable[[Scored, Nms, int], Scored]] = {
    "standard": _standard,
    "agnostic": _agnostic,
    "soft": _soft,
    "iou_guided": _iou_guided,
    "none": _none,
}
