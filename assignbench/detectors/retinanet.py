"""RetinaNet (Lin et al., ICCV 2017): a feature pyramid, two shared towers, anchors at every location.

With one anchor per location, group norm and a learned factor per level it is the network of ATSS and PAA.
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
    return Parts(neck, dense_head(spec, len(neck.strides), num_classes, quality=quality))
