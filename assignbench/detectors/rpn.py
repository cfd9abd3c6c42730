"""The region proposal network (Ren et al., NeurIPS 2015) on a feature pyramid: one class, object or not."""

from __future__ import annotations

from assignbench.config.network import DetectorSpec
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import RPNHead
from assignbench.detectors.necks import build_neck


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck and head of a description; `num_classes` of the data does not matter."""
    return Parts(build_neck(spec.neck, backbone), RPNHead(spec.neck.width, spec.priors.count, quality=quality))
