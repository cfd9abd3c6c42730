"""FCOS (Tian et al., ICCV 2019): points instead of anchors, distances to the four sides.

With several points per location it is the network of MuSu, whose boxes start with shapes of their own.
"""

from __future__ import annotations

from assignbench.config.detector import DetectorSpec
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import dense_head
from assignbench.detectors.necks import build_neck
from assignbench.priors import point_grid


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck, head and points of a description."""
    neck = build_neck(spec.neck, backbone)
    strides, count = neck.strides, spec.priors.per_location
    head = dense_head(spec, len(strides), num_classes, quality=quality, box_shapes=count)
    return Parts(neck, head, lambda image_hw: point_grid(image_hw, strides, count))
