"""Deformable convolution (Dai et al., ICCV 2017; with masks: Zhu et al., CVPR 2019)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn


class Offsets(nn.Conv2d):
    """The convolution that says where to look. It starts at zero, wherever a network's weights come from."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class DeformConv(nn.Module):
    """A square convolution whose cells look beside the grid, by learned offsets and, with `masks`, weights in [0, 1].

    `weight` and `bias` are those of the plain convolution, by the same names, so that its pretrained weights fit.
    Before any training the offsets are zero: without masks it then is the plain convolution, with masks half of its
    output, as published.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, *, like: nn.Conv2d | None = None, bias: bool, masks: bool
    ) -> None:
        super().__init__()
        self.stride = like.stride[0] if like is not None else 1
        self.dilation = like.dilation[0] if like is not None else 1
        self.padding = self.dilation * (kernel // 2)
        groups = like.groups if like is not None else 1
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.cells, self.masks = kernel * kernel, masks
        self.offset = Offsets(
            inputs, self.cells * (3 if masks else 2), kernel, self.stride, self.padding, self.dilation
        )

    @classmethod
    def instead_of(cls, conv: nn.Conv2d, *, masks: bool) -> DeformConv:
        """One that takes the place, and the weights, of a plain convolution."""
        size = (conv.in_channels, conv.out_channels, conv.kernel_size[0])
        return cls(*size, like=conv, bias=conv.bias is not None, masks=masks)

    def forward(self, x: Tensor) -> Tensor:
        from torchvision.ops import deform_conv2d

        # Where to look is found in float32: half a thousandth of a cell is more than bfloat16 can tell.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            said = self.offset(x)
            lost = said.isnan()
            # To torchvision's kernel NaN is a place in memory. A network that diverged must tell it by its losses.
            kept = said.masked_fill(lost, 0.0)
            offsets, mask = kept[:, : 2 * self.cells], kept[:, 2 * self.cells :]
            found = cast(
                Tensor,
                deform_conv2d(
                    x,
                    offsets,
                    self.weight,
                    self.bias,
                    stride=self.stride,
                    padding=self.padding,
                    dilation=self.dilation,
                    mask=mask.sigmoid() if self.masks else None,
                ),
            )
            return found.masked_fill(lost.any(), math.nan)
