"""Backbones: images in, feature maps of rising stride out. A description names one of this table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from assignbench.config.detector import BackboneName, BackboneSpec
from assignbench.detectors.backbones.base import Backbone
from assignbench.detectors.backbones.resnet import ResNet
from assignbench.detectors.backbones.slim import Slim
from assignbench.detectors.backbones.squeezenet import SqueezeNet
from assignbench.detectors.backbones.weights import load_weights, read_weights

BACKBONES: dict[BackboneName, Callable[[], Backbone]] = {
    "slim": Slim,
    "squeezenet": SqueezeNet,
    "resnet18": partial(ResNet, 18),
    "resnet34": partial(ResNet, 34),
    "resnet50": partial(ResNet, 50),
    "resnet101": partial(ResNet, 101),
}


def build_backbone(spec: BackboneSpec) -> Backbone:
    """The backbone that a description names, with its first convolution frozen if the description says so."""
    backbone = BACKBONES[spec.name]()
    if spec.freeze_first:
        backbone.first.requires_grad_(False)
    return backbone


__all__ = ["BACKBONES", "Backbone", "ResNet", "Slim", "SqueezeNet", "build_backbone", "load_weights", "read_weights"]
