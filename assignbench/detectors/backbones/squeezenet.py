"""SqueezeNet 1.1 (Iandola et al., 2016) as torchvision has it."""

from __future__ import annotations

from torch import Tensor, nn

from assignbench.detectors.backbones.base import Backbone


class SqueezeNet(Backbone):
    """torchvision's SqueezeNet 1.1 features; strides 8 and 16.

    The first convolution is padded and the pools round down, which gives grids of exactly side / stride.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        self.features = squeezenet1_1(weights=None).features
        self.features[0].padding = (1, 1)
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode, layer.padding = False, 1
        self.channels, self.strides = (256, 512), (8, 16)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for place, layer in enumerate(self.features):
            images = layer(images)
            if place in (7, 12):
                maps.append(images)
        return maps
