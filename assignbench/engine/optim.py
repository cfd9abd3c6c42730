"""The optimiser of a learner: its groups of parameters, the rate of a step, and the norm of a gradient."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from assignbench.config.recipe import Schedule

Groups = list[dict[str, Any]]
Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def parameter_groups(named: Iterable[tuple[str, nn.Parameter]], schedule: Schedule) -> Groups:
    """Groups by what a parameter's rate and decay are: of the backbone or not, decayed or not, a bias or not.

    Norms and biases are not decayed unless the schedule says so. `factor` is what multiplies the schedule's rate.
    Frozen parameters are in no group.
    """
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            decayed = parameter.ndim > 1 or schedule.decay_norm_bias
            # Groups decide in which order gradients are added up for their norm, so there are no more than needed.
            bias = schedule.bias_lr != 1 and name.rpartition(".")[2] == "bias"
            groups.setdefault((name.startswith("backbone"), decayed, bias), []).append(parameter)
    lists = []
    for (backbone, decayed, bias), parameters in sorted(groups.items(), key=lambda item: item[0]):
        factor = (schedule.backbone_lr if backbone else 1.0) * (schedule.bias_lr if bias else 1.0)
        decay = schedule.weight_decay if decayed else 0.0
        lists.append({"params": parameters, "lr": schedule.lr * factor, "factor": factor, "weight_decay": decay})
    return lists


def _plain(kind: type[Kind]) -> type[Kind]:
    """An optimiser without what its methods are wrapped in for torch's compiler.

    With it the first step of a process would load the compiler, for a second. Nothing here compiles an optimiser.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast(type[Kind], type(kind.__name__, (kind,), methods))


SGD, AdamW = _plain(torch.optim.SGD), _plain(torch.optim.AdamW)


def _sgd(groups: Groups, schedule: Schedule) -> torch.optim.Optimizer:
    # On a CPU the plain one: the fused one rounds otherwise, and trainings there are the same in all versions.
    on_gpu = any(p.is_cuda for group in groups for p in group["params"])
    return SGD(groups, lr=schedule.lr, momentum=schedule.momentum, fused=on_gpu)


def _adamw(groups: Groups, schedule: Schedule) -> torch.optim.Optimizer:
    return AdamW(groups, lr=schedule.lr, fused=True)


OPTIMISERS = {"adamw": _adamw, "sgd": _sgd}


def build_optimiser(named: Iterable[tuple[str, nn.Parameter]], schedule: Schedule) -> torch.optim.Optimizer:
    """The optimiser that a schedule names, over the parameters that learn."""
    return OPTIMISERS[schedule.optimizer](parameter_groups(named, schedule), schedule)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group the rate of the step, times the group's factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def clipped(optimiser: torch.optim.Optimizer, largest: float | None) -> Tensor:
    """The norm [] of the whole gradient, which is scaled down to `largest` where it is more; None only measures."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    if largest is None:
        return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=True)
    return nn.utils.clip_grad_norm_(parameters, largest, foreach=True)
