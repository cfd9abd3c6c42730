"""What a detector is: family, backbone, neck, head and priors as data; the named ones are rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from assignbench.config.base import Config, merge
from assignbench.config.method import PriorKind
from assignbench.config.words import complaints
from assignbench.errors import InputError, nearest

Norm = Literal["none", "bn", "gn"]
Family = Literal["retinanet", "fcos", "rpn"]
Ratio = Annotated[float, Field(gt=0, le=1000)]
MOST_PRIORS = 64  # at one location
BackboneName = Literal["slim", "squeezenet", "resnet18", "resnet34", "resnet50", "resnet101"]

# What the priors of a family are: its head and its coder are made for them.
PRIORS_OF: dict[Family, PriorKind] = {"retinanet": "anchor", "fcos": "point", "rpn": "anchor"}


class BackboneSpec(Config):
    """A backbone by name. `freeze_first` keeps its first convolution as it was loaded."""

    name: BackboneName
    freeze_first: bool = False


class NeckSpec(Config):
    """A feature pyramid of `width` channels with `extra` stride-2 levels above, made from C5 or from P5.

    `norm` puts a batch norm behind every convolution, which small networks that start from nothing need.
    """

    width: int = Field(256, ge=1, le=2048)
    extra: int = Field(2, ge=0, le=4)
    extra_from: Literal["c5", "p5"] = "p5"
    norm: bool = False


class HeadSpec(Config):
    """Towers of `depth` convolutions; `level_scale` gives every level a learned factor on its deltas."""

    width: int = Field(256, ge=1, le=2048)
    depth: int = Field(4, ge=0, le=8)
    norm: Norm = "none"
    level_scale: bool = False


class PriorSpec(Config):
    """Anchors, every one of `scales` (in strides) with every one of `ratios` (w:h), or `per_location` points."""

    kind: PriorKind = "anchor"
    scales: tuple[Ratio, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    per_location: int = Field(1, ge=1, le=9)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.kind == "point":
            if self.scales or self.ratios:
                raise ValueError("scales and ratios are for anchors; points have per_location alone")
            return self
        if not self.scales or not self.ratios:
            raise ValueError("anchors need at least one of scales and of ratios; name some")
        if self.per_location != 1:
            raise ValueError("per_location is for points; anchors come one per scale and ratio")
        if self.count > MOST_PRIORS:
            raise ValueError(f"scales and ratios make {self.count} anchors per location; {MOST_PRIORS} are the most")
        return self

    @property
    def count(self) -> int:
        """Priors at one location."""
        return self.per_location if self.kind == "point" else len(self.scales) * len(self.ratios)


class DetectorSpec(Config):
    """A detector without its weights. `rpn` has one convolution in place of towers, so it takes no `head`."""

    family: Family
    backbone: BackboneSpec
    neck: NeckSpec = NeckSpec()
    head: HeadSpec | None = None
    priors: PriorSpec

    @model_validator(mode="after")
    def _fits_the_family(self) -> Self:
        wanted = PRIORS_OF[self.family]
        if self.priors.kind != wanted:
            raise ValueError(f"family '{self.family}' works on {wanted}s, priors.kind is '{self.priors.kind}'")
        if self.family == "rpn" and self.head is not None:
            raise ValueError("family 'rpn' has no towers; leave head out, its width is the neck's")
        if self.neck.extra_from == "c5" and not self.neck.extra:
            raise ValueError(
                "neck.extra_from 'c5' has no meaning without extra levels; set neck.extra, or leave it out"
            )
        if self.family != "rpn" and self.head is None:
            raise ValueError(f"family '{self.family}' needs a head (width, depth, norm, level_scale)")
        return self

    @property
    def class_agnostic(self) -> bool:
        """Whether it sees one class only, whatever the data's classes are."""
        return self.family == "rpn"


class DetectorConfig(Config):
    """A detector of the grid: preset name, label for tables, the resolved specification, its weights file's name."""

    name: str
    label: str
    spec: DetectorSpec
    weights: str = ""


