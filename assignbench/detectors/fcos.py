"""FCOS (Tian et al., ICCV 2019): points instead of anchors, distances to the four sides.

With several points per location it is the network of MuSu, whose boxes start with shapes of their own.
"""

from __future__ import annotations

from assignbench.config.network import DetectorSpec
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import dense_head
from assignbench.detectors.necks import build_neck


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck and head of a description."""
    neck = build_neck(spec.neck, backbone)
    count = spec.priors.per_location
    return Parts(neck, dense_head(spec, len(neck.strides), num_classes, quality=quality, box_shapes=count))
