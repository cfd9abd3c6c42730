"""Estimated speeds of trainings: the table's own rows, rows of the same backbone, and the line between two of them."""

from __future__ import annotations

import pytest

from assignbench.config.detector import DETECTORS, DetectorConfig
from assignbench.config.images import AspectSize
from assignbench.study.speeds import OPERATIONS, estimated

LARGE = AspectSize.model_validate({"short": 800, "long": 1333})


def detector(name: str) -> DetectorConfig:
    return DetectorConfig(name=name, label=name, spec=DETECTORS[name])


def test_the_rows_of_the_table_are_given_back() -> None:
    """Hours of LTM's Table 6: 90,000 steps of 16 images on eight GPUs."""
    for name, hours in (("retinanet-resnet50", 5.02), ("retinanet-resnet101", 6.96), ("fcos-resnet50", 4.89)):
        found = estimated(detector(name), LARGE)
        assert found is not None and found.device == "V100" and found.origin == "cost table"
        assert 90_000 * 16 / found.images_per_second / 3600 / 8 == pytest.approx(hours, rel=1e-3)


def test_time_grows_with_the_area() -> None:
    for name in ("retinanet-slim", "fssd-vgg16", "rfbnet-vgg16"):
        small, large = (estimated(detector(name), side) for side in (160, 320))
        assert small is not None and large is not None
        assert small.images_per_second == pytest.approx(4 * large.images_per_second)
    scales = AspectSize.model_validate({"short": [640, 800], "long": 1333})
    one, several = (estimated(detector("retinanet1-resnet50"), s) for s in (LARGE, scales))
    assert one is not None and several is not None
    assert several.images_per_second == pytest.approx(one.images_per_second / 0.9**2)


def test_others_lie_on_the_line_through_two_backbones() -> None:
    """By hand: RetinaNet takes 1/9.96 s with ResNet-50 and 1/7.184 s with ResNet-101 for an image."""
    seconds = 1 / 9.96 + (1 / 7.184 - 1 / 9.96) * (15.46 - 4.089) / (7.801 - 4.089)
    found = estimated(detector("retinanet1-resnext101-64x4d"), LARGE)
    assert found is not None and found.images_per_second == pytest.approx(1 / seconds)
    assert "by multiply-adds from retinanet-resnet50 and retinanet-resnet101" in found.origin


def test_every_detector_has_an_estimate_and_heavier_ones_are_slower() -> None:
    for name, spec in DETECTORS.items():
        found = estimated(detector(name), 320)
        assert found is not None and 0.5 < found.images_per_second < 1000, name
        assert found.device == ("V100" if spec.backbone.name in OPERATIONS else "CPU core"), name
    names = ("resnet18", "resnet50", "resnet101", "resnext101-64x4d")
    speeds = [estimated(detector(f"retinanet-{n}"), LARGE) for n in names]
    values = [s.images_per_second for s in speeds if s is not None]
    assert values == sorted(values, reverse=True) and len(values) == 4
