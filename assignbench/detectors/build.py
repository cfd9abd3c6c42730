"""From a description to a detector: families and backbones are looked up in tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from assignbench.config.detector import DetectorSpec, Family
from assignbench.config.images import Pixels
from assignbench.config.method import CoderConfig, QualityKind
from assignbench.detectors import fcos, fssd, mg_retinanet, retinanet, rfbnet, rpn
from assignbench.detectors.backbones import Backbone, build_backbone, load_weights
from assignbench.detectors.base import IMAGENET, Detector, Parts
from assignbench.detectors.own import build as build_own
from assignbench.priors import prior_grid


class FamilyBuilder(Protocol):
    """What a family's file offers."""

    def __call__(self, spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts: ...


FAMILIES: dict[Family, FamilyBuilder] = {
    "retinanet": retinanet.build,
    "fcos": fcos.build,
    "rpn": rpn.build,
    "fssd": fssd.build,
    "mg-retinanet": mg_retinanet.build,
    "rfbnet": rfbnet.build,
    "own": build_own,
}
_FINEST = {"c2": 4, "c3": 8}
_COARSEST: dict[Family, int] = {"rfbnet": 16}  # the coarsest map that a family takes from its backbone


def build_detector(
    spec: DetectorSpec,
    coder: CoderConfig,
    num_classes: int,
    quality_kind: QualityKind | None = None,
    weights: Path | None = None,
    pixels: Pixels = IMAGENET,
) -> Detector:
    """A detector whose priors carry the method's `coder`; `weights` is a file for the backbone, `pixels` how images are
    normalised (as ImageNet's, in RGB, unless it says otherwise).

    Its other weights are torch's own until `engine.seeding.initialise` sets them. Raises InputError for a weights file
    that does not fit, and for a detector of the user's own that is not made as it has to be.
    """
    backbone = build_backbone(spec.backbone, _FINEST[spec.neck.finest], _COARSEST.get(spec.family, 32))
    if weights is not None:
        load_weights(backbone, weights)
    parts = FAMILIES[spec.family](spec, backbone, num_classes, quality=quality_kind is not None)
    strides = parts.neck.strides
    return Detector(
        backbone,
        parts,
        lambda image_hw: replace(prior_grid(spec.priors, image_hw, strides), coding=coder),
        quality_kind,
        class_agnostic=spec.class_agnostic,
        one_size=spec.one_size,
        pixels=pixels,
    )
