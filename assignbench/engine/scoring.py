"""From a network's outputs to the boxes that enter NMS: ranking scores, floors, limits, pixels of the original image.

A detector of 200,000 priors and 80 classes says 16 million numbers per image, of which a few thousand lie above the
floor. So logits are compared with the floor first, and only what can be above it is turned into scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from assignbench.boxes import clip
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig, Ranking
from assignbench.contract import Predictions
from assignbench.engine.scored import Scored, falling
from assignbench.priors import Priors

RANKINGS: dict[Ranking, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda cls, quality: cls,
    "quality": lambda cls, quality: quality,
    "cls*quality": lambda cls, quality: cls * quality,
    "sqrt(cls*quality)": lambda cls, quality: (cls * quality).sqrt(),
}
# The class score that a ranking score of this value needs at least, whatever the quality.
_NEEDED: dict[Ranking, Callable[[float], float]] = {
    "cls": lambda score: score,
    "quality": lambda score: 0.0,
    "cls*quality": lambda score: score,
    "sqrt(cls*quality)": lambda score: score * score,
}
# Far beyond what rounding moves a sigmoid by: scores themselves are compared with the floor afterwards.
_MARGIN, _HIGHEST = 1e-3, 0.999


def ranking_scores(
    cls_logits: Tensor, quality_logits: Tensor | None, ranking: Ranking
) -> tuple[Tensor, Tensor, Tensor]:
    """Ranking, class and quality scores of logits [...]; the quality is 1 without a quality head."""
    cls = cls_logits.float().sigmoid()
    quality = torch.ones_like(cls) if quality_logits is None else quality_logits.float().sigmoid()
    return RANKINGS[ranking](cls, quality), cls, quality


def boxes_before_nms(
    predictions: Predictions,
    priors: Priors,
    method: MethodConfig,
    evaluation: Evaluation,
    sizes: Sequence[tuple[int, int]],
    scale: Tensor,
) -> Scored:
    """What enters NMS, best first: clipped to the image inside the padding, then times `scale` [B, 2] (x, y).

    `sizes` are (height, width) of the images in network px. The score floor acts on the class score or the ranking
    score as the method says, and the best `pre_nms` pairs of prior and class stay, of the image or of every level.
    Boxes that clipping leaves without area are dropped. Test images of a batch have the same padding, so that no prior
    is masked; ValueError for one that is.
    """
    if priors.valid is not None:
        raise ValueError("images of different padded sizes share a batch; score them apart")
    device = predictions.boxes.device
    limits = {"image": (len(priors),), "level": priors.level_sizes}[evaluation.pre_nms_per]
    found = []
    for i, (height, width) in enumerate(sizes):
        quality_logits = None if predictions.quality_logits is None else predictions.quality_logits[i]
        pair, *scores = above_floor(predictions.cls_logits[i], quality_logits, method, evaluation.floor)
        ranking, cls, quality = scores
        classes = predictions.cls_logits.shape[-1]
        chosen = _best_of_parts(ranking, pair // classes, limits, evaluation.pre_nms)
        prior, label = pair[chosen] // classes, pair[chosen] % classes
        corners = clip(predictions.boxes[i][prior].float(), *torch.tensor([height, width], device=device).float())
        image = Scored(
            boxes=corners * scale[i].to(device).repeat(2),
            labels=label,
            scores=ranking[chosen],
            cls_scores=cls[chosen],
            quality_scores=quality[chosen],
            priors=prior,
            valid=torch.ones_like(label, dtype=torch.bool),
        )
        found.append(image.where((corners[:, 2:] > corners[:, :2]).all(dim=-1)))
    return Scored.pad(found)


def above_floor(
    cls_logits: Tensor, quality_logits: Tensor | None, method: MethodConfig, floor: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pairs of prior and class of one image whose score lies above the floor, from logits [A, C] and [A].

    Rising indices [K] of the pairs (prior * C + class), and their ranking, class and quality scores [K].
    """
    needed = floor if method.floor_on == "cls" else _NEEDED[method.ranking](floor)
    bound = _logit(min(needed, _HIGHEST)) - _MARGIN
    pair = torch.nonzero((cls_logits > bound).flatten()).squeeze(1)
    asked = None if quality_logits is None else quality_logits[pair // cls_logits.shape[1]]
    ranking, cls, quality = ranking_scores(cls_logits.flatten()[pair], asked, method.ranking)
    above = {"cls": cls, "ranking": ranking}[method.floor_on] > floor
    return pair[above], ranking[above], cls[above], quality[above]


def _logit(score: float) -> float:
    return math.log(score / (1 - score)) if score > 0 else -math.inf


def _best_of_parts(ranking: Tensor, prior: Tensor, parts: Sequence[int], count: int) -> Tensor:
    """Places of the `count` best of every part of the priors, best of all first; lowest place first among equals.

    `prior` [K] rises, `parts` are numbers of priors that follow each other.
    """
    ends = torch.tensor(parts, device=prior.device).cumsum(0)
    sizes = torch.searchsorted(prior, ends).diff(prepend=ends.new_zeros(1)).tolist()
    start, kept = 0, []
    for size in sizes:
        kept.append(start + _best(ranking[start : start + size], count))
        start += size
    if len(kept) == 1:
        return kept[0]
    chosen = torch.cat(kept).sort().values
    return chosen[falling(ranking[chosen])]


def _best(scores: Tensor, count: int) -> Tensor:
    """Places of the `count` largest scores [K], best first. Only those that can be among them are sorted."""
    if len(scores) <= count:
        return falling(scores)
    able = torch.nonzero(scores >= scores.topk(count, sorted=False).values.min()).squeeze(1)
    return able[falling(scores[able])][:count]
