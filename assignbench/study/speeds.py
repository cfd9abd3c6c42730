"""How fast a detector trains: an estimate for plans, from a table of what was measured elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from assignbench.config.detector import DetectorConfig
from assignbench.config.images import AspectSize, nominal_hw

TABLE = "speeds.csv"
# Multiply-adds of an image of 224 x 224 px, in units of 1e9, as torchvision states them for its classifiers; that of
# ResNeXt-152 is ResNeXt-101's times what ResNet-152 has over ResNet-101.
OPERATIONS = {
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "vgg16": 15.47,
    "mobilenet_v3": 0.217,
    "resnext101-64x4d": 15.46,
    "resnext101-32x8d": 16.414,
    "resnext152-32x8d": 16.414 * 11.514 / 7.801,
}


@dataclass(frozen=True)
class Speed:
    """Images that one device trains on in a second; `origin` says where the number is from."""

    images_per_second: float
    device: str
    origin: str


@dataclass(frozen=True)
class _Row:
    detector: str
    area: float
    speed: Speed

    @property
    def backbone(self) -> str:
        return self.detector.removeprefix("mg-").partition("-")[2]

    @property
    def seconds(self) -> float:
        """Of one device for a pixel of an image."""
        return 1 / (self.speed.images_per_second * self.area)


def estimated(detector: DetectorConfig, size: int | AspectSize) -> Speed | None:
    """The speed of a detector at a size by the table; None where nothing like it was measured.

    Its own row counts, else one of its backbone, else the line through FCOS's or RetinaNet's rows over the backbones'
    multiply-adds. Times grow with the area of the images. What a method costs beyond the network is not in it.
    """
    rows, backbone = _table(), detector.spec.backbone.name
    alike = [r for r in rows if r.detector == detector.name] or [r for r in rows if r.backbone == backbone]
    if alike:
        row = alike[0]
        told = "" if row.detector == detector.name else f", as {row.detector}"
        return Speed(1 / (row.seconds * _area(size)), row.speed.device, f"cost table{told}")
    if backbone not in OPERATIONS:
        return None
    family = "fcos" if detector.spec.family == "fcos" else "retinanet"
    points = [(OPERATIONS[r.backbone], r) for r in rows if r.detector.startswith(f"{family}-resnet")]
    (first, low), (second, high) = points
    slope = (high.seconds - low.seconds) / (second - first)
    seconds = low.seconds + slope * (OPERATIONS[backbone] - first)
    told = f"cost table, by multiply-adds from {low.detector} and {high.detector}"
    return Speed(1 / (seconds * _area(size)), low.speed.device, told)


def _area(size: int | AspectSize) -> float:
    """Pixels of an image in the network; of several sides their mean."""
    height, width = nominal_hw(size)
    sides: Sequence[int] = () if isinstance(size, int) else size.choices
    scale = sum(sides) / len(sides) / max(sides) if sides else 1.0
    return height * width * scale**2


@cache
def _table() -> tuple[_Row, ...]:
    text = files("assignbench.study").joinpath(TABLE).read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_row(row) for row in rows)


def _row(row: dict[str, str]) -> _Row:
    short, long = int(row["short"]), int(row["long"])
    size = short if short == long else AspectSize.model_validate({"short": short, "long": long})
    return _Row(row["detector"], _area(size), Speed(float(row["images_per_second"]), row["device"], "cost table"))
