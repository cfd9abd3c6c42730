"""VGG-16 with batch norm (Simonyan and Zisserman, ICLR 2015) as torchvision has it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from assignbench.detectors.backbones.base import Backbone


class VGG16(Backbone):
    """torchvision's vgg16_bn to conv5_3 without the last pool; conv3_3, conv4_3 and conv5_3 are of stride 4, 8 and 16.

    Pools round up, so that a map has ceil(side / stride) cells; where the sides are multiples of 16 nothing changes.
    """

    all_channels = (256, 512, 512)

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg16_bn

        self.features = vgg16_bn(weights=None).features[:43]
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode = True

    @property
    def steps(self) -> list[Sequence[nn.Module]]:
        layers = list(self.features)
        return [layers[:23], layers[23:33], layers[33:]]
