"""The named detectors, a table of families x backbones, and how a study changes parts of one or brings its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from assignbench.config.base import Config, merge
from assignbench.config.network import (
    PRIORS_OF,
    PUBLISHED,
    BackboneName,
    BackboneSpec,
    DetectorSpec,
    Family,
    HeadSpec,
    NeckSpec,
    Norm,
    PriorSpec,
)
from assignbench.config.words import complaints
from assignbench.errors import InputError, nearest
from assignbench.plugins import imported

Function = TypeVar("Function", bound=Callable[..., Any])

FROM_TORCHVISION = "torchvision"  # as the name of a weights file: torchvision's own for ImageNet


class DetectorConfig(Config):
    """A detector of the grid: preset name, label for tables, the resolved specification, its weights file's name."""

    name: str
    label: str
    spec: DetectorSpec
    weights: str = ""

    @property
    def beginning(self) -> str:
        """What its backbone starts from, for people."""
        if self.weights == FROM_TORCHVISION:
            return f"starts from torchvision's {PUBLISHED[self.spec.backbone.name]}"
        return f"starts from {self.weights}" if self.weights else "starts without pretrained weights (backbone: random)"

    @property
    def warning(self) -> str:
        """What a reader must know of what does not learn; empty where that was pretrained, or all learns."""
        frozen = self.spec.backbone.frozen
        if self.weights or not frozen:
            return ""
        told = f"no weights are named, so {frozen} of its {self.spec.backbone.name} stay as they were drawn at random"
        return f"{told}, which `run` refuses" if self.frozen_at_random else told

    @property
    def frozen_at_random(self) -> str:
        """The entries of its backbone, as a study writes them, that hold still what was never trained; empty for none.

        A first convolution alone (`freeze_first`) is no such entry: the small networks that have it learn above it.
        """
        backbone = self.spec.backbone
        named = [f"frozen_stages: {backbone.frozen_stages}"] if backbone.frozen_stages else []
        named += [f"frozen_norm: {backbone.frozen_norm}"] if backbone.frozen_norm != "none" else []
        return "" if self.weights else " and ".join(named)


# Anchors of the small detectors: 20 and 28 px at stride 8.
SMALL = PriorSpec(scales=(2.5, 3.54), ratios=(1.0, 2.0, 0.5))
# The anchors of Mutual Guidance: 24 px and its root-two fold at stride 8 and so on, three ratios.
MUTUAL = PriorSpec(scales=(3.0, 3.0 * 2**0.5), ratios=(1.0, 2.0, 0.5))
# RetinaNet's own: 4 x stride x 2^(k/3).
RETINA = PriorSpec(scales=(4.0, 4.0 * 2 ** (1 / 3), 4.0 * 2 ** (2 / 3)), ratios=(0.5, 1.0, 2.0))
# ATSS's and PAA's: one square anchor of 8 strides; of 4 in the small detectors, whose images and objects are small.
ONE, ONE_SMALL = PriorSpec(scales=(8.0,), ratios=(1.0,)), PriorSpec(scales=(4.0,), ratios=(1.0,))
# Of a region proposal network from stride 4 on: 32 to 512 px (Lin et al., CVPR 2017).
PROPOSALS = PriorSpec(scales=(8.0,), ratios=(0.5, 1.0, 2.0))
POINT = PriorSpec(kind="point")


_FULL: tuple[BackboneName, ...] = (
    *("vgg16", "resnet18", "resnet34", "resnet50", "resnet101", "mobilenet_v3"),
    *("resnext101-64x4d", "resnext101-32x8d", "resnext152-32x8d"),
)


@dataclass(frozen=True)
class _Row:
    """A family's parts in full-size networks and in the small ones, and the backbones that it is named with there."""

    family: Family
    neck: NeckSpec
    priors: PriorSpec
    small_priors: PriorSpec
    head: HeadSpec | None = None
    small_head: HeadSpec | None = None
    backbones: tuple[BackboneName, ...] = _FULL


_FUSED = NeckSpec(extra=3, norm=True)
_CLAMPED, _SMALL_CLAMPED = (p.model_copy(update={"clamp": True}) for p in (MUTUAL, SMALL))

ROWS: dict[str, _Row] = {
    # Shared towers, strides 8 to 128, nine anchors (Lin et al., ICCV 2017).
    "retinanet": _Row(
        family="retinanet",
        neck=NeckSpec(extra_from="c5"),
        head=HeadSpec(),
        priors=RETINA,
        small_head=HeadSpec(depth=1, norm="bn"),
        small_priors=SMALL,
    ),
    # One square anchor per location, group-norm towers, a learned factor per level (the network of ATSS and PAA).
    "retinanet1": _Row(
        family="retinanet",
        neck=NeckSpec(),
        head=HeadSpec(norm="gn", level_scale=True),
        priors=ONE,
        small_head=HeadSpec(depth=2, norm="gn", level_scale=True),
        small_priors=ONE_SMALL,
    ),
    # Points, distances to the sides; the quality head on the box tower (Tian et al., ICCV 2019).
    "fcos": _Row(
        family="fcos",
        neck=NeckSpec(),
        head=HeadSpec(norm="gn", level_scale=True),
        priors=POINT,
        small_head=HeadSpec(depth=1, norm="bn", level_scale=True),
        small_priors=POINT,
    ),
    # A region proposal network: one class, strides 4 to 64.
    "rpn": _Row(
        family="rpn",
        neck=NeckSpec(finest="c2", extra=1, extra_by="pool"),
        priors=PROPOSALS,
        small_priors=SMALL,
    ),
    # The networks of Mutual Guidance: strides 8 to 64, 12,750 anchors at 320 px.
    "fssd": _Row(family="fssd", neck=_FUSED, priors=_CLAMPED, small_priors=_SMALL_CLAMPED),
    "mg-retinanet": _Row(family="mg-retinanet", neck=_FUSED, priors=_CLAMPED, small_priors=_SMALL_CLAMPED),
    "rfbnet": _Row(family="rfbnet", neck=_FUSED, priors=_CLAMPED, small_priors=_SMALL_CLAMPED, backbones=("vgg16",)),
}
# Small networks for CPUs by backbone: width, batch norm everywhere, and the levels above the backbone's last one.
# Of slim, 0.3 million parameters with strides 8 to 32; points need a level more for large objects.
_SMALL: dict[BackboneName, tuple[int, int]] = {"slim": (48, 0), "squeezenet": (96, 2)}
SMALL_BACKBONES = tuple(_SMALL)
_MORE_LEVELS = {"fcos-slim": 1}


