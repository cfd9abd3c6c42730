"""Backbones: images in, feature maps of rising stride out. A description names one of this table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from assignbench.config.network import BackboneName, BackboneSpec
from assignbench.detectors.backbones.base import Backbone
from assignbench.detectors.backbones.mobilenet import MobileNetV3
from assignbench.detectors.backbones.published import fetch
from assignbench.detectors.backbones.resnet import VARIANTS, ResNet
from assignbench.detectors.backbones.slim import Slim
from assignbench.detectors.backbones.squeezenet import SqueezeNet
from assignbench.detectors.backbones.vgg import VGG16
from assignbench.detectors.backbones.weights import fitting, load_weights, looks_like, read_weights
from assignbench.errors import InputError

BACKBONES: dict[BackboneName, Callable[[], Backbone]] = {
    "slim": Slim,
    "squeezenet": SqueezeNet,
    "vgg16": VGG16,
    **{name: partial(ResNet, variant) for name, variant in VARIANTS.items()},
    "mobilenet_v3": MobileNetV3,
}


def build_backbone(spec: BackboneSpec, finest: int = 8, coarsest: int = 32) -> Backbone:
    """The backbone of a description with the maps of these strides, deformable and frozen where it says so."""
    return BACKBONES[spec.name]().deform(spec).keep(finest, coarsest).freeze(spec)


def check_weights(spec: BackboneSpec, path: Path) -> None:
    """Raises InputError, with file, tensor, value and remedy, for a file that holds no weights of this backbone.

    Where they are another network's that is known here, the error names it.
    """
    with torch.device("meta"):
        backbone = build_backbone(spec)
    try:
        fitting(backbone, path)
    except InputError as problem:
        networks: dict[str, Callable[[], Backbone]] = {n: make for n, make in BACKBONES.items() if n != spec.name}
        looks = "" if problem.place else looks_like(path, networks)
        raise InputError(f"{problem}{looks}", problem.place) from None


__all__ = [
    "BACKBONES",
    "VARIANTS",
    "Backbone",
    "ResNet",
    "Slim",
    "SqueezeNet",
    "build_backbone",
    "check_weights",
    "fetch",
    "load_weights",
    "read_weights",
]
