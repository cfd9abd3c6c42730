"""Controls that a new rule has to beat: the right number of positives at random, and the current box alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from assignbench.assigners.base import ASSIGNERS, Assigner, Share
from assignbench.assigners.max_iou import MaxIoU
from assignbench.config.method import Preset, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import (
    best_over_objects,
    hashed_uniform,
    positives_per_object,
    predicted_iou,
    prior_iou,
    top_mask,
)


@ASSIGNERS.register("random_matched")
@dataclass(frozen=True)
class RandomMatched(Assigner):
    """As many positives per object as max-IoU gives it, drawn among the priors that overlap it by `overlap` or more.

    Invariant: a prior has at most one object; an object may have fewer than wanted, or none. What max-IoU gives or
    ignores and was not drawn is ignored, so that the control differs in which priors are positive alone. Draws depend
    on (seed, epoch, image).

    >>> from assignbench.examples import three_anchors
    >>> RandomMatched()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    overlap: Share = 0.1
    positive: Share = 0.5
    negative: Share = 0.4

    def __post_init__(self) -> None:
        MaxIoU(self.positive, self.negative)  # refuses thresholds out of order

    @property
    def exempt_from(self) -> tuple[str, ...]:
        """Lots are drawn per object's place and per prior."""
        return ("order_of_objects", "ties_go_to_the_lowest_index")

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        static, _ = MaxIoU(self.positive, self.negative).match(prior_iou(priors, objects), objects.valid)
        wanted = positives_per_object(static, objects.labels.shape[1])

        def lot(start: int, part: Objects) -> torch.Tensor:
            eligible = prior_iou(priors, part) >= self.overlap
            own = slice(start, start + part.labels.shape[1])
            luck = hashed_uniform(context, part, priors, salt=29, first=start).masked_fill(~eligible, -1.0)
            chosen = top_mask(luck, wanted[:, own].minimum(eligible.sum(-1)))
            return luck.masked_fill(~chosen, -float("inf"))

        _, index = best_over_objects(objects, len(priors), lot)
        index = torch.where((index < 0) & (static != BACKGROUND), IGNORE, index)
        box = Targets.hard(index.masked_fill(index == IGNORE, BACKGROUND))
        return Assignment(Targets.hard(index), box)


@ASSIGNERS.register("oracle_iou")
@dataclass(frozen=True)
class OracleIoU(Assigner):
    """As many positives per object as max-IoU gives it: those whose current prediction overlaps it most.

    Invariant: a prior has at most one object (the one its prediction overlaps more); an object may have none.

    >>> from assignbench.examples import three_anchors
    >>> OracleIoU()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    positive: Share = 0.5
    negative: Share = 0.4

    def __post_init__(self) -> None:
        MaxIoU(self.positive, self.negative)  # refuses thresholds out of order

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        static, _ = MaxIoU(self.positive, self.negative).match(prior_iou(priors, objects), objects.valid)
        wanted = positives_per_object(static, objects.labels.shape[1])

        def overlap(start: int, part: Objects) -> torch.Tensor:
            now = predicted_iou(priors, predictions, part)
            own = slice(start, start + part.labels.shape[1])
            chosen = top_mask(now, wanted[:, own].minimum((now > 0).sum(-1)))
            return now.masked_fill(~chosen, -float("inf"))

        _, index = best_over_objects(objects, len(priors), overlap)
        targets = Targets.hard(index)
        return Assignment(targets, targets)


PRESETS: tuple[Preset, ...] = (
    preset(
        "random_matched",
        "random_matched",
        "control: as many positives per object as iou, drawn",
        baseline="iou",
        source="ours",
    ),
    preset(
        "oracle_iou",
        "oracle_iou",
        "control: positives by the IoU of the current prediction alone",
        baseline="iou",
        source="ours",
    ),
)
