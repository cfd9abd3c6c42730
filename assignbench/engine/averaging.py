"""Averaged weights: a running mean of what a network was over its training, which is what is evaluated in the end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

RAMP = 10  # the larger, the longer the mean of a young run is shorter than `decay` says


class Average:
    """The exponential mean of a module's weights and running statistics; whole numbers are taken as they are.

    After n updates it keeps min(`decay`, (1 + n) / (10 + n)) of itself, so that the initial weights do not outlive a
    short run. It lies on the module's device.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.updates = 0
        self.mean: dict[str, Tensor] = {}
        self.restart()

    def restart(self) -> None:
        """Begins anew from what the module is now."""
        self.updates = 0
        self.mean = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the module as it is now into the mean."""
        decay = min(self.decay, (1 + self.updates) / (RAMP + self.updates))
        self.updates += 1
        held, new = [], []
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                held.append(self.mean[name])
                new.append(value)
            else:
                self.mean[name].copy_(value)
        torch._foreach_lerp_(held, new, 1 - decay)

    def into(self, model: nn.Module) -> None:
        """Puts the mean into a module of the same shape."""
        model.load_state_dict(self.mean)

    def state(self) -> dict[str, object]:
        """What a resumed training goes on with; the tensors are the live ones."""
        return {"updates": self.updates, "mean": self.mean}

    def restore(self, state: Mapping[str, object]) -> None:
        """Takes over what `state` returned. Raises KeyError or RuntimeError for that of another module."""
        mean = state["mean"]
        if not isinstance(mean, dict) or mean.keys() != self.mean.keys():
            raise RuntimeError("the averaged weights are those of another network")
        for name, value in mean.items():
            self.mean[name].copy_(value)
        self.updates = int(str(state["updates"]))
