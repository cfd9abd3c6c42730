"""A backbone for CPUs: a few thousand weights, batch norm everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assignbench.detectors.backbones.base import Backbone


def conv_bn(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection, width unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv_bn(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Slim(Backbone):
    """Five stride-2 stages of one residual block each."""

    def __init__(self, widths: Sequence[int] = (8, 16, 32, 48, 64)) -> None:
        super().__init__()
        before = [3, *widths]
        stages = [nn.Sequential(conv_bn(before[i], w, 2), Residual(w)) for i, w in enumerate(widths)]
        self.stages = nn.ModuleList(stages)
        self.all_channels = tuple(widths[1:])

    @property
    def steps(self) -> list[Sequence[nn.Module]]:
        stages = list(self.stages)
        return [stages[:2], stages[2:3], stages[3:4], stages[4:]]
