"""Methods: one row of a table, composed of assigner, criterion, quality head, ranking score and NMS flavour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from torch import nn

from assignbench.assigners import ASSIGNERS, Assigner
from assignbench.assigners.criteria import CRITERIA
from assignbench.contract import QualityKind
from assignbench.errors import InputError, nearest

Ranking = Literal["cls", "cls*quality", "sqrt(cls*quality)", "quality"]
NmsKind = Literal["standard", "agnostic", "soft", "iou_guided"]
NMS_KINDS: tuple[NmsKind, ...] = ("standard", "agnostic", "soft", "iou_guided")
RANKINGS: tuple[Ranking, ...] = ("cls", "cls*quality", "sqrt(cls*quality)", "quality")

__all__ = ["PRESETS", "Built", "Method", "Part", "build_method", "resolve"]


@dataclass(frozen=True)
class Part:
    """A registered component by name, and the parameters that differ from its defaults."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def override(self, changes: Mapping[str, Any]) -> Part:
        """The same part with changed parameters; a change of `name` drops the old parameters."""
        given = dict(changes)
        name = str(given.pop("name", self.name))
        kept = self.parameters if name == self.name else {}
        return Part(name, {**kept, **given})


@dataclass(frozen=True)
class Method:
    """What a preset name stands for.

    `nms` is the IoU above which a lower-scored box is dropped; `nms_kind` says how: "standard", "agnostic" (classes
    suppress each other), "soft" (Gaussian decay), "iou_guided" (ranked by quality, a kept box takes its cluster's best
    class score). `voting` > 0 is the sigma of PAA's score voting. `prior_prob` and `zero_box` initialise the head.
    """

    name: str
    assigner: Part
    criterion: Part = field(default_factory=lambda: Part("dense"))
    quality: QualityKind | None = None
    ranking: Ranking = "cls"
    nms: float = 0.5
    nms_kind: NmsKind = "standard"
    prior_prob: float = 0.01
    zero_box: bool = False
    voting: float = 0.0
    about: str = ""

    def __post_init__(self) -> None:
        if self.ranking not in RANKINGS:
            raise InputError(f"method '{self.name}': unknown ranking '{self.ranking}'{nearest(self.ranking, RANKINGS)}")
        if self.ranking != "cls" and self.quality is None:
            raise InputError(f"method '{self.name}': ranking '{self.ranking}' needs a quality head; set quality: iou")
        if self.nms_kind not in NMS_KINDS:
            raise InputError(
                f"method '{self.name}': unknown nms_kind '{self.nms_kind}'{nearest(self.nms_kind, NMS_KINDS)}"
            )
        if self.nms_kind == "iou_guided" and self.quality is None:
            raise InputError(f"method '{self.name}': nms_kind 'iou_guided' needs a quality head; set quality: iou")
        if not 0 < self.nms < 1:
            raise InputError(f"method '{self.name}': nms must lie between 0 and 1, got {self.nms}")


@dataclass(frozen=True)
class Built:
    """A method ready to use: `assigner(priors, predictions, objects, context)` and `criterion(...)`."""

    method: Method
    assigner: Assigner
    criterion: nn.Module


def _mutual(name: str, about: str, **halves: str) -> Method:
    return Method(
        name,
        Part("mutual_guidance", halves),
        Part("dense", {"gamma": 1.0, "box": "balanced_l1", "box_weight": 1.0}),
        about=about,
    )


_GN = {"gamma": 2.0, "box": "giou", "box_weight": 2.0}


def _fcos(name: str, about: str, quality: QualityKind | None, **rule: Any) -> Method:
    ranking: Ranking = "cls" if quality is None else "cls*quality"
    return Method(name, Part("fcos", rule), Part("dense", _GN), quality, ranking, nms=0.6, about=about)


def _mlc(name: str, about: str, *, quality: bool, box: str = "smooth_l1", **rule: Any) -> Method:
    kind: QualityKind | None = "iou" if quality else None
    ranking: Ranking = "cls*quality" if quality else "cls"
    return Method(name, Part("mlc", rule), Part("mlc", {"box": box}), kind, ranking, about=about)


def _musu(name: str, about: str, **rule: Any) -> Method:
    part = Part("musu", rule)
    return Method(name, part, Part("musu"), "implicit", "cls*quality", nms=0.6, zero_box=True, about=about)


