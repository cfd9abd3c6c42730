"""What a method is: one row of a table, as data. Which values a part's parameters may take, its own class says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from assignbench.config.base import Config

QualityKind = Literal["iou", "centerness", "objectness", "implicit"]
PriorKind = Literal["anchor", "point"]
Ranking = Literal["cls", "cls*quality", "sqrt(cls*quality)", "quality"]
NmsKind = Literal["standard", "agnostic", "soft", "iou_guided", "none"]
# Whose "+1" pixels: FreeAnchor's coder takes the centre at x1 + w/2 with w = x2 - x1 + 1, PAA's at (x1 + x2) / 2.
LegacyPlusOne = Literal["none", "freeanchor", "paa"]
# Where a preset's choices come from when paper and released code differ.
Source = Literal["printed", "released", "framework", "ours"]


class Part(Config):
    """An assigner or criterion by its registered name (or `module:Class`), with all its parameters."""

    name: str
    parameters: dict[str, JsonValue] = {}


class Nms(Config):
    """How overlapping boxes are thinned out.

    `iou`: a lower-ranked box above it is dropped. `kind`: "standard" per class, "agnostic" across classes, "soft"
    (Gaussian decay of `sigma`; `iou` is not used), "iou_guided" (ranked by quality, a kept box takes its cluster's
    best class score), "none" (one-to-one methods).
    """

    kind: NmsKind = "standard"
    iou: float = Field(0.5, gt=0, lt=1)
    sigma: float = Field(0.5, gt=0, le=100)


class Voting(Config):
    """PAA's box voting: kept boxes become weighted means of what overlaps them.

    `by`: "score" weighs a neighbour by closeness times its score, "closeness" by exp(-(1 - IoU)² / sigma) alone.
    """

    sigma: float = Field(0.025, gt=0, le=100)
    by: Literal["score", "closeness"] = "score"


class HeadInit(Config):
    """How the head starts: `prior_prob` of every class, `quality_prob` of the quality logit, a zeroed last box layer,
    and that layer's bias.
    """

    prior_prob: float = Field(0.01, gt=0, lt=1)
    quality_prob: float = Field(0.5, gt=0, lt=1)
    zero_box: bool = False
    box_bias: float = Field(0.0, ge=-100, le=100)


class CoderConfig(Config):
    """How network outputs become boxes.

    `stds` divide shifts and log ratios of anchors; `distance` is the activation of a point's distances, times the
    stride: "exp" (FCOS) or "relu" (FCOS++, later FCOS). `legacy_plus_one` counts pixels inclusively in coding *and* in
    every IoU of the method, as maskrcnn-benchmark's descendants do.
    """

    stds: tuple[Annotated[float, Field(gt=0, le=100)], Annotated[float, Field(gt=0, le=100)]] = (0.1, 0.2)
    distance: Literal["exp", "relu"] = "exp"
    legacy_plus_one: LegacyPlusOne = "none"


class AfterEpochs(Config):
    """A moment of training, as a parameter of an assigner or a criterion has it: `{epochs: 12}`."""

    epochs: float = Field(gt=0, le=10_000)


class MethodConfig(Config):
    """A composition: assigner, criterion, quality head, ranking score, NMS.

    `floor_on`: whether the score floor of the evaluation acts on the class score (authors' codes) or on the ranking
    score (mmdet, where it is a product).
    """

    name: str
    preset: str
    assigner: Part
    criterion: Part = Part(name="dense")
    quality: QualityKind | None = None
    ranking: Ranking = "cls"
    floor_on: Literal["cls", "ranking"] = "cls"
    nms: Nms = Nms()
    voting: Voting | None = None
    head_init: HeadInit = HeadInit()
    coder: CoderConfig = CoderConfig()

    @model_validator(mode="after")
    def _quality_is_there(self) -> MethodConfig:
        if self.quality is None and self.ranking != "cls":
            raise ValueError(f"ranking '{self.ranking}' needs a quality head; set quality: iou, or ranking: cls")
        if self.quality is None and self.nms.kind == "iou_guided":
            raise ValueError("nms.kind 'iou_guided' needs a quality head; set quality: iou, or nms.kind: standard")
        return self

    def unreached(self, epochs: float) -> str:
        """A moment of training that never comes in so many epochs, with the way out; empty if all do."""
        for kind, part in (("assigner", self.assigner), ("criterion", self.criterion)):
            for name, value in part.parameters.items():
                if isinstance(value, dict) and set(value) == {"epochs"}:
                    after = AfterEpochs.model_validate(value).epochs
                    if after >= epochs:
                        return (
                            f"{kind}.{name}: {after:g} epochs is never reached in a training of {epochs:g}; "
                            "name fewer, or a share of the training"
                        )
        return ""


class Needs(Config):
    """What an assigner or a criterion needs of detector and method; `plan` refuses the rest with `why`.

    `priors`: kinds that it works on. `quality`: kinds of quality head that it understands (None: no head).
    `one_class`: a class-agnostic detector. `bags`, `soft`: the assigner must give bags, or soft targets.
    """

    priors: tuple[PriorKind, ...] = ("anchor", "point")
    quality: tuple[QualityKind | None, ...] = (None, "iou", "centerness", "objectness", "implicit")
    one_class: bool = False
    bags: bool = False
    soft: bool = False
    why: str = ""


@dataclass(frozen=True)
class Preset:
    """A named method. `baseline` is the preset that differs in the assignment alone (the paper's own baseline with the
    same losses, NMS and head); `source` says whose choices these are, `about` is the line that `list methods` prints.
    """

    method: MethodConfig
    about: str
    baseline: str = ""
    source: Source = "released"

    @property
    def name(self) -> str:
        """The preset's name."""
        return self.method.name


def preset(
    name: str, assigner: str | Part, about: str, *, baseline: str = "", source: Source = "released", **parts: object
) -> Preset:
    """A preset from its parts; `parts` are the other fields of MethodConfig."""
    rule = Part(name=assigner) if isinstance(assigner, str) else assigner
    method = MethodConfig.model_validate({"name": name, "preset": name, "assigner": rule, **parts})
    return Preset(method, about, baseline, source)


def differing_parts(method: MethodConfig, baseline: MethodConfig) -> tuple[str, ...]:
    """The parts beyond the assigner in which two methods differ, in the order of MethodConfig's fields.

    Empty: the pair tests the assigner alone. Otherwise it compares two recipes, and no difference between them may be
    put down to the assigner.
    """
    names = (n for n in MethodConfig.model_fields if n not in ("name", "preset", "assigner"))
    return tuple(n for n in names if getattr(method, n) != getattr(baseline, n))


def idle_entries(method: MethodConfig, priors: PriorKind) -> dict[str, str]:
    """The entries that do nothing in this composition on these priors by their places, each with the reason."""
    found = {}
    if method.nms.kind != "soft":
        found["nms.sigma"] = f"nms.kind '{method.nms.kind}' lowers no scores; set nms.kind: soft"
    if method.nms.kind in ("soft", "none"):
        found["nms.iou"] = f"nms.kind '{method.nms.kind}' has no threshold; set nms.kind: standard"
    if method.ranking == "cls":
        found["floor_on"] = "the ranking score is the class score; set ranking: cls*quality"
    if method.quality is None:
        for place in ("head_init.quality_prob", "criterion.quality_weight", "criterion.rescoring"):
            found[place] = "the method has no quality head; set quality: iou"
    if priors == "anchor":
        found["coder.distance"] = "anchors have no distances; it is for points"
    else:
        found["coder.stds"] = "points have distances; stds are for anchors"
    return found


def compared_with(method: str, present: Sequence[str], baselines: Mapping[str, str]) -> str:
    """The name of what a method is compared with among the methods that are `present`, in the study's order.

    Its own baseline, also where that is not present: nothing takes its place, so that a number never changes its
    meaning from place to place. Of a method that names none: the first one present; "" for the first itself, and for
    one that the first names as its own baseline.
    """
    own = baselines.get(method, "")
    if own and own != method and method in present:
        return own
    first = next(iter(present), "")
    return "" if first == method or baselines.get(first) == method else first


def differences(method: MethodConfig, baseline: MethodConfig) -> tuple[str, ...]:
    """What `differing_parts` found, entry by entry for people: "criterion.box_weight 2.0 -> 1.3"."""
    found: list[str] = []
    for part in differing_parts(method, baseline):
        theirs, ours = _entries(part, getattr(baseline, part)), _entries(part, getattr(method, part))
        if part in theirs and part in ours and theirs[part] != ours[part]:
            # Another criterion: its parameters are not comparable.
            theirs, ours = {part: theirs[part]}, {part: ours[part]}
        for name in dict.fromkeys((*theirs, *ours)):
            before, after = theirs.get(name, "none"), ours.get(name, "none")
            if before != after:
                found.append(f"{name} {before} -> {after}")
    return tuple(found)


def _entries(part: str, value: object) -> dict[str, object]:
    """The entries of a part by their places; parameters stand right below the part."""
    if isinstance(value, Part):
        return {part: value.name, **{f"{part}.{k}": v for k, v in value.parameters.items()}}
    if isinstance(value, Config):
        return {f"{part}.{k}": v for k, v in value.model_dump(mode="json").items()}
    return {part: "none" if value is None else value}
