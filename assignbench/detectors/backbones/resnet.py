"""ResNet (He et al., CVPR 2016) as torchvision has it."""

from __future__ import annotations

from torch import Tensor, nn

from assignbench.detectors.backbones.base import Backbone


class ResNet(Backbone):
    """torchvision's ResNet of a `depth`, stages C3 to C5 (strides 8, 16, 32); batch norm trains."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        from torchvision import models

        nets = {18: models.resnet18, 34: models.resnet34, 50: models.resnet50, 101: models.resnet101}
        net = nets[depth](weights=None)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        wide = 4 if depth >= 50 else 1
        self.channels, self.strides = (128 * wide, 256 * wide, 512 * wide), (8, 16, 32)

    def forward(self, images: Tensor) -> list[Tensor]:
        c3 = self.layer2(self.layer1(self.stem(images)))
        c4 = self.layer3(c3)
        return [c3, c4, self.layer4(c4)]

    def published_name(self, name: str) -> str:
        """torchvision's first convolution and its norm sit in `stem` here."""
        for theirs, ours in (("conv1.", "stem.0."), ("bn1.", "stem.1.")):
            if name.startswith(theirs):
                return ours + name.removeprefix(theirs)
        return name
