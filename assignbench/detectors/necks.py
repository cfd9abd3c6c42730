"""Necks: feature pyramids (Lin et al., CVPR 2017) and the fusing necks of Mutual Guidance's FSSD and RetinaNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.config.network import NeckSpec
from assignbench.detectors.backbones import Backbone


class Neck(nn.Module):
    """Maps of a backbone to the maps of the levels, whose `channels` and `strides` it tells.

    `framework_init`: it starts as torch's layers do by themselves, not with He-normal convolutions.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    framework_init = False


class FPN(Neck):
    """Maps of one width for every backbone level and `extra` stride-2 levels above.

    `extra_from` says what the first extra level is made of: the backbone's last map ("c5", mmdet's RetinaNet) or the
    pyramid's ("p5", FreeAnchor, PAA, FCOS); `extra_by` how: by convolutions, or by taking every second cell ("pool",
    the pyramid of an RPN). `norm` puts a batch norm behind every convolution (slim nets).
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        width: int,
        extra: int,
        extra_from: Literal["c5", "p5"] = "p5",
        norm: bool = False,
        extra_by: Literal["conv", "pool"] = "conv",
    ) -> None:
        super().__init__()

        def block(inputs: int, kernel: int, stride: int = 1) -> nn.Module:
            conv = nn.Conv2d(inputs, width, kernel, stride, kernel // 2, bias=not norm)
            return nn.Sequential(conv, nn.BatchNorm2d(width)) if norm else conv

        self.lateral = nn.ModuleList([block(c, 1) for c in channels])
        self.output = nn.ModuleList([block(width, 3) for _ in channels])
        first = channels[-1] if extra_from == "c5" else width
        inputs = [first if i == 0 else width for i in range(extra)]
        pooled = extra_by == "pool"
        self.extra = nn.ModuleList([nn.MaxPool2d(1, 2) if pooled else block(i, 3, 2) for i in inputs])
        self.extra_from, self.pooled = extra_from, pooled
        self.channels = (width,) * (len(channels) + extra)
        self.strides = (*strides, *(strides[-1] * 2 ** (i + 1) for i in range(extra)))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        tops = [lateral(m) for lateral, m in zip(self.lateral, maps, strict=True)]
        for i in range(len(tops) - 1, 0, -1):
            tops[i - 1] = tops[i - 1] + F.interpolate(tops[i], size=tops[i - 1].shape[-2:], mode="nearest")
        pyramid = [output(t) for output, t in zip(self.output, tops, strict=True)]
        last = maps[-1] if self.extra_from == "c5" else pyramid[-1]
        for place, layer in enumerate(self.extra):
            last = layer(last if place == 0 or self.pooled else F.relu(last))
            pyramid.append(last)
        return pyramid


def conv_block(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 3,
    stride: int = 1,
    *,
    padding: int | tuple[int, int] | None = None,
    dilation: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Convolution with a bias, batch norm of momentum 0.01, ReLU: what Mutual Guidance's necks are made of.

    Without `padding`, a kernel is padded so that stride 1 keeps the size.
    """
    if padding is None:
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (dilation * (high // 2), dilation * (wide // 2))
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation),
        nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.01),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def upsampled(x: Tensor, like: Tensor) -> Tensor:
    """A map brought to the size of another one by repeating cells."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


class Fusion(Neck):
    """FSSD's neck as Mutual Guidance has it: all maps at the finest one's size, made one; from it `extra` levels down.

    Unlike FSSD (Li and Zhou, 2017) there is no batch norm on the joined maps.
    """

    framework_init = True

    def __init__(self, channels: Sequence[int], strides: Sequence[int], width: int, extra: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([conv_block(c, width, 1) for c in channels])
        self.fuse = conv_block(width * len(channels), width)
        self.down = nn.ModuleList([conv_block(width, width, stride=2) for _ in range(extra)])
        self.channels = (width,) * (extra + 1)
        self.strides = tuple(strides[0] * 2**level for level in range(extra + 1))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        same = [upsampled(lateral(m), maps[0]) for lateral, m in zip(self.lateral, maps, strict=True)]
        levels = [self.fuse(torch.cat(same, dim=1))]
        for layer in self.down:
            levels.append(layer(levels[-1]))
        return levels


class FusedPyramid(Neck):
    """The neck of Mutual Guidance's RetinaNet: FSSD's levels, and a feature pyramid over them."""

    framework_init = True

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion
        self.channels, self.strides = fusion.channels, fusion.strides
        width = fusion.channels[0]
        self.lateral = nn.ModuleList([conv_block(width, width, 1) for _ in fusion.channels])
        self.output = nn.ModuleList([conv_block(width, width) for _ in fusion.channels])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        levels = self.fusion(maps)
        tops = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        for i in range(len(tops) - 1, 0, -1):
            tops[i - 1] = tops[i - 1] + upsampled(tops[i], tops[i - 1])
        return [output(top) for output, top in zip(self.output, tops, strict=True)]


def build_neck(spec: NeckSpec, backbone: Backbone) -> FPN:
    """The feature pyramid of a description on a backbone."""
    channels, strides = backbone.channels, backbone.strides
    return FPN(channels, strides, spec.width, spec.extra, spec.extra_from, spec.norm, spec.extra_by)


def build_fusion(spec: NeckSpec, backbone: Backbone) -> Fusion:
    """FSSD's neck of a description on a backbone."""
    return Fusion(backbone.channels, backbone.strides, spec.width, spec.extra)
