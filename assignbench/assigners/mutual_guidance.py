"""Mutual Guidance: "Localize to Classify and Classify to Localize" (Zhang et al., ACCV 2020), sections 3.1 and 3.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.assigners.max_iou import MaxIoU
from assignbench.boxes import pairwise_iou
from assignbench.config.method import Part, Preset, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import adopt_orphans, first_true, prior_iou, top_mask


def amplified_iou(iou: Tensor, scores: Tensor, sigma: float = 2.0) -> Tensor:
    """IoU_anchor ^ ((sigma - p) / sigma), element by element.  Eq. (1)

    >>> round(float(amplified_iou(torch.tensor(0.61), torch.tensor(0.85))), 2)
    0.75
    """
    return iou.pow((sigma - scores) / sigma)


@ASSIGNERS.register("mutual_guidance")
@dataclass(frozen=True)
class MutualGuidance(Assigner):
    """The box predictions label priors for classification, the class scores label them for the box.

    `classify` = "regressed" (Localize to Classify) or "static"; `localize` = "amplified" (Classify to Localize) or
    "static". Per object, Np and Ni are counted on the static IoU; the Np best by regressed IoU are positive and the
    next Ni ignored for classification, the Np best by amplified IoU are positive for the box.

    Invariant: per task, a prior has at most one object, and the two tasks may name different ones. An object may have
    none where a neighbour takes its best prior. `zero_overlap` says what an object that touches no prior gets:
    `skip` nothing, `force` prior 0 (the released code). Points are matched as 2s x 2s squares; that reading is ours.

    Differs from the paper as its released code does: each object's best prior counts as IoU 1 in all three measures,
    each prior counts only for its best object, thresholds are inclusive. Differs from the code: Np is clipped to the
    object's priors above zero (the authors' own later repair), and `zero_overlap` is `skip`.

    >>> from assignbench.examples import three_anchors
    >>> MutualGuidance()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    sigma: float = 2.0
    positive: float = 0.5
    negative: float = 0.4
    classify: Literal["regressed", "static"] = "regressed"
    localize: Literal["amplified", "static"] = "amplified"
    zero_overlap: Literal["skip", "force"] = "skip"
    orphan: Literal["keep", "best_prior"] = "keep"

    def __post_init__(self) -> None:
        if self.sigma < 1:
            raise ValueError(f"sigma must be at least 1 (Eq. 1 would shrink IoUs), got {self.sigma}")

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        iou = prior_iou(priors, objects)  # [B, G, A]
        static, _ = MaxIoU(self.positive, self.negative, zero_overlap=self.zero_overlap).match(iou, objects.valid)
        anchors = self._suppressed(iou, objects.valid)
        some = (anchors >= self.negative).sum(dim=-1)  # Np + Ni
        many = (anchors >= self.positive).sum(dim=-1)  # Np
        cls_index, box_index = static, static.masked_fill(static == IGNORE, BACKGROUND)
        if self.classify == "regressed":
            cls_index = self._localize_to_classify(predictions, objects, many, some, priors)
        if self.localize == "amplified":
            box_index = self._classify_to_localize(iou, predictions, objects, many)
        if self.orphan == "best_prior":
            cls_index = adopt_orphans(cls_index, priors, objects)
            box_index = adopt_orphans(box_index, priors, objects)
        counts = {"positives_wanted": many, "ignored_wanted": some - many}
        return Assignment(Targets.hard(cls_index), Targets.hard(box_index), diagnostics=counts)

    def _localize_to_classify(
        self, predictions: Predictions, objects: Objects, many: Tensor, some: Tensor, priors: Priors
    ) -> Tensor:
        regressed = pairwise_iou(objects.boxes, predictions.boxes) * objects.valid.unsqueeze(-1)
        if priors.valid is not None:
            regressed = regressed * priors.valid.unsqueeze(1)
        quality = self._suppressed(regressed, objects.valid)
        owner, positive = first_true(_best(quality, many))
        ignored = _best(quality, some).any(dim=1)
        index = torch.where(positive, owner, BACKGROUND)
        return index.masked_fill(ignored & ~positive, IGNORE)

    def _classify_to_localize(self, iou: Tensor, predictions: Predictions, objects: Objects, many: Tensor) -> Tensor:
        logits = predictions.cls_logits.transpose(1, 2)  # [B, C, A]
        rows = objects.labels.unsqueeze(-1).expand(-1, -1, logits.shape[-1])
        quality = self._suppressed(amplified_iou(iou, logits.gather(1, rows).sigmoid(), self.sigma), objects.valid)
        owner, positive = first_true(_best(quality, many))
        return torch.where(positive, owner, BACKGROUND)

    def _suppressed(self, quality: Tensor, valid: Tensor) -> Tensor:
        """Each object's best prior set to 1, then in each prior's column only the maximum kept (ties all stay)."""
        peak, prior = quality.max(dim=-1, keepdim=True)
        forced = valid.unsqueeze(-1)
        if self.zero_overlap == "skip":
            forced = forced & (peak > 0)
        quality = quality.scatter(-1, prior, torch.where(forced, 1.0, peak))
        return quality.masked_fill(quality < quality.amax(dim=1, keepdim=True), 0.0)


def _best(quality: Tensor, counts: Tensor) -> Tensor:
    """The `counts` best priors of every object among those that it kept (above zero)."""
    return top_mask(quality, counts.minimum((quality > 0).sum(dim=-1)))


PRESETS: tuple[Preset, ...] = (
    preset(
        "mutual_guidance",
        "mutual_guidance",
        "labels of each task from the other's predictions (Mutual Guidance)",
        criterion=Part(name="dense", parameters={"gamma": 1.0, "box": "balanced_l1", "box_weight": 1.0}),
    ),
    preset(
        "localize_to_classify",
        Part(name="mutual_guidance", parameters={"localize": "static"}),
        "Mutual Guidance, classification half only",
        criterion=Part(name="dense", parameters={"gamma": 1.0, "box": "balanced_l1", "box_weight": 1.0}),
    ),
    preset(
        "classify_to_localize",
        Part(name="mutual_guidance", parameters={"classify": "static"}),
        "Mutual Guidance, localization half only",
        criterion=Part(name="dense", parameters={"gamma": 1.0, "box": "balanced_l1", "box_weight": 1.0}),
    ),
)