def _ltm(name: str, about: str, bag: int = 40, beta: float = 0.5, rule: Any = None, **loss: Any) -> Method:
    shared = {"beta": beta, "bag": bag}
    given = {**shared, **(rule or {})}
    if "box" in given:
        loss["box"] = given["box"]
    return Method(name, Part("ltm", given), Part("ltm", {**shared, **loss}), prior_prob=0.02, about=about)


_PAA_LOSS = {"box": "giou", "box_weight": 1.3, "weighting": "iou", "quality_weight": 0.5}


def _paa(name: str, about: str, *, voting: bool = False, loss: Mapping[str, Any] | None = None, **rule: Any) -> Method:
    criterion = Part("dense", {**_PAA_LOSS, **(loss or {})})
    sigma = 0.025 if voting else 0.0
    return Method(name, Part("paa", rule), criterion, "iou", "sqrt(cls*quality)", nms=0.6, voting=sigma, about=about)


_SOFT = {"cls": "quality_focal", "box": "giou", "box_weight": 2.0, "weighting": "quality"}
_ALL = (
    Method("iou", Part("max_iou"), about="static IoU matching 0.5/0.4, each object's best prior forced (SSD's rule)"),
    Method(
        "iou_mmdet",
        Part("max_iou", {"low_quality": "mmdet"}),
        about="static IoU matching 0.5/0.4, all priors at an object's best IoU forced, later objects overwrite",
    ),
    Method(
        "iou_torchvision",
        Part("max_iou", {"low_quality": "torchvision"}),
        about="static IoU matching 0.5/0.4, best priors positive for their own best object",
    ),
    Method("atss", Part("atss"), about="threshold per object from its nearest priors (ATSS)"),
    _mutual("mutual_guidance", "labels of each task from the other's predictions (Mutual Guidance)"),
    _mutual("localize_to_classify", "Mutual Guidance, classification half only", localize="static"),
    _mutual("classify_to_localize", "Mutual Guidance, localization half only", classify="static"),
    _mlc("mlc", "mutual labeling by Otsu's thresholds and IoU rescoring (MLC), RetinaNet candidates", quality=True),
    _mlc("mutual_labeling", "mutual labeling without IoU rescoring (MLC's ML)", quality=False),
    _mlc("iou_rescoring", "IoU rescoring without mutual labeling (MLC's IUR)", quality=True, start=2.0),
    _mlc("mlc_fcos", "MLC on FCOS, all points inside", quality=True, box="iou", candidates="fcos", alpha=0.0),
    Method(
        "rpn",
        Part("max_iou", {"positive": 0.7, "negative": 0.3, "low_quality": "mmdet", "min_iou": 0.3, "sample": 256}),
        Part("dense", {"cls": "bce", "box": "smooth_l1", "box_weight": 1.0}),
        nms=0.7,
        about="RPN's rule: IoU 0.7/0.3, best priors forced from 0.3 on, 256 drawn 1:1; for class-agnostic detectors",
    ),
    replace(_mlc("mlc_rpn", "MLC on RPN, our reading of it", quality=True, candidates="rpn", alpha=2.0), nms=0.7),
    _musu("musu", "adaptive bags, ranks of each task weigh the other (MuSu)"),
    _musu("musu_p", "MuSu ranked by the class score alone (v = p)", criterion="p"),
    _musu("musu_q", "MuSu ranked by the IoU alone (v = q)", criterion="q"),
    _musu("musu_hard", "MuSu with hard targets", hard=True),
    _ltm("ltm", "bags of 40 anchors, mean-max matching M+ and M- (LTM)"),
    _ltm("ltm_plus", "LTM with M+ alone and FreeAnchor's negative loss", negative="freeanchor"),
    _ltm("freeanchor", "FreeAnchor as released (50 anchors, weight 0.75)", 50, 0.75, negative="freeanchor"),
    _ltm("mal_bag", "MAL's bag score: FreeAnchor's loss with 40 anchors", 40, 0.75, negative="freeanchor"),
    _ltm("bag_average", "LTM's ablation: 40 anchors that teach alike, no matching", negative="none", matching=False),
    _ltm("ltm_af", "LTM for points: bags by normalised distance", 40, 5.5, {"kind": "distance", "box": "giou"}),
    _paa("paa", "mixture of scores per object, IoU head (PAA, the authors' released rule)"),
    _paa("paa_voting", "PAA with score voting", voting=True),
    _paa(
        "paa_mmdet",
        "PAA with mmdet's rules",
        loss={"count_images": True},
        separation="c_mmdet",
        forced="forcing",
        lone="negative",
        giou_weight=1.3,
    ),
    _paa("paa_fixed", "PAA with the ten best candidates of every object (FNP)", separation="count", count=10),
    _paa("paa_range", "PAA with every prior scored above 0.3 (FSR)", separation="score", score_above=0.3),
    _fcos("fcos", "smallest object around the point, level ranges, centerness (FCOS)", "centerness"),
    _fcos("fcos_plain", "FCOS without centerness", None),
    _fcos("fcos_center", "FCOS with centre sampling", "centerness", center_radius=1.5),
    Method(
        "simota",
        Part("simota"),
        Part("dense", {"cls": "bce", "box": "iou_square", "box_weight": 5.0}),
        "objectness",
        "cls*quality",
        nms=0.65,
        about="dynamic-k matching by cost (SimOTA)",
    ),
    Method("tal", Part("tal"), Part("dense", _SOFT), nms=0.6, about="task-aligned top 13 with soft targets (TOOD)"),
    Method(
        "dynamic_soft_label",
        Part("dynamic_soft_label"),
        Part("dense", _SOFT),
        nms=0.65,
        about="dynamic-k matching with soft class cost (RTMDet)",
    ),
    Method(
        "autoassign",
        Part("autoassign"),
        Part("autoassign"),
        "implicit",
        "cls*quality",
        nms=0.6,
        prior_prob=0.02,
        about="learned centre prior and confidence weights (AutoAssign)",
    ),
    Method(
        "hungarian", Part("hungarian"), Part("dense", _GN), about="one prior per object by linear assignment (DETR)"
    ),
    Method("random_matched", Part("random_matched"), about="control: as many positives per object as iou, drawn"),
    Method("oracle_iou", Part("oracle_iou"), about="control: positives by the IoU of the current prediction alone"),
)
PRESETS: dict[str, Method] = {m.name: m for m in _ALL}
_PARTS = ("assigner", "criterion")


