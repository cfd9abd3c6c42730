"""Backbones: images in, feature maps of rising stride out. A description names one of this table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from assignbench.config.detector import BackboneName, BackboneSpec
from assignbench.detectors.backbones.base import Backbone
from assignbench.detectors.backbones.resnet import ResNet
from assignbench.detectors.backbones.slim import Slim
from assignbench.detectors.backbones.squeezenet import SqueezeNet
from assignbench.detectors.backbones.weights import fitting, load_weights, looks_like, read_weights
from assignbench.errors import InputError

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
    "Backbone",
    "ResNet",
    "Slim",
    "SqueezeNet",
    "build_backbone",
    "check_weights",
    "load_weights",
    "read_weights",
]
