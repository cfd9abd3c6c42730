"""FSSD (Li and Zhou, 2017) as Mutual Guidance (Zhang et al., ACCV 2020) has it: fused maps, levels from stride 8 on."""

from __future__ import annotations

from assignbench.config.network import DetectorSpec
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import LevelHead
from assignbench.detectors.necks import build_fusion


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck and head of a description."""
    neck = build_fusion(spec.neck, backbone)
    return Parts(neck, LevelHead(neck.channels, num_classes, spec.priors.count, quality=quality))
