"""From predictions to detections: ranking score, floor, per-class NMS, the best of an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from assignbench.boxes import clip
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


def suppress(candidates: Candidates, iou: float, limit: int) -> Candidates:
    """Greedy per-class NMS at an IoU; the `limit` best survivors."""
    keep = batched_nms(candidates.boxes, candidates.scores, candidates.labels, iou)
    return candidates[keep[:limit]]
