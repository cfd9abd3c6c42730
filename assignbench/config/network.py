"""What a network is, as data: backbone, neck, head and priors, and which of their words each family reads."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from assignbench.config.base import Config
from assignbench.config.method import PriorKind

Norm = Literal["none", "bn", "gn"]
Family = Literal["retinanet", "fcos", "rpn", "fssd", "mg-retinanet", "rfbnet", "own"]
BackboneName = Literal[
    "slim",
    "squeezenet",
    "vgg16",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnext101-64x4d",
    "resnext101-32x8d",
    "resnext152-32x8d",
    "mobilenet_v3",
]
Stage = Literal["c3", "c4", "c5"]
Ratio = Annotated[float, Field(gt=0, le=1000)]
MOST_PRIORS = 64  # at one location
LEAST_SIDE = 1e-3  # px of an anchor: deltas are counted in its sides
LEAST_WIDTH = 16  # of RFBNet's neck: its blocks have branches of one eighth of their inputs, and of half of that

# What the priors of a family are: its head and its coder are made for them.
PRIORS_OF: dict[Family, PriorKind] = {
    "retinanet": "anchor",
    "fcos": "point",
    "rpn": "anchor",
    "fssd": "anchor",
    "mg-retinanet": "anchor",
    "rfbnet": "anchor",
}
# Families of Mutual Guidance: a neck of their own, one convolution per level and task, anchors that end at the image.
FUSING: tuple[Family, ...] = ("fssd", "mg-retinanet", "rfbnet")
# Backbones of which an ImageNet file of torchvision's exists, by that file's name.
PUBLISHED: dict[BackboneName, str] = {
    "squeezenet": "squeezenet1_1-b8a52dc0.pth",
    "vgg16": "vgg16_bn-6c64b313.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnext101-64x4d": "resnext101_64x4d-173b62eb.pth",
    "resnext101-32x8d": "resnext101_32x8d-8ba56ff5.pth",
    "mobilenet_v3": "mobilenet_v3_large-8738ca79.pth",
}
# The stride of a backbone's last map; the first one is of stride 4 (C2) everywhere.
COARSEST: dict[BackboneName, int] = {"squeezenet": 16, "vgg16": 16}
_BOTTLENECKS = ("resnet50", "resnet101", "resnext101-64x4d", "resnext101-32x8d", "resnext152-32x8d")


class BackboneSpec(Config):
    """A backbone by name, and what of it does not learn.

    `freeze_first` keeps its first convolution as it was loaded, `frozen_stages` all up to C2 (1), C3 (2) and so on,
    also the statistics of their norms. `frozen_norm` keeps the statistics of all its batch norms ("statistics", mmdet's
    norm_eval) or the whole norms ("all", maskrcnn-benchmark). `dcn` makes the 3x3 convolutions of bottlenecks in these
    stages deformable, with masks (Deformable ConvNets v2) or, without `dcn_masks`, offsets alone (v1).
    """

    name: BackboneName
    freeze_first: bool = False
    frozen_stages: int = Field(0, ge=0, le=4)
    frozen_norm: Literal["none", "statistics", "all"] = "none"
    dcn: tuple[Stage, ...] = ()
    dcn_masks: bool = True

    @model_validator(mode="after")
    def _usable(self) -> Self:
        stages = self.coarsest.bit_length() - 2  # one of stride 4, 8, ...
        if self.frozen_stages > stages:
            raise ValueError(f"{self.name} has {stages} stages; set backbone.frozen_stages to {stages} or less")
        if self.frozen_stages and self.freeze_first:
            raise ValueError("frozen_stages holds the first convolution; set backbone.freeze_first: false")
        if self.frozen_norm != "none" and self.name == "squeezenet":
            raise ValueError("squeezenet has no batch norms; leave backbone.frozen_norm out")
        if self.frozen_norm != "none" and self.frozen_stages == stages:
            raise ValueError(f"frozen_stages: {stages} holds all norms of {self.name}; leave backbone.frozen_norm out")
        if self.dcn and self.name not in _BOTTLENECKS:
            raise ValueError(f"{self.name} has no bottlenecks for dcn; take one of {', '.join(_BOTTLENECKS)}")
        if len(set(self.dcn)) < len(self.dcn):
            raise ValueError(f"dcn names a stage twice: {', '.join(self.dcn)}")
        still = [stage for stage in self.dcn if int(stage[1:]) <= self.frozen_stages + 1]
        if still:
            raise ValueError(
                f"dcn: {still[0]} lies in the frozen stages, where no offset is learned; leave it out, or set "
                f"backbone.frozen_stages to {int(still[0][1:]) - 2} or less"
            )
        if not self.dcn_masks and not self.dcn:
            raise ValueError("dcn_masks has no meaning without dcn; name its stages, e.g. dcn: [c3, c4, c5]")
        return self

    @property
    def coarsest(self) -> int:
        """The stride of its last map."""
        return COARSEST.get(self.name, 32)

    @property
    def frozen(self) -> str:
        """What of it does not learn, for people; empty where all does."""
        norm = {"none": "", "statistics": "the statistics of its norms", "all": "its norms"}
        parts = ("its first convolution" if self.freeze_first else "", norm[self.frozen_norm])
        stages = f"its first {self.frozen_stages} stages" if self.frozen_stages > 1 else "its first stage"
        return " and ".join(p for p in (stages if self.frozen_stages else "", *parts) if p)


class NeckSpec(Config):
    """A feature pyramid of `width` channels from C3 (or C2, `finest`) with `extra` stride-2 levels above.

    These are made from C5 or from P5, by convolutions or by taking every second cell (`extra_by`: the pyramid of a
    region proposal network). `norm` puts a batch norm behind every convolution, which small networks that start from
    nothing need. Of `fssd`, `mg-retinanet` and `rfbnet` it is the width, and the levels above that of stride 8.
    """

    width: int = Field(256, ge=1, le=2048)
    extra: int = Field(2, ge=0, le=4)
    extra_from: Literal["c5", "p5"] = "p5"
    extra_by: Literal["conv", "pool"] = "conv"
    finest: Literal["c2", "c3"] = "c3"
    norm: bool = False

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.extra_from == "c5" and not self.extra:
            raise ValueError(
                "neck.extra_from 'c5' has no meaning without extra levels; set neck.extra, or leave it out"
            )
        if self.extra_by == "pool" and not self.extra:
            raise ValueError("neck.extra_by 'pool' has no meaning without extra levels; set neck.extra")
        if self.extra_by == "pool" and self.extra_from == "c5":
            raise ValueError("neck.extra_by 'pool' takes the cells of P5; set neck.extra_from: p5")
        return self


class HeadSpec(Config):
    """Towers of `depth` convolutions; `level_scale` gives every level a learned factor on its deltas.

    `quality_on` is the tower that the quality layer sits on, `bias` gives the towers biases beside their norms
    (torchvision's FCOS), `dcn` makes the last convolution of both towers deformable (`dcn_masks` as in the backbone).
    """

    width: int = Field(256, ge=1, le=2048)
    depth: int = Field(4, ge=0, le=8)
    norm: Norm = "none"
    level_scale: bool = False
    quality_on: Literal["box", "cls"] = "box"
    bias: bool = False
    dcn: bool = False
    dcn_masks: bool = True

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.bias and self.norm == "none":
            raise ValueError("towers without a norm have biases anyway; leave head.bias out")
        if not self.depth:
            for name, value in (("dcn", False), ("norm", "none"), ("quality_on", "box")):
                if getattr(self, name) != value:
                    raise ValueError(f"head.{name} needs a tower; set head.depth to 1 or more")
        if not self.dcn_masks and not self.dcn:
            raise ValueError("head.dcn_masks has no meaning without dcn; set head.dcn: true")
        return self


class PriorSpec(Config):
    """Anchors, every one of `scales` (in strides) with every one of `ratios` (w:h), or `per_location` points.

    `order` says what the outer loop over a location's anchors is. The first location lies at `offset` strides:
    1/2 is the middle of its cell, 0 its corner (torchvision, mmdet). `rounding`: "torchvision" cuts the side of a
    square anchor to whole px and rounds the half sides of its ratios, "freeanchor" rounds the sides that a ratio gives
    to a box of one stride before it is scaled (maskrcnn-benchmark, FreeAnchor).
    `inclusive` anchors end at their last pixel, one px before their side is over: the same side for a method that
    counts pixels so (`coder: {legacy_plus_one: ...}`), and for no other.
    `clamp` holds centre x and y, width and height of every anchor within the image, each for itself (Mutual Guidance).
    """

    kind: PriorKind = "anchor"
    scales: tuple[Ratio, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    per_location: int = Field(1, ge=1, le=9)
    order: Literal["scale", "ratio"] = "scale"
    offset: float = Field(0.5, ge=0, le=0.5)
    rounding: Literal["none", "torchvision", "freeanchor"] = "none"
    inclusive: bool = False
    clamp: bool = False

    @model_validator(mode="after")
    def _usable(self) -> Self:
        check = {"point": self._check_points, "anchor": self._check_anchors}[self.kind]
        check()
        return self

    def _check_points(self) -> None:
        if self.scales or self.ratios:
            raise ValueError("scales and ratios are for anchors; points have per_location alone")
        for name in ("order", "rounding", "inclusive", "clamp"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for anchors; leave priors.{name} out")

    def _check_anchors(self) -> None:
        if not self.scales or not self.ratios:
            raise ValueError("anchors need at least one of scales and of ratios; name some")
        if self.per_location != 1:
            raise ValueError("per_location is for points; anchors come one per scale and ratio")
        if self.count > MOST_PRIORS:
            raise ValueError(f"scales and ratios make {self.count} anchors per location; {MOST_PRIORS} are the most")
        for name, values in (("scales", self.scales), ("ratios", self.ratios)):
            if len(set(values)) < len(values):
                raise ValueError(f"priors.{name} names a value twice: {', '.join(f'{v:g}' for v in values)}")
        if self.order == "ratio" and 1 in (len(self.scales), len(self.ratios)):
            raise ValueError("order 'ratio' has no meaning with one scale or one ratio; leave priors.order out")

    @property
    def count(self) -> int:
        """Priors at one location."""
        return self.per_location if self.kind == "point" else len(self.scales) * len(self.ratios)

    def least_side(self, stride: int) -> float:
        """The shortest side of its anchors at a stride, px; 0 or less where rounding leaves nothing."""
        sides = {"none": _exact, "torchvision": _rounded_corners, "freeanchor": _rounded_base}[self.rounding]
        return min(min(sides(s, r, stride)) for s in self.scales for r in self.ratios) - self.inclusive


def _exact(scale: float, ratio: float, stride: int) -> tuple[float, float]:
    return scale * stride * math.sqrt(ratio), scale * stride / math.sqrt(ratio)


def _rounded_corners(scale: float, ratio: float, stride: int) -> tuple[float, float]:
    wide, high = _exact(math.floor(scale * stride), ratio, 1)
    return 2 * round(wide / 2), 2 * round(high / 2)


def _rounded_base(scale: float, ratio: float, stride: int) -> tuple[float, float]:
    wide = round(stride * math.sqrt(ratio))
    return scale * wide, scale * round(wide / ratio)


class DetectorSpec(Config):
    """A detector without its weights. `head` is for towers: `rpn` has one convolution in their place, and `fssd`,
    `mg-retinanet` and `rfbnet` have none. `own` is a detector of the user's own, made by `function`.
    """

    family: Family
    function: str = Field("", pattern=r"^$|^[^:]+:[^:]+$", max_length=200)
    backbone: BackboneSpec
    neck: NeckSpec = NeckSpec()
    head: HeadSpec | None = None
    priors: PriorSpec

    @model_validator(mode="after")
    def _fits_the_family(self) -> Self:
        if (self.family == "own") != bool(self.function):
            raise ValueError("family 'own' and function go together; write name: module:function, and leave both out")
        wanted = PRIORS_OF.get(self.family, self.priors.kind)
        if self.priors.kind != wanted:
            raise ValueError(f"family '{self.family}' works on {wanted}s, priors.kind is '{self.priors.kind}'")
        if self.family == "rpn" and self.head is not None:
            raise ValueError("family 'rpn' has no towers; leave head out, its width is the neck's")
        if self.family in FUSING:
            self._fuses()
        elif self.family not in ("rpn", "own") and self.head is None:
            raise ValueError(f"family '{self.family}' needs a head (width, depth, norm, level_scale)")
        if self.head is not None and not self.head.depth and self.head.width != self.neck.width:
            raise ValueError(f"a head without a tower has the neck's width; set head.width: {self.neck.width}")
        if self.priors.kind == "anchor" and self.priors.least_side(self.strides[0]) < LEAST_SIDE:
            raise ValueError(
                f"at stride {self.strides[0]} an anchor has a side of {self.priors.least_side(self.strides[0]):g} px; "
                "raise priors.scales, or take ratios nearer to 1"
            )
        return self

    def _fuses(self) -> None:
        """What Mutual Guidance's necks do not read stays as it is."""
        if self.head is not None:
            raise ValueError(f"family '{self.family}' has no towers; leave head out")
        if self.family == "rfbnet" and self.neck.width < LEAST_WIDTH:
            raise ValueError(f"family 'rfbnet' needs a width of {LEAST_WIDTH} at least; set neck.width: {LEAST_WIDTH}")
        told = {
            "norm": (True, "has batch norms behind every convolution"),
            "extra_from": ("p5", "makes its levels from the one before"),
            "extra_by": ("conv", "makes its levels by convolutions"),
            "finest": ("c3", "begins at stride 8"),
        }
        for name, (value, why) in told.items():
            if getattr(self.neck, name) != value:
                shown = str(value).lower() if isinstance(value, bool) else value
                raise ValueError(f"family '{self.family}' {why}; set neck.{name}: {shown}")

    @property
    def class_agnostic(self) -> bool:
        """Whether it sees one class only, whatever the data's classes are."""
        return self.family == "rpn"

    @property
    def one_size(self) -> bool:
        """Whether its priors depend on the size of the image, so that a batch must not mix sizes."""
        return self.priors.clamp

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of its levels, finest first; those of an own detector's are its function's matter."""
        if self.family in FUSING:
            return tuple(8 * 2**level for level in range(self.neck.extra + 1))
        first = {"c2": 4, "c3": 8}[self.neck.finest]
        last = self.backbone.coarsest * 2**self.neck.extra
        return tuple(first * 2**level for level in range((last // first).bit_length()))
