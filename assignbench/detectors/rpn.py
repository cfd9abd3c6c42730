"""The region proposal network (Ren et al., NeurIPS 2015) on a feature pyramid: one class, object or not."""

from __future__ import annotations

from assignbench.config.detector import DetectorSpec
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import RPNHead
from assignbench.detectors.necks import build_neck
from assignbench.priors import anchor_grid


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck, head and anchors of a description; `num_classes` of the data does not matter."""
    neck = build_neck(spec.neck, backbone)
    strides, priors = neck.strides, spec.priors
    head = RPNHead(spec.neck.width, priors.count, quality=quality)
    return Parts(neck, head, lambda image_hw: anchor_grid(image_hw, strides, priors.scales, priors.ratios))
