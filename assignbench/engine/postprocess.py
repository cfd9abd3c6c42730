"""From predictions to detections: ranking score, floor, per-class NMS, the best of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from assignbench.boxes import clip, pairwise_iou
from assignbench.contract import Predictions


@dataclass(frozen=True)
class Candidates:
    """Boxes of one image before or after NMS, best first: all [N], boxes [N, 4] in network px."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    cls_scores: Tensor
    quality_scores: Tensor
    priors: Tensor

    def __getitem__(self, keep: Tensor) -> Candidates:
        return Candidates(
            self.boxes[keep],
            self.labels[keep],
            self.scores[keep],
            self.cls_scores[keep],
            self.quality_scores[keep],
            self.priors[keep],
        )


def ranking_scores(predictions: Predictions, ranking: str) -> tuple[Tensor, Tensor, Tensor]:
    """Ranking, class and quality scores, each [B, A, C] (quality expanded; 1 without a quality head)."""
    cls = predictions.cls_logits.sigmoid()
    if predictions.quality_logits is None:
        quality = torch.ones_like(cls)
    else:
        quality = predictions.quality_logits.sigmoid().unsqueeze(-1).expand_as(cls)
    if ranking == "cls*quality":
        return cls * quality, cls, quality
    if ranking == "sqrt(cls*quality)":
        return (cls * quality).sqrt(), cls, quality
    return (quality if ranking == "quality" else cls), cls, quality


def candidates_of(
    predictions: Predictions, ranking: str, image_hw: tuple[int, int], floor: float, limit: int
) -> list[Candidates]:
    """Per image the at most `limit` best (prior, class) pairs whose class score exceeds `floor`, boxes clipped."""
    scores, cls, quality = ranking_scores(predictions, ranking)
    boxes = clip(predictions.boxes.float(), *image_hw)
    num_classes = cls.shape[-1]
    found = []
    for i in range(len(boxes)):
        above = torch.nonzero(cls[i].flatten() > floor).squeeze(1)
        order = scores[i].flatten()[above].sort(descending=True, stable=True).indices[:limit]
        chosen = above[order]
        prior, label = chosen // num_classes, chosen % num_classes
        pick = Candidates(
            boxes[i][prior],
            label,
            scores[i].flatten()[chosen],
            cls[i].flatten()[chosen],
            quality[i].flatten()[chosen],
            prior,
        )
        sides = pick.boxes[:, 2:] - pick.boxes[:, :2]
        found.append(pick[(sides > 0).all(dim=1)])
    return found


def suppress(candidates: Candidates, iou: float, limit: int, kind: str = "standard") -> Candidates:
    """The `limit` best boxes that survive NMS at an IoU.

    `kind`: "standard" per class, "agnostic" across classes, "soft" (Gaussian decay of sigma 0.5 per class; `iou` is not
    used), "iou_guided" (IoU-Net: ranked by the predicted IoU alone; a kept box takes the highest class score of what
    it suppressed, and its own ranking becomes that score).
    """
    if not len(candidates.scores):
        return candidates
    if kind == "soft":
        return _soft(candidates, limit)
    labels = torch.zeros_like(candidates.labels) if kind == "agnostic" else candidates.labels
    ranking = candidates.quality_scores if kind == "iou_guided" else candidates.scores
    keep = batched_nms(candidates.boxes, ranking, labels, iou)
    if kind != "iou_guided":
        return candidates[keep[:limit]]
    best = _cluster_scores(candidates, keep, iou)
    kept = replace(candidates[keep], scores=best, cls_scores=best)
    return kept[best.sort(descending=True, stable=True).indices[:limit]]


def _cluster_scores(candidates: Candidates, keep: Tensor, iou: float) -> Tensor:
    """Highest class score among a kept box and those that it suppressed [K]."""
    overlap = pairwise_iou(candidates.boxes[keep], candidates.boxes)
    same = candidates.labels[keep].unsqueeze(1) == candidates.labels.unsqueeze(0)
    mine = (overlap > iou) & same
    mine[torch.arange(len(keep)), keep] = True
    first = mine.byte().argmax(dim=0)  # the first kept box, by rank, that covers a candidate
    own = mine & (first.unsqueeze(0) == torch.arange(len(keep)).unsqueeze(1))
    own[torch.arange(len(keep)), keep] = True
    return (own * candidates.cls_scores.unsqueeze(0)).amax(dim=1)


def _soft(candidates: Candidates, limit: int, sigma: float = 0.5) -> Candidates:
    """Soft-NMS (Bodla et al., ICCV 2017): every pick lowers the scores of its class by exp(-IoU^2 / sigma)."""
    scores = candidates.scores.clone()
    waiting = torch.ones_like(scores, dtype=torch.bool)
    overlap = pairwise_iou(candidates.boxes, candidates.boxes)
    decay = torch.exp(-overlap.square() / sigma)
    decay = torch.where(candidates.labels.unsqueeze(1) == candidates.labels.unsqueeze(0), decay, 1.0)
    order = []
    for _ in range(min(limit, len(scores))):
        pick = int(scores.masked_fill(~waiting, -1.0).argmax())
        order.append(pick)
        waiting[pick] = False
        scores = torch.where(waiting, scores * decay[pick], scores)
    chosen = torch.tensor(order)
    return replace(candidates[chosen], scores=scores[chosen])


def vote(kept: Candidates, candidates: Candidates, sigma: float, *, by_score: bool = True) -> Candidates:
    """PAA's score voting, Eqs. (9)-(10): each kept box becomes the weighted mean of its class's candidates around it.

    The weight is exp(-(1 - IoU)^2 / sigma), times the candidate's score if `by_score`; candidates below an IoU of 0.01
    do not count; scores stay. (The paper prints sigma 0.0025; its code and mmdet use 0.025.)
    """
    overlap = pairwise_iou(kept.boxes, candidates.boxes)
    near = (overlap > 0.01) & (kept.labels.unsqueeze(1) == candidates.labels.unsqueeze(0))
    weight = torch.exp(-(1 - overlap).square() / sigma) * near
    if by_score:
        weight = weight * candidates.scores
    total = weight.sum(dim=1, keepdim=True)
    boxes = torch.where(total > 0, weight @ candidates.boxes / total.clamp(min=1e-12), kept.boxes)
    return replace(kept, boxes=boxes)
