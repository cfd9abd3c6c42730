"""What every backbone offers: maps from stride 4 on, and parts that do not learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from assignbench.config.network import BackboneSpec


class Backbone(nn.Module):
    """Base: `steps` run one after the other and end at C2, C3 and so on; `forward` returns the maps from C3 on.

    `all_channels` are the channels of C2, C3, ..., as many as there are steps. `keep` chooses other maps.
    """

    all_channels: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self._first, self._last = 1, 4
        self._taken_out: tuple[str, ...] = ()
        self._frozen: tuple[nn.Module, ...] = ()
        self._frozen_norms: tuple[nn.Module, ...] = ()

    @property
    def steps(self) -> list[Sequence[nn.Module]]:
        """The layers up to C2, from there to C3, and so on."""
        raise NotImplementedError

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the maps that `forward` returns, the finest map first."""
        return self.all_channels[self._first : self._last]

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of these maps."""
        return tuple(4 * 2**place for place in range(len(self.all_channels)))[self._first : self._last]

    def keep(self, finest: int = 8, coarsest: int = 32) -> Self:
        """Makes `forward` return the maps of these strides alone; layers that only coarser ones need are taken out."""
        self._first, self._last = (stride.bit_length() for stride in (finest // 8, coarsest // 4))
        unused = {layer for step in self.steps[self._last :] for layer in step}
        self._taken_out += tuple(f"{name}." for name, module in self.named_modules() if module in unused)
        for parent in self.modules():
            for name, child in parent.named_children():
                if child in unused:
                    setattr(parent, name, nn.Identity())
        return self

    def deform(self, spec: BackboneSpec) -> Self:
        """Makes the convolutions deformable that a description names; only those of bottlenecks can be."""
        return self

    def freeze(self, spec: BackboneSpec) -> Self:
        """Freezes what a description says, for good: `train()` leaves it as it is."""
        modules = [layer for step in self.steps[: spec.frozen_stages] for layer in step]
        if spec.freeze_first:
            modules.append(self.first)
        norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        if spec.frozen_norm == "all":
            modules += norms
        for module in modules:
            module.requires_grad_(False)
        self._frozen = tuple(modules)
        self._frozen_norms = tuple(norms) if spec.frozen_norm != "none" else ()
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Frozen parts and norms stay in evaluation mode, so that their statistics do not move."""
        super().train(mode)
        for module in (*self._frozen, *self._frozen_norms):
            module.eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for step in self.steps[: self._last]:
            for layer in step:
                x = layer(x)
            maps.append(x)
        return maps[self._first :]

    @property
    def first(self) -> nn.Module:
        """The first convolution, which a description may freeze."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d))

    def published_name(self, name: str) -> str:
        """The name here of the tensor that a published weights file calls `name`."""
        return name

    def is_added(self, name: str) -> bool:
        """Whether no published file has this tensor, since it was added here and starts by itself."""
        return ".offset." in name

    def is_taken_out(self, name: str) -> bool:
        """Whether `keep` took out the layer that a tensor of this name belongs to."""
        return name.startswith(self._taken_out)
