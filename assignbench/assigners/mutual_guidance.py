"""Mutual Guidance: "Localize to Classify and Classify to Localize" (Zhang et al., ACCV 2020), sections 3.1 and 3.2.

Equations: 1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor

from assignbench.assigners.base import ASSIGNERS, Assigner
from assignbench.assigners.max_iou import MaxIoU
from assignbench.config.method import Part, Preset, preset
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from assignbench.select import predicted_iou, prior_iou, top_mask

# The released code's marks of a positive and of an ignored prior, where others keep their quality below 1.
RAW_POSITIVE, RAW_IGNORED = 3.0, 2.0
# Pairs that are amplified or ranked at once, so that temporary matrices stay in a processor's cache.
PAIRS = 1_000_000
FIGURE_SIGMAS = (1.0, 2.0, 3.0)  # Fig. 3


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

    sigma: Annotated[float, Gt(1), Le(1e6)] = 2.0
    positive: Annotated[float, Gt(0), Le(1)] = 0.5
    negative: Annotated[float, Gt(0), Le(1)] = 0.4
    classify: Literal["regressed", "static"] = "regressed"
    localize: Literal["amplified", "static"] = "amplified"
    forced: bool = True
    exclusive: bool = True
    zero_overlap: Literal["skip", "force"] = "skip"

    def __post_init__(self) -> None:
        if not self.sigma > 1:
            raise ValueError(f"sigma must be above 1 (at 1, Eq. 1 makes an IoU of 0 to 1 by 0^0), got {self.sigma}")
        if not self.negative <= self.positive:
            raise ValueError(f"needs negative <= positive, got {self.negative} and {self.positive}")

    @property
    def idle(self) -> dict[str, str]:
        found = {}
        if self.localize == "static":
            found["sigma"] = "nothing is amplified; set localize: amplified"
        if not self.forced:
            found["zero_overlap"] = "no prior is forced; set forced: true"
        return found

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        iou = prior_iou(priors, objects)  # [B, G, A]: one matrix of this size is alive at a time
        cls, box = self._static(iou, objects)
        many, some = self._counts(self._serving(iou, objects.valid))  # Np, Np + Ni
        told = {"positives_wanted": many, "ignored_wanted": some - many}
        raw = {}
        if self.localize == "amplified":
            amplified = self._serving(self._amplified(iou, predictions, objects), objects.valid)
            box, best, _ = _winners(amplified, many)
            raw["reg_quality_raw"] = torch.where(box >= 0, RAW_POSITIVE, best)
            del amplified
        del iou
        if self.classify == "regressed":
            regressed = self._serving(predicted_iou(priors, predictions, objects), objects.valid)
            owner, best, ignored = _winners(regressed, many, some)
            cls = torch.where(ignored & (owner < 0), IGNORE, owner)
            raw["cls_quality_raw"] = torch.where(owner >= 0, RAW_POSITIVE, torch.where(ignored, RAW_IGNORED, best))
        return Assignment(Targets.hard(cls), Targets.hard(box), diagnostics=told, prior_diagnostics=raw)

    def formulas(self) -> list[dict[str, float | str]]:
        """Fig. 3: amplified IoU over IoU for five class scores, with σ = 1, 2, 3 and the rule's own."""
        x = torch.linspace(0, 1, 101, dtype=torch.float64)
        rows: list[dict[str, float | str]] = []
        for sigma, score in product(sorted({*FIGURE_SIGMAS, self.sigma}), (0.0, 0.25, 0.5, 0.75, 1.0)):
            value = amplified_iou(x, torch.full_like(x, score), sigma)
            names = {"formula": f"amplified IoU, σ = {sigma:g}", "curve": f"p = {score:g}"}
            rows += [
                {**names, "x": at, "y": score, "value": found}
                for at, found in zip(x.tolist(), value.tolist(), strict=True)
            ]
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
        score = _own_scores(predictions.cls_logits, objects.labels)
        for rows in _blocks(iou):
            iou[:, rows] = amplified_iou(iou[:, rows], score(rows), self.sigma)
        return iou

    def _serving(self, quality: Tensor, valid: Tensor) -> _Serving:
        """What counts of a measure [B, G, A]: the best prior of every object as 1, and nothing where a prior serves
        another object better (of equally well served ones all stay).
        """
        peak, prior = quality.max(dim=-1)
        if self.forced:
            eligible = valid & (peak > 0) if self.zero_overlap == "skip" else valid
            peak = torch.where(eligible, 1.0, peak)
        best = None
        if self.exclusive:
            best = quality.amax(dim=1).scatter_reduce_(1, prior, peak, "amax")
        return _Serving(quality, prior, peak, best)

    def _counts(self, anchors: _Serving) -> tuple[Tensor, Tensor]:
        """How many priors [B, G] reach the upper threshold, and the lower one."""
        many, some = [], []
        for rows in anchors.blocks():
            part = anchors.rows(rows)
            many.append(_number(part >= self.positive))
            some.append(_number(part >= self.negative))
        return torch.cat(many, dim=1), torch.cat(some, dim=1)


