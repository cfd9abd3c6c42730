"""Batch norms whose statistics are those of a whole batch, of which each process of a training has a share.

The arithmetic is that of Ioffe and Szegedy (ICML 2015), with mean and variance over all processes; the gradient flows
through both. It works on any device that the processes can send tensors of.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


class Exchange(Protocol):
    """What a norm needs of the processes that share a batch."""

    def stacked(self, values: Tensor) -> Tensor:
        """The values of all processes, one row each."""

    def summed(self, values: Tensor) -> Tensor:
        """The sum of the values of all processes."""


class SharedNorm(_BatchNorm):
    """The batch norm of a model, with its parameters and statistics, over the batch that all processes share.

    In evaluation mode it is the norm that it was. No `nn.BatchNorm2d`: one image of a single cell is enough here, since
    the others have more.
    """

    def __init__(self, norm: _BatchNorm, world: Exchange) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.world = world
        for name, tensor in (*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)):
            setattr(self, name, tensor)  # the very tensors: the optimiser holds them
        self.training = norm.training

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions behind the channels will do."""

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        mean, var, count = _statistics(input.detach(), self.world)
        self._track(mean, var, count)
        out: Tensor = _Normalise.apply(
            input, self.weight, self.bias, mean.to(_kind(input)), var.to(_kind(input)), self.eps, count, self.world
        )
        return out

    def _track(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Running statistics as torch's norms keep them: of the variance the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            new: float | Tensor = 1 / self.num_batches_tracked.double() if self.momentum is None else self.momentum
            for running, value in ((self.running_mean, mean), (self.running_var, var * count / (count - 1))):
                running.copy_(running + new * (value - running))


def share_norms(model: nn.Module, world: Exchange) -> None:
    """Puts a SharedNorm in the place of every batch norm that learns, which has to be in training mode; frozen ones
    depend on no batch and stay.
    """
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, SharedNorm) and child.training:
                setattr(parent, name, SharedNorm(child, world))


def _statistics(x: Tensor, world: Exchange) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], biased variance [C] and count [] of all processes' values x [B, C, ...], float64.

    The parts' statistics are put together as by Chan et al. (1979), which loses no digits where the mean is large.
    """
    var, mean = torch.var_mean(x.to(_kind(x)), dim=_but_channels(x), correction=0)
    own = torch.cat([torch.stack([mean, var]).double().flatten(), mean.new_tensor([x.numel() // x.shape[1]]).double()])
    every = world.stacked(own)
    counts = every[:, -1:]
    means, variances = every[:, :-1].reshape(len(every), 2, -1).unbind(dim=1)
    count = counts.sum()
    whole = (counts * means).sum(dim=0) / count
    return whole, (counts * (variances + (means - whole) ** 2)).sum(dim=0) / count, count


def _but_channels(x: Tensor) -> list[int]:
    return [0, *range(2, x.ndim)]


def _kind(x: Tensor) -> torch.dtype:
    """What is reckoned in: float32, or wider where the values are."""
    return torch.promote_types(x.dtype, torch.float32)


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, where mean and var depend on the x of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        eps: float,
        count: Tensor,
        world: Exchange,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.world, ctx.eps = world, eps
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, count = ctx.saved_tensors
        scale = (var + ctx.eps).rsqrt()
        wide = (1, -1, *(1,) * (x.ndim - 2))
        given, normal = gradient.to(_kind(x)), (x.to(_kind(x)) - mean.view(wide)) * scale.view(wide)
        own = torch.stack([given.sum(dim=_but_channels(x)), (given * normal).sum(dim=_but_channels(x))])
        of_bias, of_weight = own.unbind()
        mean_given, mean_product = (ctx.world.summed(own.double()) / count).to(_kind(x)).unbind()
        factor = scale if weight is None else scale * weight
        inner = given - mean_given.view(wide) - normal * mean_product.view(wide)
        out = (inner * factor.view(wide)).to(x.dtype)
        # Of weight and bias the own share: the gradients of all parameters are added up over the processes later.
        needed = ctx.needs_input_grad
        return out, of_weight if needed[1] else None, of_bias if needed[2] else None, *[None] * 5
