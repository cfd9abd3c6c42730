"""A detector of the user's own: what its function returns is looked at before it is used."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from assignbench.config.detector import own_detector
from assignbench.config.network import DetectorSpec
from assignbench.config.words import shown
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import Head
from assignbench.detectors.necks import Neck
from assignbench.errors import InputError
from assignbench.priors import cells, prior_grid

TRIED = (96, 160)  # (height, width) px of the image that a network is tried on: multiples of 32, not of 64


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck and head by the user's function. Raises InputError for what it cannot be."""
    whole = f"detector '{spec.function}'"
    function = own_detector(spec.function).function
    try:
        parts: object = function(spec, backbone, num_classes, quality=quality)
    except InputError:
        raise
    except (Exception, SystemExit) as problem:
        raise InputError(f"{whole} raised {type(problem).__name__}: {problem}") from problem
    if not isinstance(parts, Parts):
        raise InputError(f"{whole} gave {shown(parts)}; return assignbench.detectors.base.Parts(neck, head)")
    for name, part, base in (("neck", parts.neck, Neck), ("head", parts.head, Head)):
        if not isinstance(part, base):
            wanted = f"{base.__module__}.{base.__name__}"
            raise InputError(f"{whole}: its {name} is a {type(part).__name__}; derive from {wanted}")
    strides = getattr(parts.neck, "strides", None)
    if not isinstance(strides, tuple) or not strides or not all(isinstance(s, int) and s > 0 for s in strides):
        raise InputError(f"{whole}: neck.strides is {shown(strides)}; set a tuple of strides in px, e.g. (8, 16, 32)")
    if quality and not parts.head.quality_layers:
        raise InputError(
            f"{whole}: the method has a quality head, and this head has no layer `quality`; make one, or set quality: "
            "null in the method"
        )
    head = parts.head
    for name, layers in (("cls", head.cls_layers), ("box", head.box_layers), ("quality", head.quality_layers)):
        if (not layers and name != "quality") or any(layer.bias is None for layer in layers):
            raise InputError(
                f"{whole}: its head needs a last layer `{name}`, a convolution with a bias (or a ModuleList of one per "
                "level): it starts as the method says"
            )
    _try(parts, backbone, spec, num_classes, quality=quality, whole=whole)
    return parts


def _try(parts: Parts, backbone: Backbone, spec: DetectorSpec, num_classes: int, *, quality: bool, whole: str) -> None:
    """Raises InputError unless neck and head give what they must for an image of size TRIED."""
    on, learning = next(parts.head.parameters()).device, (parts.neck.training, parts.head.training)
    maps = [
        torch.zeros(1, channels, *_size(stride), device=on)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    try:
        with torch.no_grad():
            levels: object = parts.neck.eval()(maps)
            wanted = [_size(stride) for stride in parts.neck.strides]
            if not isinstance(levels, list | tuple) or [_hw(level) for level in levels] != wanted:
                given = [_hw(level) for level in levels] if isinstance(levels, list | tuple) else shown(levels)
                raise InputError(
                    f"{whole}: the levels of an image of {TRIED[0]} x {TRIED[1]} px have {given} cells; neck.strides "
                    f"{parts.neck.strides} ask for {wanted}"
                )
            found: object = parts.head.eval()(levels)
    except InputError:
        raise
    except Exception as problem:
        told = f"{type(problem).__name__}: {problem}"
        raise InputError(f"{whole} fails on an image of {TRIED[0]} x {TRIED[1]} px: {told}") from problem
    finally:
        nn.Module.train(parts.neck, learning[0])
        nn.Module.train(parts.head, learning[1])
    count = len(prior_grid(spec.priors, TRIED, parts.neck.strides))
    shapes = ((1, count, num_classes), (1, count, 4), (1, count) if quality else None)
    if not isinstance(found, tuple) or tuple(_shape(output) for output in found) != shapes:
        given = [_shape(output) for output in found] if isinstance(found, tuple) else shown(found)
        raise InputError(
            f"{whole}: for an image of {TRIED[0]} x {TRIED[1]} px its head gives {given}; class logits, deltas and "
            f"quality logits must be {list(shapes)} ({spec.priors.count} priors at each place of its levels)"
        )


def _size(stride: int) -> tuple[int, int]:
    return cells(TRIED[0], stride), cells(TRIED[1], stride)


def _hw(level: object) -> object:
    return tuple(level.shape[2:]) if isinstance(level, Tensor) else shown(level)


def _shape(output: object) -> object:
    return tuple(output.shape) if isinstance(output, Tensor) else output
