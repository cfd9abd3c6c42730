"""Mutual Guidance: "Localize to Classify and Classify to Localize" (Zhang et al., ACCV 2020), sections 3.1 and 3.2.

Equations: 1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.assigners.max_iou import MaxIoU
from assignbench.config.method import Part, Preset, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import predicted_iou, prior_iou, top_mask

# The released code's marks of a positive and of an ignored prior, where others keep their quality below 1.
RAW_POSITIVE, RAW_IGNORED = 3.0, 2.0
# Pairs that are amplified or ranked at once, so that temporary matrices stay small beside the one that is kept.
PAIRS = 16_000_000


def amplified_iou(iou: Tensor, scores: Tensor, sigma: float = 2.0) -> Tensor:
    """IoU_anchor ^ ((sigma - p) / sigma), element by element.

    >>> round(float(amplified_iou(torch.tensor(0.61), torch.tensor(0.85))), 2)
    0.75
    """
    return iou.pow((sigma - scores) / sigma)  # Eq. (1)


@ASSIGNERS.register("mutual_guidance")
@dataclass(frozen=True)
class MutualGuidance(Assigner):
    """The box predictions label priors for classification, the class scores label them for the box.

    `classify` = "regressed" (Localize to Classify) or "static"; `localize` = "amplified" (Classify to Localize) or
    "static". Per object, Np and Ni are counted on the static IoU; the Np best by regressed IoU are positive and the
    next Ni ignored for classification, the Np best by amplified IoU are positive for the box. The amplification reads
    the class score alone, also where the detector has a quality head.

    Invariant: per task, a prior has at most one object, and the two tasks may name different ones. An object may have
    none where a neighbour takes its best prior.

    `forced` counts each object's best prior as IoU 1 in all three measures. `exclusive` lets a prior count only for the
    object that it serves best, before anything is counted or ranked. Without it objects rank on their own, and a prior
    that several objects chose goes to the one with the highest measure. `zero_overlap` says what an object that touches
    no prior gets: "skip" nothing, "force" prior 0 (the released code). Points are matched as 2s x 2s squares; that
    reading is ours.

    Diagnostics per object: `positives_wanted` (Np) and `ignored_wanted` (Ni). Per prior: `cls_quality_raw` and
    `reg_quality_raw`, the released code's numbers: 3 positive, 2 ignored, otherwise the best regressed or amplified
    IoU.

    Differs from the paper as its released code does: `forced` and `exclusive` are True, and thresholds are inclusive.
    Differs from the code: Np is clipped to the object's priors above zero (the authors' own later repair), and
    `zero_overlap` is "skip".

    >>> from assignbench.examples import three_anchors
    >>> MutualGuidance()(*three_anchors()).cls.index
    tensor([[ 0,  0, -1]])
    """

    sigma: Annotated[float, Ge(1)] = 2.0
    positive: Annotated[float, Gt(0), Le(1)] = 0.5
    negative: Annotated[float, Gt(0), Le(1)] = 0.4
    classify: Literal["regressed", "static"] = "regressed"
    localize: Literal["amplified", "static"] = "amplified"
    forced: bool = True
    exclusive: bool = True
    zero_overlap: Literal["skip", "force"] = "skip"

    def __post_init__(self) -> None:
        if self.sigma < 1:
            raise ValueError(f"sigma must be at least 1 (Eq. 1 would shrink IoUs), got {self.sigma}")
        if not self.negative <= self.positive:
            raise ValueError(f"needs negative <= positive, got {self.negative} and {self.positive}")

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        iou = prior_iou(priors, objects)  # [B, G, A], the only matrix of this size that is kept
        cls, box = self._static(iou, objects)
        anchors = self._serving(iou.clone(), objects.valid)
        some = (anchors >= self.negative).sum(dim=-1)  # Np + Ni
        many = (anchors >= self.positive).sum(dim=-1)  # Np
        told = {"positives_wanted": many, "ignored_wanted": some - many}
        del anchors
        if self.localize == "amplified":
            quality = self._serving(self._amplified(iou, predictions, objects), objects.valid)
            owner, best, _ = _winners(quality, many)
            box = owner
            told["reg_quality_raw"] = torch.where(owner >= 0, RAW_POSITIVE, best)
            del quality
        del iou
        if self.classify == "regressed":
            quality = self._serving(predicted_iou(priors, predictions, objects), objects.valid)
            owner, best, ignored = _winners(quality, many, some)
            cls = torch.where(ignored & (owner < 0), IGNORE, owner)
            told["cls_quality_raw"] = torch.where(owner >= 0, RAW_POSITIVE, torch.where(ignored, RAW_IGNORED, best))
        return Assignment(Targets.hard(cls), Targets.hard(box), diagnostics=told)

    def formulas(self) -> list[dict[str, float | str]]:
        """Fig. 3: amplified IoU over IoU for five class scores."""
        x = torch.linspace(0, 1, 101, dtype=torch.float64)
        rows: list[dict[str, float | str]] = []
        for score in (0.0, 0.25, 0.5, 0.75, 1.0):
            value = amplified_iou(x, torch.full_like(x, score), self.sigma)
            curve = f"p = {score:g}"
            for at, found in zip(x.tolist(), value.tolist(), strict=True):
                rows.append({"formula": "amplified IoU", "curve": curve, "x": at, "y": score, "value": found})
        return rows

    def _static(self, iou: Tensor, objects: Objects) -> tuple[Tensor, Tensor]:
        """The static labels of the two tasks, for the half that is not switched on; the box has nothing to ignore."""
        if self.classify == "regressed" and self.localize == "amplified":
            nothing = torch.full_like(iou[:, 0], BACKGROUND, dtype=torch.long)
            return nothing, nothing
        low_quality: Literal["ssd", "none"] = "ssd" if self.forced else "none"
        rule = MaxIoU(self.positive, self.negative, low_quality, zero_overlap=self.zero_overlap)
        index, _ = rule.match(iou, objects.valid)
        return index, index.masked_fill(index == IGNORE, BACKGROUND)

    def _amplified(self, iou: Tensor, predictions: Predictions, objects: Objects) -> Tensor:
        """IoU [B, G, A] amplified in place by the score of each object's own class."""
        logits = predictions.cls_logits.transpose(1, 2)  # [B, C, A]
        for rows in _blocks(iou):
            labels = objects.labels[:, rows].unsqueeze(-1).expand(-1, -1, logits.shape[-1])
            iou[:, rows] = amplified_iou(iou[:, rows], logits.gather(1, labels).sigmoid(), self.sigma)
        return iou

    def _serving(self, quality: Tensor, valid: Tensor) -> Tensor:
        """Quality [B, G, A], changed in place: the best prior of every object at 1, and zero where a prior serves
        another object better (of equally well served ones all stay).
        """
        if self.forced:
            peak, prior = quality.max(dim=-1, keepdim=True)
            eligible = valid.unsqueeze(-1)
            if self.zero_overlap == "skip":
                eligible = eligible & (peak > 0)
            quality.scatter_(-1, prior, torch.where(eligible, 1.0, peak))
        if self.exclusive:
            best = quality.amax(dim=1, keepdim=True)
            for rows in _blocks(quality):
                part = quality[:, rows]
                part.masked_fill_(part < best, 0.0)
        return quality


