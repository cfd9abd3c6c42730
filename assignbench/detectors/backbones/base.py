"""What every backbone offers."""

from __future__ import annotations

from torch import nn


class Backbone(nn.Module):
    """Base: `channels` and `strides` describe the maps that `forward` returns, the finest map first."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def first(self) -> nn.Module:
        """The first convolution, which a description may freeze."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d))

    def published_name(self, name: str) -> str:
        """The name here of the tensor that a published weights file calls `name`."""
        return name
