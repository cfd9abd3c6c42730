"""MobileNetV3-Large (Howard et al., ICCV 2019) as torchvision has it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from assignbench.detectors.backbones.base import Backbone


class MobileNetV3(Backbone):
    """torchvision's mobilenet_v3_large features, the last map being that of the final 1x1 convolution."""

    all_channels = (24, 40, 112, 960)

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v3_large

        self.features = mobilenet_v3_large(weights=None).features

    @property
    def steps(self) -> list[Sequence[nn.Module]]:
        layers = list(self.features)
        return [layers[:4], layers[4:7], layers[7:13], layers[13:]]
