"""Methods: one row of a table, composed of assigner, criterion, quality head, ranking score and NMS flavour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from torch import nn

from assignbench.assigners import ASSIGNERS, Assigner
from assignbench.contract import QualityKind
from assignbench.criteria import CRITERIA
from assignbench.errors import InputError, nearest

Ranking = Literal["cls", "cls*quality", "sqrt(cls*quality)", "quality"]
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
    """What a preset name stands for. `nms` is the IoU above which a lower-scored box of the class is dropped."""

    name: str
    assigner: Part
    criterion: Part = field(default_factory=lambda: Part("dense"))
    quality: QualityKind | None = None
    ranking: Ranking = "cls"
    nms: float = 0.5
    prior_prob: float = 0.01
    about: str = ""

    def __post_init__(self) -> None:
        if self.ranking not in RANKINGS:
            raise InputError(f"method '{self.name}': unknown ranking '{self.ranking}'{nearest(self.ranking, RANKINGS)}")
        if self.ranking != "cls" and self.quality is None:
            raise InputError(f"method '{self.name}': ranking '{self.ranking}' needs a quality head; set quality: iou")
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
    allowed = (*_PARTS, "quality", "ranking", "nms", "prior_prob")
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
    """
    return build(resolve(name, overrides))
