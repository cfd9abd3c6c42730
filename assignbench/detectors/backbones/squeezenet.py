"""SqueezeNet 1.1 (Iandola et al., 2016) as torchvision has it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from assignbench.detectors.backbones.base import Backbone


class SqueezeNet(Backbone):
    """torchvision's SqueezeNet 1.1 features; strides 4 to 16.

    The first convolution is padded and the pools round down, which gives grids of exactly side / stride.
    """

    all_channels = (128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        self.features = squeezenet1_1(weights=None).features
        self.features[0].padding = (1, 1)
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode, layer.padding = False, 1

    @property
    def steps(self) -> list[Sequence[nn.Module]]:
        layers = list(self.features)
        return [layers[:5], layers[5:8], layers[8:]]
