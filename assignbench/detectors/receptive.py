"""The neck of RFBNet (Liu et al., ECCV 2018) as Mutual Guidance has it: blocks of several receptive fields."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assignbench.config.network import NeckSpec
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.necks import Neck, conv_block, upsampled


def _branch(inputs: int, steps: Sequence[tuple[int, int | tuple[int, int], int]], dilation: int) -> nn.Sequential:
    """Convolutions (channels, kernel, stride) one after the other, then a dilated 3x3 one without ReLU."""
    layers = []
    for outputs, kernel, stride in steps:
        layers.append(conv_block(inputs, outputs, kernel, stride))
        inputs = outputs
    return nn.Sequential(*layers, conv_block(inputs, inputs, dilation=dilation, relu=False))


class ReceptiveField(nn.Module):
    """Branches side by side, joined by a 1x1 convolution, with a 1x1 shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int, branches: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        last = [[m for m in branch.modules() if isinstance(m, nn.Conv2d)][-1] for branch in branches]
        self.join = conv_block(sum(conv.out_channels for conv in last), outputs, 1, relu=False)
        self.shortcut = conv_block(inputs, outputs, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        joined = self.join(torch.cat([branch(x) for branch in self.branches], dim=1))
        return torch.relu(joined + self.shortcut(x))


def finest_field(inputs: int, outputs: int) -> ReceptiveField:
    """BasicRFB_a of seven branches: thin kernels before each dilation, all of one eighth of the inputs."""
    i = inputs // 8
    half, three = max(1, i // 2), max(1, i // 4 * 3)
    branches = [_branch(inputs, [(i, 1, 1)], 1)]
    for dilation in (3, 5):
        branches += [_branch(inputs, [(i, 1, 1), (i, kernel, 1)], dilation) for kernel in ((3, 1), (1, 3))]
    for first, second in (((1, 3), (3, 1)), ((3, 1), (1, 3))):
        branches.append(_branch(inputs, [(half, 1, 1), (three, first, 1), (i, second, 1)], 7))
    return ReceptiveField(inputs, outputs, 1, branches)


def field(inputs: int, outputs: int, stride: int) -> ReceptiveField:
    """BasicRFB of four branches."""
    i = inputs // 8
    wide = i // 2 * 3
    branches = [
        _branch(inputs, [(2 * i, 1, stride)], 1),
        _branch(inputs, [(i, 1, 1), (2 * i, 3, stride)], 3),
        _branch(inputs, [(i, 1, 1), (wide, 3, 1), (2 * i, 3, stride)], 5),
        _branch(inputs, [(i, 1, 1), (wide, (1, 7), 1), (2 * i, (7, 1), stride)], 7),
    ]
    return ReceptiveField(inputs, outputs, stride, branches)


def coarsest_field(inputs: int, outputs: int) -> ReceptiveField:
    """BasicRFB_c of three branches, for the fifth level of large images."""
    i = inputs // 8
    branches = [
        _branch(inputs, [(2 * i, 1, 2)], 1),
        _branch(inputs, [(i, 1, 1), (2 * i, 3, 2)], 3),
        _branch(inputs, [(i, 1, 1), (i // 2 * 3, 3, 1), (2 * i, 3, 2)], 7),
    ]
    return ReceptiveField(inputs, outputs, 2, branches)


class ReceptivePyramid(Neck):
    """Stride 8 from both maps of the backbone (strides 8 and 16) joined; every coarser level from the one before,
    the first of them, of stride 16, from the backbone's last map.

    Levels are of twice the width, from stride 64 on of the width.
    """

    framework_init = True

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int, extra: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([conv_block(c, width, 1) for c in channels])
        self.finest = finest_field(width * len(channels), 2 * width)
        self.channels = tuple(2 * width if level < 3 else width for level in range(extra + 1))
        self.strides = tuple(strides[0] * 2**level for level in range(extra + 1))
        fields = []
        inputs = channels[-1]
        for level, outputs in enumerate(self.channels[1:]):
            last = level > 2
            fields.append(coarsest_field(inputs, outputs) if last else field(inputs, outputs, 2 if level else 1))
            inputs = outputs
        self.fields = nn.ModuleList(fields)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        same = [upsampled(lateral(m), maps[0]) for lateral, m in zip(self.lateral, maps, strict=True)]
        levels = [self.finest(torch.cat(same, dim=1))]
        last = maps[-1]
        for layer in self.fields:
            last = layer(last)
            levels.append(last)
        return levels


def build_pyramid(spec: NeckSpec, backbone: Backbone) -> ReceptivePyramid:
    """RFBNet's neck of a description on a backbone's maps of strides 8 and 16."""
    return ReceptivePyramid(backbone.channels, backbone.strides, spec.width, spec.extra)