def resolve(name: str, overrides: Mapping[str, Any] | None = None, *, label: str | None = None) -> Method:
    """A preset with overrides: `assigner` and `criterion` are mappings of parameters (with `name` to swap the part
    itself), or a part's name; the other keys are fields of Method. Raises InputError for what is unknown.
    """
    if name not in PRESETS:
        raise InputError(f"unknown method '{name}'{nearest(name, list(PRESETS))}")
    method = replace(PRESETS[name], name=label or name)
    changes = dict(overrides or {})
    allowed = (*_PARTS, "quality", "ranking", "nms", "nms_kind", "voting", "prior_prob", "zero_box")
    for key, value in changes.items():
        if key not in allowed:
            raise InputError(f"method '{method.name}' has no part '{key}'{nearest(key, allowed)}")
        if key in _PARTS:
            part = cast(Part, getattr(method, key))
            change = {"name": value} if isinstance(value, str) else value
            if not isinstance(change, Mapping):
                raise InputError(f"method '{method.name}': {key} must be a name or a mapping, got {value!r}")
            changed = part.override(change)
            method = replace(method, assigner=changed) if key == "assigner" else replace(method, criterion=changed)
    method = replace(method, **{k: v for k, v in changes.items() if k not in _PARTS})
    ASSIGNERS.check(method.assigner.name, method.assigner.parameters)
    CRITERIA.check(method.criterion.name, method.criterion.parameters)
    return method


def build(method: Method) -> Built:
    """The parts of a method, constructed. Raises InputError for refused parameter values."""
    assigner = ASSIGNERS.build(method.assigner.name, method.assigner.parameters)
    return Built(method, assigner, CRITERIA.build(method.criterion.name, method.criterion.parameters))


def build_method(name: str, **overrides: Any) -> Built:
    """A preset, built; overrides as in a study.

    >>> build_method("mutual_guidance", assigner={"sigma": 3.0}).assigner.sigma
    3.0

    Assigner and criterion need nothing but tensors:

    >>> from assignbench import Context
    >>> from assignbench.examples import three_anchors
    >>> built, (priors, predictions, objects) = build_method("iou"), three_anchors()
    >>> assignment = built.assigner(priors, predictions, objects)
    >>> assignment.cls.index  # >= 0 names the object, -1 is background, -2 is ignored
    tensor([[ 0,  0, -1]])
    >>> losses = built.criterion(priors, predictions, objects, assignment, Context())
    >>> {name: round(float(value), 2) for name, value in losses.items()}
    {'loss_cls': 0.02, 'loss_box': 0.28, 'loss_quality': 0.55}
    """
    return build(resolve(name, overrides))