@dataclass(frozen=True)
class _Serving:
    """A measure [B, G, A] with the best prior of each object [B, G], its value [B, G], and what a prior's object must
    reach to keep it [B, A] (None: nothing). Blocks of objects are worked out when they are asked for.
    """

    quality: Tensor
    prior: Tensor
    peak: Tensor
    best: Tensor | None

    def blocks(self) -> list[slice]:
        """Slices of the objects with at most PAIRS entries each, or of one object."""
        return _blocks(self.quality)

    def rows(self, rows: slice) -> Tensor:
        """What counts of some objects [B, g, A]."""
        part = self.quality[:, rows].clone()
        part.scatter_(-1, self.prior[:, rows].unsqueeze(-1), self.peak[:, rows].unsqueeze(-1))
        return part if self.best is None else part.masked_fill_(part < self.best.unsqueeze(1), 0.0)


def _own_scores(logits: Tensor, labels: Tensor) -> Callable[[slice], Tensor]:
    """Gives the scores [B, g, A] of the own classes of a slice of the objects, from logits [B, A, C] and labels [B, G].

    With fewer objects than classes only these scores are worked out, otherwise all once, so that rows can be copied.
    """
    if labels.shape[1] < logits.shape[-1]:
        count = logits.shape[1]

        def picked(rows: slice) -> Tensor:
            columns = labels[:, rows].unsqueeze(-1).expand(-1, -1, count)
            return logits.transpose(1, 2).gather(1, columns).sigmoid_()

        return picked
    scores = logits.sigmoid().transpose(1, 2).contiguous()
    image = torch.arange(len(scores), device=scores.device).unsqueeze(1)
    return lambda rows: scores[image, labels[:, rows]]


def _blocks(matrix: Tensor) -> list[slice]:
    batch, width, count = matrix.shape
    step = max(1, PAIRS // max(1, batch * count))
    return [slice(start, min(start + step, width)) for start in range(0, width, step)]


def _number(mask: Tensor) -> Tensor:
    """How many are true [B, g] in a mask [B, g, A]; in eager CPU code without a copy of it as numbers."""
    if mask.device.type != "cpu" or torch.compiler.is_compiling():
        return mask.sum(dim=-1)
    rows = mask.flatten(0, 1)
    return torch.bincount(rows.nonzero(as_tuple=True)[0], minlength=len(rows)).view(mask.shape[:2])


def _winners(measure: _Serving, many: Tensor, some: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """From a measure and how many priors each object wants [B, G]: the object [B, A] that a prior is positive for
    (BACKGROUND: none), its highest value [B, A], and whether it is among the `some` best of any object [B, A].

    Only priors above zero can be chosen. Of several objects the one with the highest value wins, the first on ties.
    """
    owner = torch.full_like(measure.quality[:, 0], BACKGROUND, dtype=torch.long)
    held, best = torch.zeros_like(measure.quality[:, 0]), torch.zeros_like(measure.quality[:, 0])
    among = torch.zeros_like(owner, dtype=torch.bool)
    for rows in measure.blocks():
        part = measure.rows(rows)
        best = best.maximum(part.amax(dim=1))
        if some is not None:
            among |= _best(part, some[:, rows]).any(dim=1)
        positive = _best(part, many[:, rows])
        value, row = part.masked_fill_(~positive, 0.0).max(dim=1)
        owner = torch.where(value > held, row + rows.start, owner)
        held = held.maximum(value)
    return owner, best, among


def _best(quality: Tensor, counts: Tensor) -> Tensor:
    """The `counts` [B, G] best priors of every object in quality [B, G, A] among those above zero."""
    if quality.device.type != "cpu" or torch.compiler.is_compiling():
        return top_mask(quality, counts.minimum((quality > 0).sum(dim=-1)))
    # Few priors count for an object, so that eager CPU code ranks these alone: by value, then by object, both stable.
    flat = quality.reshape(-1, quality.shape[-1])
    row, column = flat.nonzero(as_tuple=True)
    order = flat[row, column].sort(descending=True, stable=True).indices
    order = order[row[order].sort(stable=True).indices]
    row, column = row[order], column[order]
    number = torch.bincount(row, minlength=len(flat))
    place = torch.arange(len(row)) - (number.cumsum(0) - number)[row]
    kept = place < counts.reshape(-1)[row]
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask[row[kept], column[kept]] = True
    return mask.view_as(quality)


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
