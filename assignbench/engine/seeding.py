"""Initial weights that depend on the seed and the parameter's name alone, so that paired methods share them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from assignbench.config.method import HeadInit
from assignbench.detectors import Detector
from assignbench.detectors.deform import DeformConv, Offsets

PLAIN = HeadInit()
IN_HEAD = 0.01  # standard deviation of the head's weights


def named_generator(seed: int, name: str) -> torch.Generator:
    """A generator keyed by (seed, name)."""
    return torch.Generator().manual_seed(_key(seed, name))


@contextmanager
def drawn_by(seed: int, name: str) -> Iterator[None]:
    """What draws from torch's own generator in here is keyed by (seed, name); afterwards that is as it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_key(seed, name))
        yield


def _key(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big")


def initialise(detector: Detector, seed: int, start: HeadInit = PLAIN, *, keep_backbone: bool = False) -> None:
    """Sets every parameter: He-normal convolutions, N(0, 0.01) in the head, then what the method's `start` says.

    With `keep_backbone`, parameters below `backbone.` (pretrained) stay as they are. Biases are 0, norms 1 and 0, and
    what finds the offsets of a deformable convolution is 0. A neck that asks for it starts as torch's layers do, and so
    do layers of all other kinds. A parameter that belongs to no such layer stays as it was made.
    """
    with torch.no_grad():
        for name, module in detector.named_modules():
            part = name.partition(".")[0]
            if (keep_backbone and part == "backbone") or isinstance(module, Offsets):
                continue
            if isinstance(module, nn.Conv2d | nn.Linear | DeformConv):
                if part == "neck" and detector.neck.framework_init:
                    _fill_uniformly(module, name, seed)
                    continue
                _fill(module.weight, f"{name}.weight", seed, in_head=part == "head")
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and module.weight is not None:
                module.weight.fill_(1.0)
                module.bias.zero_()
            elif next(module.parameters(recurse=False), None) is not None:
                _reset(module, name, seed)
        _start_head(detector, seed, start)


def _reset(module: nn.Module, name: str, seed: int) -> None:
    """A layer of another kind as torch starts it."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if callable(reset):
        with drawn_by(seed, name):
            reset()


def _start_head(detector: Detector, seed: int, start: HeadInit) -> None:
    head = detector.head
    for layer in head.box_layers:
        if start.zero_box:
            layer.weight.zero_()
        _bias(layer).fill_(start.box_bias)
        if head.box_shapes > 1:
            distance = detector.priors((64, 64)).coding.distance
            _bias(layer).add_(box_shapes(head.box_shapes, seed, distance))
    for layer in head.cls_layers:
        _bias(layer).fill_(logit(start.prior_prob))
    for layer in head.quality_layers:
        _bias(layer).fill_(logit(start.quality_prob))


def logit(probability: float) -> float:
    """The logit whose sigmoid is a probability."""
    return math.log(probability / (1 - probability))


def box_shapes(count: int, seed: int, distance: str) -> Tensor:
    """Biases [4 * count] that give the several boxes of a point their own shapes: scales U[1, 2], aspects U[1/2, 2].

    `distance` is the activation that turns an output into a distance in strides (CoderConfig).
    """
    drawn = torch.rand(count, 2, generator=named_generator(seed, "head.box.bias"))
    scale, aspect = 1 + drawn[:, 0], 0.5 + 1.5 * drawn[:, 1]
    across, down = scale * aspect.sqrt(), scale / aspect.sqrt()
    distances = torch.stack([across, down, across, down], dim=1).flatten()
    inverse = {"exp": torch.log, "relu": torch.relu}
    return inverse[distance](distances)


def _bias(layer: nn.Conv2d) -> Tensor:
    if layer.bias is None:
        raise ValueError("the last layers of a head have biases")
    return layer.bias


def _fill_uniformly(module: nn.Conv2d | nn.Linear | DeformConv, name: str, seed: int) -> None:
    """Weights and biases as torch draws them by itself: uniform within 1 / sqrt(inputs of a cell)."""
    bound = 1 / math.sqrt(module.weight[0].numel())
    for key, parameter in module.named_parameters(recurse=False):
        drawn = torch.rand(parameter.shape, generator=named_generator(seed, f"{name}.{key}"))
        parameter.copy_((2 * drawn - 1) * bound)


def _fill(weight: Tensor, name: str, seed: int, *, in_head: bool) -> None:
    fan_in = weight[0].numel()
    std = IN_HEAD if in_head else math.sqrt(2.0 / fan_in)
    weight.copy_(torch.randn(weight.shape, generator=named_generator(seed, name)) * std)