# Anchors of the small detectors: 20 and 28 px at stride 8.
SMALL = PriorSpec(scales=(2.5, 3.54), ratios=(1.0, 2.0, 0.5))
# The anchors of Mutual Guidance: 24 px and its root-two fold at stride 8 and so on, three ratios.
MUTUAL = PriorSpec(scales=(3.0, 3.0 * 2**0.5), ratios=(1.0, 2.0, 0.5))
# RetinaNet's own: 4 x stride x 2^(k/3).
RETINA = PriorSpec(scales=(4.0, 4.0 * 2 ** (1 / 3), 4.0 * 2 ** (2 / 3)), ratios=(0.5, 1.0, 2.0))
# ATSS's and PAA's: one square anchor of 8 strides in the papers, of 4 here, where images and objects are small.
ONE = PriorSpec(scales=(4.0,), ratios=(1.0,))
POINT = PriorSpec(kind="point")

_SLIM = BackboneSpec(name="slim")
_SQUEEZENET = BackboneSpec(name="squeezenet", freeze_first=True)


def _small_neck(width: int, extra: int) -> NeckSpec:
    return NeckSpec(width=width, extra=extra, norm=True)


DETECTORS: dict[str, DetectorSpec] = {
    # 0.3 million parameters, for CPUs: strides 8 to 32, batch norm everywhere.
    "retinanet-slim": DetectorSpec(
        family="retinanet",
        backbone=_SLIM,
        neck=_small_neck(48, 0),
        head=HeadSpec(width=48, depth=1, norm="bn"),
        priors=SMALL,
    ),
    # Strides 8 to 64, narrow enough to train on a CPU.
    "retinanet-squeezenet": DetectorSpec(
        family="retinanet",
        backbone=_SQUEEZENET,
        neck=_small_neck(96, 2),
        head=HeadSpec(width=96, depth=1, norm="bn"),
        priors=SMALL,
    ),
    # Standard shared heads, strides 8 to 128, Mutual Guidance's anchors.
    "retinanet-resnet18": DetectorSpec(
        family="retinanet", backbone=BackboneSpec(name="resnet18"), head=HeadSpec(), priors=MUTUAL
    ),
    # Standard shared heads, strides 8 to 128, nine anchors (Lin et al., ICCV 2017).
    "retinanet-resnet50": DetectorSpec(
        family="retinanet",
        backbone=BackboneSpec(name="resnet50"),
        neck=NeckSpec(extra_from="c5"),
        head=HeadSpec(),
        priors=RETINA,
    ),
    # Points, distances to the sides, strides 8 to 64; the quality head on the box tower.
    "fcos-slim": DetectorSpec(
        family="fcos",
        backbone=_SLIM,
        neck=_small_neck(48, 1),
        head=HeadSpec(width=48, depth=1, norm="bn", level_scale=True),
        priors=POINT,
    ),
    "fcos-squeezenet": DetectorSpec(
        family="fcos",
        backbone=_SQUEEZENET,
        neck=_small_neck(96, 2),
        head=HeadSpec(width=96, depth=1, norm="bn", level_scale=True),
        priors=POINT,
    ),
    # One square anchor per location, group-norm towers, a learned factor per level (the network of ATSS and PAA).
    "retinanet1-slim": DetectorSpec(
        family="retinanet",
        backbone=_SLIM,
        neck=_small_neck(48, 0),
        head=HeadSpec(width=48, depth=2, norm="gn", level_scale=True),
        priors=ONE,
    ),
    # A region proposal network for CPUs: one class; strides 8 to 32.
    "rpn-slim": DetectorSpec(family="rpn", backbone=_SLIM, neck=_small_neck(48, 0), priors=SMALL),
    "rpn-squeezenet": DetectorSpec(family="rpn", backbone=_SQUEEZENET, neck=_small_neck(96, 2), priors=SMALL),
}


def resolve(name: str, overrides: Mapping[str, Any] | None = None) -> DetectorSpec:
    """The specification of a named detector, parts of it replaced as a study writes them.

    A part that is given as a mapping is laid over the named detector's part, entry by entry. Raises InputError with the
    place, the value and the nearest that is known for everything that is not understood.
    """
    if name not in DETECTORS:
        raise InputError(f"unknown detector '{name}'{nearest(name, list(DETECTORS))}")
    content = merge(DETECTORS[name].model_dump(mode="json"), overrides or {})
    try:
        return DetectorSpec.model_validate(content)
    except ValidationError as problem:
        told = f"detector '{name}': {complaints(problem, DetectorSpec)}"
        raise InputError(told, problem.errors()[0]["loc"]) from None
