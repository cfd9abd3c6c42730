"""What a detector is: family, backbone, neck, head and priors as data; the named ones are rows of a table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from assignbench.config.base import Config
from assignbench.config.method import PriorKind

Norm = Literal["none", "bn", "gn"]
Family = Literal["retinanet", "fcos", "rpn"]
BackboneName = Literal["slim", "squeezenet", "resnet18", "resnet34", "resnet50", "resnet101"]


class BackboneSpec(Config):
    """`freeze_first` keeps SqueezeNet's first convolution as it was loaded."""

    name: BackboneName
    freeze_first: bool = True


class NeckSpec(Config):
    """A feature pyramid of `width` channels with `extra` stride-2 levels above, made from C5 or from P5."""

    width: int = Field(256, ge=1)
    extra: int = Field(2, ge=0, le=4)
    extra_from: Literal["c5", "p5"] = "p5"
    norm: bool = False


class HeadSpec(Config):
    """Towers of `depth` convolutions; `level_scale` gives every level a learned factor on its deltas."""

    width: int = Field(256, ge=1)
    depth: int = Field(4, ge=0, le=8)
    norm: Norm = "none"
    level_scale: bool = False


class PriorSpec(Config):
    """Anchors (every scale x stride with every ratio w:h) or points (`per_location` of them)."""

    kind: PriorKind = "anchor"
    scales: tuple[float, ...] = (4.0,)
    ratios: tuple[float, ...] = (1.0,)
    per_location: int = Field(1, ge=1, le=9)

    @model_validator(mode="after")
    def _usable(self) -> PriorSpec:
        if not self.scales or not self.ratios or min(*self.scales, *self.ratios) <= 0:
            raise ValueError("scales and ratios must be above 0, at least one of each")
        if self.kind == "anchor" and self.per_location != 1:
            raise ValueError("per_location is for points; anchors come one per scale and ratio")
        return self


class DetectorSpec(Config):
    """A detector without its weights. A `class_agnostic` one has a single class, whatever the data's classes are."""

    family: Family
    backbone: BackboneSpec
    neck: NeckSpec = NeckSpec()
    head: HeadSpec = HeadSpec()
    priors: PriorSpec = PriorSpec()

    @property
    def class_agnostic(self) -> bool:
        """Whether it sees one class only."""
        return self.family == "rpn"


class DetectorConfig(Config):
    """A detector of the grid: preset name, label for tables, the resolved specification, its weights file's name."""

    name: str
    label: str
    spec: DetectorSpec
    weights: str = ""
