"""Backbones: images in, feature maps of rising stride out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from assignbench.errors import InputError


class Backbone(nn.Module):
    """Base: `channels` and `strides` describe the maps that `forward` returns, finest first.

    `pretrained` names the parameters (by prefix) that weights from a file replace.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]


def conv_bn(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection, width unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv_bn(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Slim(Backbone):
    """Five stride-2 stages of one residual block each; returns the last three (strides 8, 16, 32)."""

    def __init__(self, widths: Sequence[int] = (8, 16, 32, 48, 64)) -> None:
        super().__init__()
        before = [3, *widths]
        stages = [nn.Sequential(conv_bn(before[i], w, 2), Residual(w)) for i, w in enumerate(widths)]
        self.stages = nn.ModuleList(stages)
        self.channels, self.strides = tuple(widths[-3:]), (8, 16, 32)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps[-3:]


class SqueezeNet(Backbone):
    """torchvision's SqueezeNet 1.1 features; strides 8 and 16.

    The first convolution is padded and the pools round down, which gives grids of exactly side / stride.
    """

    def __init__(self, freeze_first: bool = True) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        self.features = squeezenet1_1(weights=None).features
        self.features[0].padding = (1, 1)
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode, layer.padding = False, 1
        if freeze_first:
            self.features[0].requires_grad_(False)
        self.channels, self.strides = (256, 512), (8, 16)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for place, layer in enumerate(self.features):
            images = layer(images)
            if place in (7, 12):
                maps.append(images)
        return maps


class ResNet(Backbone):
    """torchvision's ResNet, stages C3 to C5 (strides 8, 16, 32); batch norm trains."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        from torchvision import models

        net = {18: models.resnet18, 34: models.resnet34, 50: models.resnet50, 101: models.resnet101}[depth](
            weights=None
        )
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        wide = 4 if depth >= 50 else 1
        self.channels, self.strides = (128 * wide, 256 * wide, 512 * wide), (8, 16, 32)

    def forward(self, images: Tensor) -> list[Tensor]:
        c3 = self.layer2(self.layer1(self.stem(images)))
        c4 = self.layer3(c3)
        return [c3, c4, self.layer4(c4)]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of an npz, safetensors or pth file, never unpickling anything but tensors."""
    if not path.is_file():
        raise InputError(f"no weights file {path}; set detector.weights to a .npz, .safetensors or .pth file")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {k: torch.from_numpy(arrays[k]) for k in arrays.files}
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:
        raise InputError(f"{path}: not a readable weights file ({problem!s:.200})") from problem
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: holds a {type(loaded).__name__}, expected a dictionary of tensors")
    return {k: v for k, v in loaded.get("state_dict", loaded).items() if isinstance(v, Tensor)}


def load_weights(backbone: Backbone, path: Path) -> int:
    """Copies what fits by name and shape into the backbone; returns how many tensors.

    torchvision's names are understood for ResNet (`conv1` sits in `stem` here). Raises InputError if a parameter
    of the backbone is left without a value.
    """
    given = read_weights(path)
    if isinstance(backbone, ResNet):
        given = {("stem.0." + k[6:] if k.startswith("conv1.") else k): v for k, v in given.items()}
        given = {("stem.1." + k[4:] if k.startswith("bn1.") else k): v for k, v in given.items()}
    own = backbone.state_dict()
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    missing = [k for k in own if k not in fitting and not k.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(own)} tensors of {type(backbone).__name__} are missing or of another "
            f"shape, first '{missing[0]}'"
        )
    backbone.load_state_dict({**own, **fitting})
    return len(fitting)
