"""The optimiser of a learner: its groups of parameters, and the rate of a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from assignbench.config.recipe import Schedule

Groups = list[dict[str, Any]]


def parameter_groups(named: Iterable[tuple[str, nn.Parameter]], schedule: Schedule) -> Groups:
    """Up to four groups: of the backbone or not, decayed or not (norms and biases are not).

    `factor` is what multiplies the schedule's rate. Frozen parameters are in none of them.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone"), parameter.ndim > 1), []).append(parameter)
    lists = []
    for (backbone, decayed), parameters in sorted(groups.items(), key=lambda item: item[0]):
        factor = schedule.backbone_lr if backbone else 1.0
        decay = schedule.weight_decay if decayed else 0.0
        lists.append({"params": parameters, "lr": schedule.lr * factor, "factor": factor, "weight_decay": decay})
    return lists


def _sgd(groups: Groups, schedule: Schedule) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=schedule.lr, momentum=schedule.momentum)


def _adamw(groups: Groups, schedule: Schedule) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=schedule.lr, fused=True)


OPTIMISERS = {"adamw": _adamw, "sgd": _sgd}


def build_optimiser(named: Iterable[tuple[str, nn.Parameter]], schedule: Schedule) -> torch.optim.Optimizer:
    """The optimiser that a schedule names, over the parameters that learn."""
    return OPTIMISERS[schedule.optimizer](parameter_groups(named, schedule), schedule)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group the rate of the step, times the group's factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
