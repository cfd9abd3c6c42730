"""Feature pyramid network (Lin et al., CVPR 2017) with extra levels on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from assignbench.config.detector import NeckSpec
from assignbench.detectors.backbones import Backbone


class FPN(nn.Module):
    """Maps of one width for every backbone level and `extra` stride-2 levels above.

    `extra_from` says what the first extra level is made of: the backbone's last map ("c5", mmdet's RetinaNet) or the
    pyramid's ("p5", FreeAnchor, PAA, FCOS). `norm` puts a batch norm behind every convolution (slim nets).
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        width: int,
        extra: int,
        extra_from: Literal["c5", "p5"] = "p5",
        norm: bool = False,
    ) -> None:
        super().__init__()

        def block(inputs: int, kernel: int, stride: int = 1) -> nn.Module:
            conv = nn.Conv2d(inputs, width, kernel, stride, kernel // 2, bias=not norm)
            return nn.Sequential(conv, nn.BatchNorm2d(width)) if norm else conv

        self.lateral = nn.ModuleList([block(c, 1) for c in channels])
        self.output = nn.ModuleList([block(width, 3) for _ in channels])
        first = channels[-1] if extra_from == "c5" else width
        self.extra = nn.ModuleList([block(first if i == 0 else width, 3, 2) for i in range(extra)])
        self.extra_from = extra_from
        self.width = width
        self.strides = (*strides, *(strides[-1] * 2 ** (i + 1) for i in range(extra)))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        tops = [lateral(m) for lateral, m in zip(self.lateral, maps, strict=True)]
        for i in range(len(tops) - 1, 0, -1):
            tops[i - 1] = tops[i - 1] + F.interpolate(tops[i], size=tops[i - 1].shape[-2:], mode="nearest")
        pyramid = [output(t) for output, t in zip(self.output, tops, strict=True)]
        last = maps[-1] if self.extra_from == "c5" else pyramid[-1]
        for place, layer in enumerate(self.extra):
            last = layer(last if place == 0 else F.relu(last))
            pyramid.append(last)
        return pyramid


def build_neck(spec: NeckSpec, backbone: Backbone) -> FPN:
    """The neck of a description on a backbone."""
    return FPN(backbone.channels, backbone.strides, spec.width, spec.extra, spec.extra_from, spec.norm)