def _blocks(matrix: Tensor) -> list[slice]:
    """Slices of the objects of a matrix [B, G, A] with at most PAIRS entries each, or of one object."""
    batch, width, count = matrix.shape
    step = max(1, PAIRS // max(1, batch * count))
    return [slice(start, min(start + step, width)) for start in range(0, width, step)]


def _winners(quality: Tensor, many: Tensor, some: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """From quality [B, G, A] and how many priors each object wants [B, G]: the object [B, A] that a prior is positive
    for (BACKGROUND: none), its highest quality [B, A], and whether it is among the `some` best of any object [B, A].

    Only priors above zero can be chosen. Of several objects the one with the highest quality wins, the first on ties.
    """
    owner = torch.full_like(quality[:, 0], BACKGROUND, dtype=torch.long)
    held = torch.zeros_like(quality[:, 0])
    among = torch.zeros_like(owner, dtype=torch.bool)
    for rows in _blocks(quality):
        part = quality[:, rows]
        positive = _best(part, many[:, rows])
        value, row = part.masked_fill(~positive, 0.0).max(dim=1)
        owner = torch.where(value > held, row + rows.start, owner)
        held = held.maximum(value)
        if some is not None:
            among |= _best(part, some[:, rows]).any(dim=1)
    return owner, quality.amax(dim=1), among


def _best(quality: Tensor, counts: Tensor) -> Tensor:
    """The `counts` best priors of every object among those above zero."""
    return top_mask(quality, counts.minimum((quality > 0).sum(dim=-1)))


RELEASED = Part(name="dense", parameters={"focal_gamma": 1.0, "box": "balanced_l1", "box_weight": 1.0})


def _variant(name: str, about: str, **parameters: object) -> Preset:
    """A preset with the released losses; its baseline has the same."""
    source = "printed" if parameters.get("exclusive") is False else "released"
    rule = Part.model_validate({"name": "mutual_guidance", "parameters": parameters})
    return preset(name, rule, about, baseline="iou_mg", source=source, criterion=RELEASED)  # type: ignore[arg-type]


PRESETS: tuple[Preset, ...] = (
    _variant("mutual_guidance", "labels of each task from the other's predictions (Mutual Guidance)"),
    _variant("localize_to_classify", "Mutual Guidance, classification half only", localize="static"),
    _variant("classify_to_localize", "Mutual Guidance, localization half only", classify="static"),
    _variant(
        "mutual_guidance_printed",
        "Mutual Guidance by the paper's words: no prior forced, objects rank on their own",
        forced=False,
        exclusive=False,
    ),
    preset(
        "iou_mg",
        "max_iou",
        "static IoU matching with Mutual Guidance's losses: its baseline",
        criterion=RELEASED,
    ),
)
