"""Initial weights that depend on the seed and the parameter's name alone, so that paired methods share them."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn


def named_generator(seed: int, name: str) -> torch.Generator:
    """A generator keyed by (seed, name)."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def initialise(
    detector: nn.Module, seed: int, prior_prob: float = 0.01, *, keep_backbone: bool = False, zero_box: bool = False
) -> None:
    """Sets every parameter: He-normal convolutions, N(0, 0.01) in the head, class bias at the prior probability.

    With `keep_backbone`, parameters below `backbone.` (pretrained) stay as they are. Biases are 0, norms 1 and 0.
    """
    with torch.no_grad():
        for name, module in detector.named_modules():
            if keep_backbone and name.startswith("backbone"):
                continue
            if isinstance(module, nn.Conv2d | nn.Linear):
                _fill(module.weight, f"{name}.weight", seed, in_head=name.startswith("head"))
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and module.weight is not None:
                module.weight.fill_(1.0)
                module.bias.zero_()
        shapes = detector.get_submodule("head").box_shapes
        box = detector.get_submodule("head.box")
        if isinstance(box, nn.Conv2d) and box.bias is not None:
            if zero_box:
                box.weight.zero_()
            if isinstance(shapes, int) and shapes > 1:
                box.bias.copy_(_shape_biases(shapes, seed))
        bias = detector.get_submodule("head.cls").bias
        if isinstance(bias, Tensor):
            bias.fill_(-math.log((1 - prior_prob) / prior_prob))


def _shape_biases(count: int, seed: int) -> Tensor:
    """Biases [4 * count] that give the points' boxes scales of 1-2 and aspect ratios of 1/2-2.  MuSu, section 4.3"""
    drawn = torch.rand(count, 2, generator=named_generator(seed, "head.box.bias"))
    log_scale = (1 + drawn[:, 0]).log()
    log_ratio = (2 * drawn[:, 1] - 1) * math.log(2.0)
    across, down = log_scale + log_ratio / 2, log_scale - log_ratio / 2
    return torch.stack([across, down, across, down], dim=1).flatten()


def _fill(weight: Tensor, name: str, seed: int, *, in_head: bool) -> None:
    fan_in = weight[0].numel()
    std = 0.01 if in_head else math.sqrt(2.0 / fan_in)
    weight.copy_(torch.randn(weight.shape, generator=named_generator(seed, name)) * std)
