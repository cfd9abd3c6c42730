"""Max-IoU matching, the static criterion that the five papers start from (Faster R-CNN, SSD, RetinaNet)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner, CountOrNone, Share
from assignbench.config.method import CoderConfig, HeadInit, Needs, Nms, Part, Preset, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import prior_iou, sample_balanced

LowQuality = Literal["ssd", "mmdet", "torchvision", "none"]


@ASSIGNERS.register("max_iou")
@dataclass(frozen=True)
class MaxIoU(Assigner):
    """Every prior goes to the object that it overlaps most: positive from `positive` IoU on, negative below `negative`.

    Invariant: a prior has at most one object; an object may have none. Both tasks get the same targets.

    `low_quality` says how an object keeps a prior that is under the threshold, named after the framework:
    `ssd` its first best prior, overwritten in object order (also Mutual Guidance's static baseline);
    `mmdet` every prior that ties at the object's best IoU, if that reaches `min_iou`, a later object overwrites;
    `torchvision` (and detectron2) the same priors, but each stays with its own best object; `none`.
    `zero_overlap` says what an object that touches no prior gets: `skip` nothing; `force` what the framework does
    (SSD: prior 0; mmdet: every prior that does not touch it).

    `sample` > 0 draws so many priors per image, half of them positive where there are enough, and ignores the rest
    (RPN: 256). The diagnostics `max_iou` are each prior's best IoU.

    Differs from mmdet and SSD in the default of `zero_overlap`, and from RetinaNet's text, which forces no prior, in
    that of `low_quality`. The sources of its rules stand in docs/decisions.md (S1-S3); SSD's is its section 2.2.

    >>> from assignbench.examples import three_anchors
    >>> MaxIoU()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    positive: Share = 0.5
    negative: Share = 0.4
    low_quality: LowQuality = "ssd"
    min_iou: Share = 0.0
    zero_overlap: Literal["skip", "force"] = "skip"
    sample: CountOrNone = 0

    def __post_init__(self) -> None:
        if not 0 < self.negative <= self.positive <= 1:
            raise ValueError(f"needs 0 < negative <= positive <= 1, got {self.negative} and {self.positive}")

    @property
    def needs(self) -> Needs:
        """Drawing priors is RPN's way, which knows one class."""
        if not self.sample:
            return Needs()
        return Needs(
            one_class=True, why="drawing priors (`sample`) is for class-agnostic detectors; take rpn, or set sample: 0"
        )

    @property
    def idle(self) -> dict[str, str]:
        found = {}
        if self.low_quality == "none":
            found = dict.fromkeys(("min_iou", "zero_overlap"), "no prior is forced; set low_quality: ssd")
        return found

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        iou = prior_iou(priors, objects)
        index, _ = self.match(iou, objects.valid)
        if self.sample:
            kept = sample_balanced(index, index >= 0, self.sample, context, objects, priors)
            index = index.masked_fill(~kept, IGNORE)
        targets = Targets.hard(index)
        return Assignment(targets, targets, prior_diagnostics={"max_iou": iou.amax(dim=1)})

    def match(self, iou: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Index [B, A] and which priors were forced [B, A], from IoU [B, G, A] and valid [B, G]; G may be 0."""
        if not iou.shape[1]:
            iou, valid = iou.new_zeros(iou.shape[0], 1, iou.shape[2]), valid.new_zeros(iou.shape[0], 1)
        best, owner = iou.max(dim=1)
        index = torch.where(best >= self.positive, owner, BACKGROUND)
        index = index.masked_fill((best < self.positive) & (best >= self.negative), IGNORE)
        if self.low_quality == "none":
            return index, torch.zeros_like(index, dtype=torch.bool)
        peak = iou.amax(dim=2)
        eligible = valid & (peak >= self.min_iou)
        if self.zero_overlap == "skip":
            eligible = eligible & (peak > 0)
        if self.low_quality == "ssd":
            prior = iou.max(dim=2).indices
            rows = torch.arange(iou.shape[1], device=iou.device).expand_as(prior).masked_fill(~eligible, -1)
            forced = torch.full_like(index, -1).scatter_reduce_(1, prior, rows, "amax")
            return torch.where(forced >= 0, forced, index), forced >= 0
        # Numbers from 1 of the objects whose best IoU a prior reaches, the largest of them: a later object overwrites.
        numbers = torch.arange(1, iou.shape[1] + 1, device=iou.device, dtype=iou.dtype).unsqueeze(-1)
        sought = peak.masked_fill(~eligible, float("inf")).unsqueeze(-1)
        last = torch.where(iou == sought, numbers, 0.0).amax(dim=1)
        some = last > 0
        return torch.where(some, owner if self.low_quality == "torchvision" else last.long() - 1, index), some


PRESETS: tuple[Preset, ...] = (
    preset(
        "iou",
        "max_iou",
        "the light baseline: static IoU matching 0.5/0.4 by SSD's rule, focal loss and GIoU x 2, NMS .5",
        source="ours",
    ),
    preset(
        "iou_mmdet",
        Part(name="max_iou", parameters={"low_quality": "mmdet"}),
        "static IoU matching 0.5/0.4, all priors at an object's best IoU forced, later objects overwrite",
        baseline="iou",
        source="framework",
    ),
    preset(
        "iou_torchvision",
        Part(name="max_iou", parameters={"low_quality": "torchvision"}),
        "static IoU matching 0.5/0.4, best priors positive for their own best object",
        baseline="iou",
        source="framework",
    ),
    preset(
        "retinanet",
        Part(name="max_iou", parameters={"low_quality": "torchvision"}),
        "RetinaNet by its authors' code: static IoU matching 0.5/0.4, best priors forced (its text forces none), focal "
        "loss, smooth L1 of beta .11 over four coordinates, NMS .5. No baseline: it is one",
        source="released",
        criterion=Part(
            name="dense",
            parameters={"box": "smooth_l1", "box_beta": 0.11, "box_weight": 1.0, "box_coordinates": "sum"},
        ),
        coder=CoderConfig(stds=(1.0, 1.0)),
    ),
    preset(
        "rpn",
        Part(
            name="max_iou",
            parameters={"positive": 0.7, "negative": 0.3, "low_quality": "torchvision", "sample": 256},
        ),
        "RPN: IoU 0.7/0.3, best priors forced, 256 drawn 1:1, losses over the drawn; for class-agnostic detectors. "
        "No baseline: it is one",
        source="framework",
        criterion=Part(
            name="dense",
            parameters={
                "cls": "bce",
                "box": "smooth_l1",
                "box_beta": 1 / 9,
                "box_weight": 1.0,
                "box_coordinates": "sum",
                "count": "drawn",
            },
        ),
        nms=Nms(iou=0.7),
        head_init=HeadInit(prior_prob=0.5),  # half of what is drawn is positive, so that scores start undecided
        coder=CoderConfig(stds=(1.0, 1.0)),
    ),
)
