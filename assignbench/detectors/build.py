"""From a description to a detector: families and backbones are looked up in tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from assignbench.config.detector import DetectorSpec, Family
from assignbench.config.images import Pixels
from assignbench.config.method import CoderConfig, QualityKind
from assignbench.detectors import fcos, retinanet, rpn
from assignbench.detectors.backbones import Backbone, build_backbone, load_weights
from assignbench.detectors.base import Detector, Parts


class FamilyBuilder(Protocol):
    """What a family's file offers."""

    def __call__(self, spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts: ...


FAMILIES: dict[Family, FamilyBuilder] = {"retinanet": retinanet.build, "fcos": fcos.build, "rpn": rpn.build}


def build_detector(
    spec: DetectorSpec,
    coder: CoderConfig,
    num_classes: int,
    quality_kind: QualityKind | None = None,
    weights: Path | None = None,
    pixels: Pixels | None = None,
) -> Detector:
    """A detector whose priors carry the method's `coder`; `weights` is a file for the backbone, `pixels` how images are
    normalised (as ImageNet's, in RGB, unless it says otherwise).

    Its other weights are torch's own until `engine.seeding.initialise` sets them. Raises InputError for a weights file
    that does not fit.
    """
    backbone = build_backbone(spec.backbone)
    if weights is not None:
        load_weights(backbone, weights)
    parts = FAMILIES[spec.family](spec, backbone, num_classes, quality=quality_kind is not None)
    coded = replace(parts, grid=lambda image_hw: replace(parts.grid(image_hw), coding=coder))
    return Detector(backbone, coded, quality_kind, class_agnostic=spec.class_agnostic, pixels=pixels or Pixels())
