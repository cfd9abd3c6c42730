"""What Mutual Guidance (Zhang et al., ACCV 2020) calls RetinaNet: FSSD's levels, a pyramid over them, single layers.

It is not the RetinaNet of four shared convolutions; that is the family `retinanet`.
"""

from __future__ import annotations

from assignbench.config.network import DetectorSpec
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import LevelHead
from assignbench.detectors.necks import FusedPyramid, build_fusion


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck and head of a description."""
    neck = FusedPyramid(build_fusion(spec.neck, backbone))
    return Parts(neck, LevelHead(neck.channels, num_classes, spec.priors.count, quality=quality))
