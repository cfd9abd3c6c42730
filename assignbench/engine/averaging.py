"""Averaged weights: a running mean of what a network was over its training, which is what is evaluated in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from assignbench.config.recipe import Schedule

RAMP = 10  # the larger, the longer the mean of a young run is shorter than `decay` says


class Rule(Protocol):
    """How much of itself a mean keeps when it takes in the weights after one more update."""

    def kept(self, updates: int) -> float:
        """The share [0, 1) that is kept after `updates` earlier ones; 0 where the mean is what the module is now."""


@dataclass(frozen=True)
class Exponential:
    """After n updates min(`decay`, (1 + n) / (10 + n)) is kept: initial weights do not outlive a short run."""

    decay: float

    def kept(self, updates: int) -> float:
        """See `Rule`."""
        return min(self.decay, (1 + updates) / (RAMP + updates))


@dataclass(frozen=True)
class Tail:
    """The plain mean of the weights after each of the `last` of `steps` updates (as SWA, Izmailov et al., UAI 2018)."""

    last: int
    steps: int

    def kept(self, updates: int) -> float:
        """See `Rule`."""
        taken = max(0, updates - (self.steps - self.last))  # so many are in the mean already
        return taken / (taken + 1)


class Average:
    """A mean of a module's weights and running statistics by a rule; whole numbers are taken as they are.

    It lies on the module's device.
    """

    def __init__(self, model: nn.Module, rule: Rule) -> None:
        self.model, self.rule = model, rule
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
        kept = self.rule.kept(self.updates)
        self.updates += 1
        held, new = [], []
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                held.append(self.mean[name])
                new.append(value)
            else:
                self.mean[name].copy_(value)
        torch._foreach_lerp_(held, new, 1 - kept)

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


def average_of(model: nn.Module, schedule: Schedule, steps: int) -> Average | None:
    """The mean that a schedule asks for in a run of `steps` updates; None where the last weights are kept."""
    if schedule.ema is not None:
        return Average(model, Exponential(schedule.ema))
    return None if schedule.average is None else Average(model, Tail(schedule.average, steps))
