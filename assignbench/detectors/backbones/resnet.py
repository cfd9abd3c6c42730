"""ResNet (He et al., CVPR 2016) and ResNeXt (Xie et al., CVPR 2017) as torchvision has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from torch import nn

from assignbench.config.network import BackboneName, BackboneSpec
from assignbench.detectors.backbones.base import Backbone
from assignbench.detectors.deform import DeformConv


@dataclass(frozen=True)
class Variant:
    """Blocks per stage, and the groups of a bottleneck and their width."""

    block: Literal["BasicBlock", "Bottleneck"]
    blocks: tuple[int, int, int, int]
    groups: int = 1
    width: int = 64


VARIANTS: dict[BackboneName, Variant] = {
    "resnet18": Variant("BasicBlock", (2, 2, 2, 2)),
    "resnet34": Variant("BasicBlock", (3, 4, 6, 3)),
    "resnet50": Variant("Bottleneck", (3, 4, 6, 3)),
    "resnet101": Variant("Bottleneck", (3, 4, 23, 3)),
    "resnext101-64x4d": Variant("Bottleneck", (3, 4, 23, 3), 64, 4),
    "resnext101-32x8d": Variant("Bottleneck", (3, 4, 23, 3), 32, 8),
    "resnext152-32x8d": Variant("Bottleneck", (3, 8, 36, 3), 32, 8),
}


class ResNet(Backbone):
    """torchvision's ResNet of a variant, C2 to C5 (strides 4 to 32)."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        from torchvision.models import resnet  # takes seconds, which most commands need not wait

        block = getattr(resnet, variant.block)
        net = resnet.ResNet(block, list(variant.blocks), groups=variant.groups, width_per_group=variant.width)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        self.all_channels = tuple(width * block.expansion for width in (64, 128, 256, 512))

    def deform(self, spec: BackboneSpec) -> Self:
        layers = {"c3": self.layer2, "c4": self.layer3, "c5": self.layer4}
        for block in (block for stage in spec.dcn for block in layers[stage]):
            block.conv2 = DeformConv.instead_of(block.conv2, masks=spec.dcn_masks)
        return self

    @property
    def steps(self) -> list[Sequence[nn.Module]]:
        return [(self.stem, self.layer1), (self.layer2,), (self.layer3,), (self.layer4,)]

    def published_name(self, name: str) -> str:
        """torchvision's first convolution and its norm sit in `stem` here."""
        for theirs, ours in (("conv1.", "stem.0."), ("bn1.", "stem.1.")):
            if name.startswith(theirs):
                return ours + name.removeprefix(theirs)
        return name
