"""LTM's matching functions: how the likelihoods of a bag's members become the likelihood of the bag.

From "Learning to Match Anchors" (Zhang et al., TPAMI 2021), section 3.1.3 and the appendix. All of it works on
logarithms, [..., K] with a mask [..., K] of the members.
Equations: 10, 11, 25
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LOG_TINY = -69.0  # ln of a likelihood that stands for zero
FLOOR = 100.0  # the released code's bound of -ln
GUARD = 1e-12  # the released code's bound of 1 - phi, and of its loss's slope


def log_one_minus(log_phi: Tensor) -> Tensor:
    """ln(1 - phi) from ln phi. 1 - phi is kept from 1e-12 on (FreeAnchor's guard); the gradient passes as if it were
    not.
    """
    guarded = log_phi + (log_phi.clamp(max=-GUARD) - log_phi).detach()
    return (-torch.expm1(guarded)).log()


def log_mean_max(log_phi: Tensor, mask: Tensor) -> Tensor:
    """ln M+ [...] of bags of ln phi [..., K]: the mean of phi weighted by 1 / (1 - phi).

    With a and b, the shares of the members in numerator and denominator, the slope by ln phi is exactly K a b. It is
    given like that, since the difference of two numbers near 1 / (1 - phi) would be rounding noise for a sure member.
    """
    steady = log_phi.detach()
    rest = log_one_minus(steady).masked_fill(~mask, 0.0)
    dropped = torch.where(mask, 0.0, -1e9)
    above, below = steady - rest + dropped, -rest + dropped
    value = torch.logsumexp(above, -1) - torch.logsumexp(below, -1)  # Eq. (10)
    slope = mask.sum(-1, keepdim=True) * above.softmax(-1) * below.softmax(-1)
    rise = (slope * torch.where(mask, log_phi, 0.0)).sum(-1)
    return value + (rise - rise.detach())


def log_mean_max_minus(log_phi: Tensor, mask: Tensor, *, equation_11: bool = False) -> Tensor:
    """ln M- [...]: the mean of 1 - phi weighted by phi / (1 - phi)^2; 0 where all phi are 0.

    The printed Eq. 11 has the denominator sum 1 / (1 - phi)^2, which rewards false positives, and is 0 (ln: -inf) where
    all phi are 0; a misprint of the appendix's Eq. 25.
    """
    zero = torch.isneginf(log_phi)
    log_phi = log_phi.masked_fill(zero, LOG_TINY)
    rest = log_one_minus(log_phi).masked_fill(~mask, 0.0)
    dropped = torch.where(mask, 0.0, -1e9)
    nothing = (zero | ~mask).all(-1)
    above = torch.logsumexp(log_phi - rest + dropped, -1)
    if equation_11:
        value = above - torch.logsumexp(-2 * rest + dropped, -1)  # Eq. (11)
        return value.masked_fill(nothing, -float("inf"))
    value = above - torch.logsumexp(log_phi - 2 * rest + dropped, -1)  # Eq. (25)
    return value.masked_fill(nothing, 0.0)


def log_max(log_phi: Tensor, mask: Tensor) -> Tensor:
    """ln of the largest phi [...]: multiple instance learning, which the paper compares its functions with."""
    return log_phi.masked_fill(~mask, -1e9).amax(-1)


def log_average(log_phi: Tensor, mask: Tensor) -> Tensor:
    """The mean of ln phi [...]: every member is taught alike."""
    return torch.where(mask, log_phi, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)


BAG_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean_max": log_mean_max,
    "max": log_max,
    "average": log_average,
}


def released_nll(log_m: Tensor) -> Tensor:
    """-ln M [...] from ln M as FreeAnchor's code has it: at most 100, and with the slope of its cross-entropy.

    That one divides by M (1 - M), or by 1e-12 where that is less: a bag below 1e-12 teaches ever less.
    """
    m = log_m.detach().exp()
    slope = (m * (1 - m) / GUARD).clamp(max=1.0)
    shown = (-log_m.detach()).clamp(max=FLOOR)
    return shown - slope * (log_m - log_m.detach())


def mean_max_rows(points: int = 41) -> list[dict[str, float | str]]:
    """M+ and M- of a bag of two likelihoods on a grid: rows of formula, curve, x, y and value."""
    axis = torch.linspace(0.005, 0.995, points, dtype=torch.float64)
    pair = torch.cartesian_prod(axis, axis)
    mask = torch.ones_like(pair, dtype=torch.bool)
    rows: list[dict[str, float | str]] = []
    for name, function in (("M+", log_mean_max), ("M-", log_mean_max_minus)):
        value = function(pair.log(), mask).exp()
        for (x, y), found in zip(pair.tolist(), value.tolist(), strict=True):
            rows.append({"formula": "mean-max", "curve": name, "x": x, "y": y, "value": found})
    return rows
