"""MLC: "Modulating Localization and Classification for Harmonized Object Detection" (Zhang et al., ICME 2021), sections
3.1 and 3.2: mutual labeling (ML) and IoU rescoring (IUR).

Written from the paper; no code is public. What the paper leaves open is decided as docs/decisions.md says (D1-D12).
Equations: 4, 5, 6, 7, 8, 9, 10, 11
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Le
from pydantic import JsonValue
from torch import Tensor
from torch.nn import functional as F

from assignbench.assigners.base import ASSIGNERS, Assigner, Count, NonNegative, Positive, Share
from assignbench.assigners.criteria import (
    CRITERIA,
    BoxLoss,
    Criterion,
    box_losses,
    class_targets,
    idle_of_box,
    idle_of_focal,
)
from assignbench.assigners.fcos import FCOS
from assignbench.assigners.max_iou import MaxIoU
from assignbench.assigners.otsu import candidates_alone, exact_otsu, histogram_otsu, segment_spearman
from assignbench.config.method import AfterEpochs, CoderConfig, HeadInit, Needs, Nms, Part, Preset, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets, Term
from assignbench.losses import focal_sum
from assignbench.priors import Priors
from assignbench.select import boxes_of, labels_of, matched_iou, prior_iou, sample_balanced

Candidates = Literal["retina", "fcos", "fcos_levels", "rpn"]
Threshold = Annotated[float, Gt(0), Le(1)]

BEFORE = "before mutual labeling"  # the stage of training in which the baseline's labels hold and IUR rests
OTSU = {"exact": exact_otsu, "histogram": histogram_otsu}
# Positive from, ignored from, forced from: what `high`, `low` and `min_iou` are where a study does not give them.
STATIC_RULES: dict[str, tuple[float, float, float]] = {"retina": (0.5, 0.4, 0.0), "rpn": (0.7, 0.3, 0.3)}


@ASSIGNERS.register("mlc")
@dataclass(frozen=True)
class MutualLabeling(Assigner):
    """Candidates of an object are positive for a task if the other task does well on them, by Otsu's threshold.

    Invariant: a prior is a candidate of at most one object; per task it is positive for that object or background, and
    the two tasks may differ. A bag of one candidate, or of equal values, is positive as a whole (D3).

    `candidates`: "retina" (max-IoU from `low` on and the forced priors; those below `high` that were not forced were
    ignored before), "rpn" (the same with its own thresholds, and `sample` priors drawn per image, half of them
    positive), "fcos" (all points inside, smallest object), "fcos_levels" (within the level's range too). `high`, `low`
    and `min_iou` default to 0.5, 0.4 and 0 for "retina", to 0.7, 0.3 and 0.3 for "rpn"; the other two have none.

    Formerly ignored priors weigh |value - threshold|^`alpha`. `otsu` sweeps all cuts ("exact") or those between 256
    bins of [0, 1] ("histogram"). Before `start` (a share of training, or `{epochs: 12}`; the paper switches after epoch
    12, half of its 24) the plain labels of the baseline hold, and the criterion's IoU rescoring rests with them (D11).
    `mutual` = False keeps the baseline's labels throughout, for IoU rescoring alone.

    Diagnostics per object: `threshold_iou` and `threshold_score` (NaN where all candidates are positive), `spearman`
    (rank correlation of scores and IoUs over the candidates, NaN where there is none). Per image: `positives_cls`,
    `positives_box` and `positives_either`. Per prior: `candidate`, `ignored`, `iou`, `score`.

    Differs from the paper in nothing that it states of this rule; the presets' box loss on anchors is the toolbox's L1,
    where the paper has smooth L1. Left open there: the Otsu sweep, the threshold's place between two
    values, bags of one, forced priors, and everything about RPN's candidates.

    >>> from assignbench.examples import three_anchors
    >>> MutualLabeling()(*three_anchors()).box.index
    tensor([[-1,  0, -1]])
    """

    candidates: Candidates = "retina"
    alpha: NonNegative = 0.5
    high: Threshold | None = None
    low: Threshold | None = None
    min_iou: Share | None = None
    start: Share | AfterEpochs = 0.5
    mutual: bool = True
    otsu: Literal["exact", "histogram"] = "exact"
    extent: Positive = 8.0  # of FCOS's level ranges, for "fcos" and "fcos_levels"
    sample: Count = 256  # drawn per image, for "rpn"

    def __post_init__(self) -> None:
        given = [name for name in ("high", "low", "min_iou") if getattr(self, name) is not None]
        if given and self.candidates not in STATIC_RULES:
            raise ValueError(f"{given[0]} has no meaning for candidates '{self.candidates}'; leave it out")
        if self.candidates in STATIC_RULES:
            high, low, _ = self.thresholds
            if not low <= high:
                raise ValueError(f"needs low <= high, got {low} and {high}")

    @property
    def thresholds(self) -> tuple[float, float, float]:
        """Positive from, ignored from, forced from this IoU on; only for the candidates that IoU chooses."""
        high, low, least = STATIC_RULES[self.candidates]
        return (
            high if self.high is None else self.high,
            low if self.low is None else self.low,
            least if self.min_iou is None else self.min_iou,
        )

    @property
    def needs(self) -> Needs:
        """Points for FCOS's candidates, one class for RPN's."""
        if self.candidates == "rpn":
            return Needs(one_class=True, why="RPN proposes boxes without a class")
        if self.candidates in ("fcos", "fcos_levels"):
            return Needs(priors=("point",), why="FCOS's candidates are the points inside an object")
        return Needs()

    @property
    def idle(self) -> dict[str, str]:
        found = {}
        if self.candidates not in ("fcos", "fcos_levels"):
            found["extent"] = f"candidates '{self.candidates}' have no level ranges; set candidates: fcos"
        if self.candidates != "rpn":
            found["sample"] = f"candidates '{self.candidates}' are not drawn; set candidates: rpn"
        if not self.mutual:
            # `start` still says from when on IoU rescoring learns.
            found |= dict.fromkeys(("alpha", "otsu"), "labels never change places; set mutual: true")
        return found

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        owner, ignored, baseline = self.match(priors, objects)
        count = objects.labels.shape[1]
        overlap = matched_iou(priors, predictions.boxes, boxes_of(owner, objects.boxes))
        label = labels_of(owner, objects.labels)
        score = predictions.cls_logits.gather(2, label.unsqueeze(-1)).squeeze(-1).sigmoid()
        held, (ious, scores) = candidates_alone(owner, overlap, score)
        by_iou, by_score = (OTSU[self.otsu](values, held, count) for values in (ious, scores))
        before = self._rests(context)
        if before or not self.mutual:
            cls = Targets.hard(baseline)
            box = Targets.hard(baseline.masked_fill(baseline == IGNORE, BACKGROUND))
        else:
            positive, alone, margin = _divided(owner, overlap, by_iou)
            reduced = ignored & ~alone
            index = torch.where(positive, owner, BACKGROUND)  # Eqs. (4), (5)
            cls = Targets(index, torch.where(reduced, margin.pow(self.alpha), 1.0), positive.float())  # Eq. (7)
            positive, alone, margin = _divided(owner, score, by_score)
            reduced = ignored & ~alone
            index = torch.where(positive, owner, BACKGROUND)  # Eq. (6)
            box = Targets(index, torch.where(reduced, margin.pow(self.alpha), 1.0), positive.float())  # Eq. (8)
        of_priors = {"candidate": owner, "ignored": ignored, "iou": overlap, "score": score}
        told = {"threshold_iou": by_iou, "threshold_score": by_score}
        told |= {"spearman": segment_spearman(scores, ious, held, count)}
        stage = BEFORE if before else ""
        return self._counted(
            self._sampled(Assignment(cls, box, None, told, of_priors, stage), objects, context, priors)
        )

    def _rests(self, context: Context) -> bool:
        """Whether it is not on yet. A training that is over (progress 1) has it on, whatever epoch is named."""
        if isinstance(self.start, AfterEpochs):
            return context.progress < 1 and context.epoch < self.start.epochs
        return context.progress < self.start

    def _counted(self, assignment: Assignment) -> Assignment:
        cls, box = assignment.cls.index >= 0, assignment.box.index >= 0
        counts = {"positives_cls": cls.sum(1), "positives_box": box.sum(1), "positives_either": (cls | box).sum(1)}
        return replace(assignment, diagnostics=assignment.diagnostics | counts)

    def _sampled(self, assignment: Assignment, objects: Objects, context: Context, priors: Priors) -> Assignment:
        """For RPN: a prior that is positive for either task counts as positive; what is not drawn is left out of both.

        Box targets of it become background, its class targets are ignored.
        """
        if self.candidates != "rpn":
            return assignment
        cls, box = assignment.cls, assignment.box
        either = (cls.index >= 0) | (box.index >= 0)
        kept = sample_balanced(cls.index, either, self.sample, context, objects, priors)
        return replace(
            assignment,
            cls=Targets(cls.index.masked_fill(~kept, IGNORE), cls.weight * kept, cls.quality * kept),
            box=Targets(box.index.masked_fill(~kept, BACKGROUND), box.weight, box.quality * kept),
        )

    def match(self, priors: Priors, objects: Objects) -> tuple[Tensor, Tensor, Tensor]:
        """The candidate's object [B, A], which candidates the baseline ignores [B, A], and the baseline's labels."""
        objects = objects.with_room()
        if self.candidates not in STATIC_RULES:
            rule = FCOS(level_ranges=self.candidates == "fcos_levels", extent=self.extent)
            owner = rule.match(priors, objects)
            return owner, torch.zeros_like(owner, dtype=torch.bool), FCOS(extent=self.extent).match(priors, objects)
        high, low, least = self.thresholds
        iou = prior_iou(priors, objects)
        baseline, forced = MaxIoU(high, low, "mmdet", least).match(iou, objects.valid)
        owner = torch.where(baseline == IGNORE, iou.argmax(dim=1), baseline)
        return owner, (baseline == IGNORE) & ~forced, baseline


def _divided(owner: Tensor, value: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which candidates lie above their object's threshold, which have none, and how far [B, A] they lie from it."""
    threshold = thresholds.gather(1, owner.clamp(min=0))
    alone = torch.isnan(threshold)
    return (owner >= 0) & (alone | (value > threshold)), alone, (value - threshold).abs()


@CRITERIA.register("mlc")
class MLCCriterion(Criterion):
    """Weighted class and box losses, each over its own number of positives (D7), and IoU rescoring.

    `cls` is "focal" (`focal_alpha`, `focal_gamma`) or "bce" (RPN). `box` names the box loss; those on encoded boxes
    take `box_beta` and sum or average four coordinates. `count` = "drawn" divides both losses by the number of priors
    that are not ignored (RPN).

    `rescoring` (the paper's IUR weight, which it does not give; D10) multiplies the mean squared error between the
    quality logit's sigmoid and the predicted box's IoU over the union of both tasks' positives; zero before the
    assigner's `start`. `alignment` (our reading of prediction alignment, Table 1) multiplies the mean squared error
    between class score and IoU over the box positives, with gradient to both. Keys: loss_cls, loss_box, with a quality
    head loss_quality, with alignment loss_align.
    """

    def __init__(
        self,
        *,
        cls: Literal["focal", "bce"] = "focal",
        focal_alpha: Share = 0.25,
        focal_gamma: NonNegative = 2.0,
        box: BoxLoss = "smooth_l1",
        box_weight: NonNegative = 1.0,
        box_beta: Positive = 0.11,
        box_coordinates: Literal["mean", "sum"] = "sum",
        count: Literal["positives", "drawn"] = "positives",
        rescoring: NonNegative = 1.0,
        alignment: NonNegative = 0.0,
    ) -> None:
        super().__init__()
        self.cls, self.focal_alpha, self.focal_gamma = cls, focal_alpha, focal_gamma
        self.box: BoxLoss = box
        self.box_weight, self.box_beta = box_weight, box_beta
        self.box_coordinates: Literal["mean", "sum"] = box_coordinates
        self.count, self.rescoring, self.alignment = count, rescoring, alignment

    @property
    def needs(self) -> Needs:
        """Anchors for box losses on encoded boxes; of quality heads only one that learns the IoU."""
        quality: tuple[Literal["iou"] | None, ...] = (None, "iou")
        if self.box in ("smooth_l1", "l1", "balanced_l1"):
            return Needs(priors=("anchor",), quality=quality, why=f"box loss '{self.box}' acts on encoded boxes")
        return Needs(quality=quality, why="IoU rescoring learns the IoU")

    @property
    def idle(self) -> dict[str, str]:
        return {**idle_of_focal(self.cls), **idle_of_box(self.box)}

    def terms(
        self, priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment, context: Context
    ) -> dict[str, Term]:
        images = len(predictions.boxes)
        target = class_targets(assignment, objects, predictions.cls_logits.shape[-1])
        learnt = assignment.cls.weight.masked_fill(assignment.cls.index == IGNORE, 0.0)
        cls_positive, box_positive = assignment.cls.index >= 0, assignment.box.index >= 0
        drawn = (assignment.cls.index != IGNORE).sum()
        n_cls, n_box = (drawn if self.count == "drawn" else t.sum() for t in (cls_positive, box_positive))
        # The object of a prior is the same for both tasks (D6), so either names it.
        index = torch.where(box_positive, assignment.box.index, assignment.cls.index.clamp(min=BACKGROUND))
        union = cls_positive | box_positive
        targets = torch.where(union.unsqueeze(-1), boxes_of(index, objects.boxes), priors.boxes)
        element = box_losses(
            self.box, priors, predictions, targets, beta=self.box_beta, coordinates=self.box_coordinates
        )
        own_weight = assignment.box.weight * box_positive
        found = {  # Eq. (9)
            "loss_cls": Term(self._class_loss(predictions.cls_logits, target, learnt), n_cls, images),
            "loss_box": Term(self.box_weight * (element * own_weight).sum(), n_box, images),
        }
        overlap = matched_iou(priors, predictions.boxes, targets)
        if predictions.quality_logits is not None:
            error = (predictions.quality_logits.sigmoid() - overlap.detach()).square()
            on = 0.0 if assignment.stage == BEFORE else self.rescoring
            found["loss_quality"] = Term(on * (error * union).sum(), union.sum(), images)  # Eqs. (10), (11)
        if self.alignment > 0:
            label = labels_of(index, objects.labels).unsqueeze(-1)
            gap = (predictions.cls_logits.gather(2, label).squeeze(-1).sigmoid() - overlap).square()
            found["loss_align"] = Term(self.alignment * (gap * box_positive).sum(), box_positive.sum(), images)
        return found

    def _class_loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        if self.cls == "bce":
            return (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight.unsqueeze(-1)).sum()
        return focal_sum(logits, target, weight, self.focal_alpha, self.focal_gamma)


# RetinaNet, FCOS and RPN of the MMDetection toolbox, which the paper trains: their box losses and coders.
RETINA: dict[str, JsonValue] = {"box": "l1", "box_weight": 1.0, "box_coordinates": "sum"}
POINTS: dict[str, JsonValue] = {"box": "iou", "box_weight": 1.0}
PROPOSALS: dict[str, JsonValue] = {"cls": "bce", "count": "drawn", **RETINA}
UNIT = CoderConfig(stds=(1.0, 1.0))
RESCORED: dict[str, str] = {"quality": "iou", "ranking": "cls*quality"}


def _retina(name: str, rule: Part, about: str, baseline: str = "", **parts: str) -> Preset:
    losses = Part(name="mlc", parameters=RETINA)
    return preset(name, rule, about, baseline=baseline, source="framework", criterion=losses, coder=UNIT, **parts)


def _points(name: str, rule: Part, about: str, baseline: str = "", **parts: str) -> Preset:
    losses = Part(name="mlc", parameters=POINTS)
    return preset(name, rule, about, baseline=baseline, source="printed", criterion=losses, **parts)


def _proposals(name: str, rule: Part, about: str, baseline: str = "", **parts: str) -> Preset:
    losses = Part(name="mlc", parameters=PROPOSALS)
    nms, start = Nms(iou=0.7), HeadInit(prior_prob=0.5)  # as RPN: half of what is drawn is positive
    return preset(
        name,
        rule,
        about,
        baseline=baseline,
        source="ours",
        criterion=losses,
        nms=nms,
        head_init=start,
        coder=UNIT,
        **parts,
    )


ON_RETINA, ON_FCOS = Part(name="mlc"), Part(name="mlc", parameters={"candidates": "fcos", "alpha": 0.0})
ON_RPN = Part(name="mlc", parameters={"candidates": "rpn", "alpha": 2.0})
STATIC_RETINA = Part(name="max_iou", parameters={"low_quality": "mmdet"})
STATIC_RPN: dict[str, JsonValue] = {
    "positive": 0.7,
    "negative": 0.3,
    "low_quality": "mmdet",
    "min_iou": 0.3,
    "sample": 256,
}


def _unlabelled(rule: Part) -> Part:
    """The same candidates with the baseline's labels: IoU rescoring alone."""
    return rule.model_copy(update={"parameters": {**rule.parameters, "mutual": False}})


PRESETS: tuple[Preset, ...] = (
    _retina("mlc", ON_RETINA, "mutual labeling and IoU rescoring (MLC) on RetinaNet", "iou_rescoring", **RESCORED),
    _retina("mutual_labeling", ON_RETINA, "mutual labeling without IoU rescoring (MLC's ML)", "iou_mlc"),
    _retina(
        "iou_rescoring",
        _unlabelled(ON_RETINA),
        "IoU rescoring without mutual labeling (MLC's IUR): the baseline of MLC with the same head",
        **RESCORED,
    ),
    _retina("iou_mlc", STATIC_RETINA, "static IoU matching with MLC's losses: the baseline of mutual labeling"),
    _points("mlc_fcos", ON_FCOS, "MLC on FCOS, all points inside", "iou_rescoring_fcos", **RESCORED),
    _points("mutual_labeling_fcos", ON_FCOS, "mutual labeling on FCOS without centerness", "fcos_mlc"),
    _points("iou_rescoring_fcos", _unlabelled(ON_FCOS), "IoU rescoring on FCOS without centerness", **RESCORED),
    preset(
        "prediction_alignment",
        "fcos",
        "FCOS with a loss that pulls class score and IoU together (MLC's Table 1, our reading). "
        "No baseline: it changes the loss of fcos_mlc, not its rule",
        source="ours",
        criterion=Part(name="mlc", parameters={**POINTS, "alignment": 1.0}),
    ),
    _points("fcos_mlc", Part(name="fcos"), "FCOS without centerness, MLC's losses: the paper's FCOS-"),
    _proposals("mlc_rpn", ON_RPN, "MLC on RPN, our reading of it", "iou_rescoring_rpn", **RESCORED),
    _proposals("mutual_labeling_rpn", ON_RPN, "mutual labeling on RPN without IoU rescoring", "rpn_mlc"),
    _proposals("iou_rescoring_rpn", _unlabelled(ON_RPN), "IoU rescoring on RPN without mutual labeling", **RESCORED),
    _proposals(
        "rpn_mlc",
        Part(name="max_iou", parameters=STATIC_RPN),
        "RPN's rule with MLC's losses. No baseline: it is one",
    ),
)