def _full(row: _Row, name: BackboneName) -> DetectorSpec:
    backbone = BackboneSpec(name=name)
    return DetectorSpec(family=row.family, backbone=backbone, neck=row.neck, head=row.head, priors=row.priors)


def _small(family: str, row: _Row, name: BackboneName) -> DetectorSpec:
    width, extra = _SMALL[name]
    backbone = BackboneSpec(name=name, freeze_first=name == "squeezenet")
    levels = extra + _MORE_LEVELS.get(f"{family}-{name}", 0)
    if row.neck.norm:  # a fusing neck counts the levels above stride 8, and ends at the same ones
        levels += (backbone.coarsest // 8).bit_length() - 1
    head = row.small_head and row.small_head.model_copy(update={"width": width})
    return DetectorSpec(
        family=row.family,
        backbone=backbone,
        neck=NeckSpec(width=width, extra=levels, norm=True),
        head=head,
        priors=row.small_priors,
    )


DETECTORS: dict[str, DetectorSpec] = {
    **{f"{family}-{name}": _small(family, row, name) for family, row in ROWS.items() for name in _SMALL},
    **{f"{family}-{name}": _full(row, name) for family, row in ROWS.items() for name in row.backbones},
    # RetinaNet's towers with Mutual Guidance's anchors: a rehearsal of its table from before mg-retinanet was there.
    "retinanet-resnet18": DetectorSpec(
        family="retinanet", backbone=BackboneSpec(name="resnet18"), head=HeadSpec(), priors=MUTUAL
    ),
}


def resolve(name: str, overrides: Mapping[str, Any] | None = None) -> DetectorSpec:
    """The specification of a named detector or of `module:function`, parts of it replaced as a study writes them.

    A part that is given as a mapping is laid over the named detector's part, entry by entry. Raises InputError with the
    place, the value and the nearest that is known for everything that is not understood.
    """
    if ":" not in name and name not in DETECTORS:
        raise InputError(f"unknown detector '{name}'{nearest(name, list(DETECTORS))}; your own is module:function")
    spec = own_detector(name).spec if ":" in name else DETECTORS[name]
    content = merge(spec.model_dump(mode="json"), overrides or {})
    try:
        return DetectorSpec.model_validate(content)
    except ValidationError as problem:
        told = f"detector '{name}': {complaints(problem, DetectorSpec)}"
        raise InputError(told, problem.errors()[0]["loc"]) from None


@dataclass(frozen=True)
class OwnDetector:
    """A function of the user's own that makes a detector's parts, and the description that it starts from."""

    function: Callable[..., Any]
    spec: DetectorSpec


_MARKED: list[OwnDetector] = []


def detector(*, backbone: BackboneSpec, priors: PriorSpec, neck: NeckSpec, head: HeadSpec | None = None) -> Any:
    """Decorator that makes a function a detector, which a study names as `module:function`: no other one is called.

    The function is called as those of the families are, `function(spec, backbone, num_classes, quality=...)`, and
    returns `detectors.base.Parts`; `spec` holds what is given here, with a study's changes.
    """

    def mark(function: Function) -> Function:
        spec = DetectorSpec(
            family="own",
            function=f"{function.__module__}:{function.__qualname__}",
            backbone=backbone,
            neck=neck,
            head=head,
            priors=priors,
        )
        _MARKED.append(OwnDetector(function, spec))
        return function

    return mark


def own_detector(path: str) -> OwnDetector:
    """The detector behind `module:function`. Raises InputError for what cannot be imported and for what no `@detector`
    marks; nothing is called.
    """
    found = imported(path, "detector")
    for known in _MARKED:
        if known.function is found:
            return OwnDetector(known.function, known.spec.model_copy(update={"function": path}))
    raise InputError(
        f"detector '{path}' is a {type(found).__name__} that is not marked as a detector; write "
        "@detector(backbone=..., neck=..., priors=...) of assignbench.config.detector above the function"
    )


__all__ = [
    "DETECTORS",
    "FROM_TORCHVISION",
    "PRIORS_OF",
    "PUBLISHED",
    "SMALL_BACKBONES",
    "BackboneName",
    "BackboneSpec",
    "DetectorConfig",
    "DetectorSpec",
    "Family",
    "HeadSpec",
    "NeckSpec",
    "Norm",
    "OwnDetector",
    "PriorSpec",
    "detector",
    "own_detector",
    "resolve",
]
