"""From a network's outputs to the boxes that enter NMS: ranking scores and arrays in pixels of the original image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from assignbench.boxes import clip
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig, Ranking
from assignbench.contract import Predictions
from assignbench.measure.nms import Boxes, select_before
from assignbench.priors import Priors

RANKINGS: dict[Ranking, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda cls, quality: cls,
    "quality": lambda cls, quality: quality,
    "cls*quality": lambda cls, quality: cls * quality,
    "sqrt(cls*quality)": lambda cls, quality: (cls * quality).sqrt(),
}


def ranking_scores(predictions: Predictions, ranking: Ranking) -> tuple[Tensor, Tensor, Tensor]:
    """Ranking, class and quality scores, each [B, A, C] (quality expanded; 1 without a quality head)."""
    cls = predictions.cls_logits.sigmoid()
    if predictions.quality_logits is None:
        quality = torch.ones_like(cls)
    else:
        quality = predictions.quality_logits.sigmoid().unsqueeze(-1).expand_as(cls)
    return RANKINGS[ranking](cls, quality), cls, quality


def boxes_before_nms(
    predictions: Predictions,
    priors: Priors,
    method: MethodConfig,
    evaluation: Evaluation,
    sizes: Sequence[tuple[int, int]],
    scale: Tensor,
) -> list[Boxes]:
    """Per image what enters NMS, best first: clipped to `sizes`, the (height, width) of each of the network's images
    without padding, then times `scale` [B, 2] (x, y).

    The score floor acts on the class score or the ranking score as the method says, and the best `pre_nms` pairs of
    prior and class stay, of the image or of every level. Boxes that clipping leaves without area are dropped.
    """
    ranking, cls, quality = (s.numpy() for s in ranking_scores(predictions, method.ranking))
    floored = {"cls": cls, "ranking": ranking}[method.floor_on]
    height, width = torch.tensor(sizes, dtype=torch.float32).view(-1, 2, 1).unbind(1)
    corners = clip(predictions.boxes.float(), height, width)
    area = ((corners[..., 2:] - corners[..., :2]) > 0).all(dim=-1).numpy()
    original = (corners * scale.repeat(1, 2).unsqueeze(1)).numpy()
    levels = {"image": None, "level": priors.levels().numpy()}[evaluation.pre_nms_per]
    found = []
    for i in range(len(original)):
        chosen = select_before(ranking[i], floored[i], evaluation.floor, evaluation.pre_nms, levels)
        prior, label = np.divmod(chosen, cls.shape[-1])
        place = (i, prior, label)
        before = Boxes(original[i][prior], label, ranking[place], cls[place], quality[place], prior)
        found.append(before.take(area[i][prior]))
    return found
