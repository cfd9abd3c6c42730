"""Scored boxes of a batch of images, padded to one width, on whatever device they were predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from assignbench.sending import fetched

NOTHING = float("-inf")  # what a place without a box is ranked by


@dataclass(frozen=True)
class Scored:
    """boxes [B, N, 4] in px of the original image · labels, scores, cls_scores, quality_scores, priors, valid [B, N].

    `scores` is what boxes are ranked by; after NMS it is the detection's final score. `priors` says which prior
    predicted the box. `valid` is False in the padding.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    cls_scores: Tensor
    quality_scores: Tensor
    priors: Tensor
    valid: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def pad(images: Sequence[Scored]) -> Scored:
        """A batch of the boxes of single images, whose tensors have no batch dimension."""
        columns = {f.name: [getattr(one, f.name) for one in images] for f in fields(Scored)}
        return Scored(**{name: pad_sequence(parts, batch_first=True) for name, parts in columns.items()})

    @staticmethod
    def joined(parts: Sequence[Scored]) -> Scored:
        """All boxes of an image, best first and the padding last; among equal scores those of the earlier part."""
        whole = Scored(**{f.name: torch.cat([getattr(one, f.name) for one in parts]) for f in fields(Scored)})
        return whole.where(falling(whole.ranked_by(whole.scores)))

    def row(self, place: int) -> Scored:
        """The boxes and the padding of one image of the batch, without a batch dimension."""
        return Scored(**{f.name: getattr(self, f.name)[place] for f in fields(Scored)})

    def image(self, place: int) -> Scored:
        """The boxes of one image of the batch, without a batch dimension. A GPU is waited for."""
        return self.row(place).where(self.valid[place])

    def where(self, chosen: Tensor) -> Scored:
        """The boxes of a single image under a mask [N], or at places."""
        return Scored(**{f.name: getattr(self, f.name)[chosen] for f in fields(Scored)})

    def ranked_by(self, scores: Tensor) -> Tensor:
        """Scores [B, N] with minus infinity in the padding; a copy, which the caller may change."""
        return scores.masked_fill(~self.valid, NOTHING)

    def take(self, index: Tensor, there: Tensor) -> Scored:
        """The boxes at the places `index` [B, K] of each image, in that order, where `there` [B, K] says so."""
        flat = {f.name: getattr(self, f.name).gather(1, index) for f in fields(Scored) if f.name != "boxes"}
        boxes = self.boxes.gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
        return Scored(boxes, **{**flat, "valid": flat["valid"] & there})

    def kept(self, wanted: Tensor) -> Scored:
        """The boxes where `wanted` [B, N], in order, padded to the most of an image. A GPU is waited for once."""
        there = wanted & self.valid
        first = leading(there, most_of(there))
        return self.take(first, there.gather(1, first))

    def rows(self, image_ids: Sequence[int], score: str) -> pd.DataFrame:
        """A table of the boxes, image by image, whose column `score` holds their scores. A GPU is waited for once."""
        names = [f.name for f in fields(Scored)]
        whole = dict(zip(names, (t.numpy() for t in fetched([getattr(self, n) for n in names])), strict=True))
        valid = whole.pop("valid")
        flat = {name: values[valid] for name, values in whole.items()}
        return pd.DataFrame(
            {
                "image_id": np.asarray(image_ids, np.int64)[np.nonzero(valid)[0]],
                "label": flat["labels"],
                score: flat["scores"],
                "cls_score": flat["cls_scores"],
                "quality_score": flat["quality_scores"],
                "prior": flat["priors"],
                **{n: flat["boxes"][:, i] for i, n in enumerate(("x1", "y1", "x2", "y2"))},
            }
        )


def falling(scores: Tensor) -> Tensor:
    """Indices [..., N] by falling score, the lowest index first among equals."""
    return scores.sort(dim=-1, descending=True, stable=True).indices


def most_of(mask: Tensor) -> int:
    """The most that a mask [B, N] holds of an image. A GPU is waited for."""
    return int(mask.sum(dim=1).max()) if mask.numel() else 0


def leading(mask: Tensor, count: int) -> Tensor:
    """Places [B, count] where a mask [B, N] holds for each image, rising; then others, where it does for fewer."""
    return mask.byte().sort(dim=1, descending=True, stable=True).indices[:, :count]
