"""Otsu's thresholds and rank correlations of many groups of values at once: what MLC needs per object."""

from __future__ import annotations

import torch
from torch import Tensor

from assignbench.select import segment_order

BINS = 256
SAME = 1e-6  # values closer than this count as equal when ranked


def candidates_alone(owner: Tensor, *values: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Owners and values [B, M] of the priors that have an owner in owner [B, A], in their order, filled up by owner -1.

    They are few, so that eager CPU code sorts them alone; elsewhere their number is not known, and all are returned.
    """
    if owner.device.type != "cpu" or torch.compiler.is_compiling():
        return owner, values
    chosen = owner >= 0
    number = chosen.sum(dim=1)
    row, prior = chosen.nonzero(as_tuple=True)
    slot = torch.arange(len(row)) - (number.cumsum(0) - number)[row]
    shape = (len(owner), max(1, int(number.max())))
    held, place = owner.new_full(shape, -1), owner.new_zeros(shape)
    held[row, slot], place[row, slot] = owner[row, prior], prior
    return held, tuple(each.gather(1, place) for each in values)


def exact_otsu(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Otsu's threshold [B, count] of the values [B, A] of every owner [B, A]; NaN where there are not two values.

    Every cut between neighbouring distinct values is tried, the largest between-class variance wins, the first one on
    ties, and the threshold is the midpoint of the two values around it (D1, D2).
    """
    order, place, size, first = segment_order(owner, values, count)
    sorted_values = values.gather(1, order).double()
    sorted_owner = owner.gather(1, order)
    valid = sorted_owner >= 0
    running = (sorted_values * valid).cumsum(dim=1)
    before = torch.where(first > 0, running.gather(1, (first - 1).clamp(min=0)), 0.0)
    n, k = size.double(), (place + 1).double()
    end = (first + size - 1).clamp(min=0)
    total = running.gather(1, end) - before
    low = running - before
    gap = low / k.clamp(min=1) - (total - low) / (n - k).clamp(min=1)
    variance = k * (n - k) / (n * n).clamp(min=1) * gap * gap
    after = torch.cat([sorted_values[:, 1:], sorted_values[:, -1:]], dim=1)
    is_cut = valid & (k < n) & (after > sorted_values)
    variance = variance.masked_fill(~is_cut, -1.0)
    key = sorted_owner.clamp(min=0)
    best = torch.full((values.shape[0], count), -1.0, dtype=torch.float64, device=values.device)
    best.scatter_reduce_(1, key, variance, "amax")
    wins = is_cut & (variance == best.gather(1, key))
    none = values.shape[1]
    position = torch.arange(none, device=values.device).expand_as(order).masked_fill(~wins, none)
    where = torch.full_like(best, none, dtype=torch.long).scatter_reduce_(1, key, position, "amin")
    at = where.clamp(max=none - 1)
    middle = (sorted_values.gather(1, at) + after.gather(1, at)) / 2
    return middle.masked_fill(where == none, float("nan")).to(values.dtype)


def histogram_otsu(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """The same for values in [0, 1] in 256 equal bins: the threshold is the upper edge of a bin.

    Values of one bin count as equal, at the bin's centre. The first of equally good edges wins.
    """
    batch = values.shape[0]
    bins = (values.double() * BINS).long().clamp(0, BINS - 1)
    slot = torch.where(owner >= 0, owner * BINS + bins, count * BINS)
    counts = torch.zeros(batch, count * BINS + 1, dtype=torch.float64, device=values.device)
    counts.scatter_add_(1, slot, torch.ones_like(values, dtype=torch.float64))
    counts = counts[:, :-1].view(batch, count, BINS)
    # A bin's index instead of its centre: whole numbers, so that equally good edges tie exactly.
    index = torch.arange(BINS, dtype=torch.float64, device=values.device)
    k, low = counts.cumsum(-1), (counts * index).cumsum(-1)
    n, total = k[..., -1:], low[..., -1:]
    gap = low * n - total * k
    variance = gap * gap / (k * (n - k)).clamp(min=1)
    best, edge = variance.max(dim=-1)
    upper = ((edge + 1).double() / BINS).to(values.dtype)
    return upper.masked_fill(best <= 0, float("nan"))


def segment_spearman(first: Tensor, second: Tensor, owner: Tensor, count: int) -> Tensor:
    """Spearman's rank correlation [B, count] of two values [B, A] over the members of every owner [B, A].

    Equal values share their mean rank. NaN where there are not two members, or one side is constant.
    """
    x, y = _mean_ranks(first, owner, count), _mean_ranks(second, owner, count)
    key = owner.clamp(min=0)
    member = (owner >= 0).double()

    def summed(values: Tensor) -> Tensor:
        total = torch.zeros(owner.shape[0], count, dtype=torch.float64, device=owner.device)
        return total.scatter_add_(1, key, values * member)

    n = summed(torch.ones_like(x)).clamp(min=1)
    dx, dy = x - (summed(x) / n).gather(1, key), y - (summed(y) / n).gather(1, key)
    spread = summed(dx * dx) * summed(dy * dy)
    found = summed(dx * dy) / spread.clamp(min=1e-300).sqrt()
    return found.masked_fill(spread <= 0, float("nan")).to(first.dtype)


def _mean_ranks(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Rank [B, A] of every value among those of its owner, from 0, equal values at their mean rank."""
    steps = (values.double() / SAME).round()
    order, place, _, _ = segment_order(owner, steps, count)
    ranked, holder = steps.gather(1, order), owner.gather(1, order)
    fresh = torch.ones_like(ranked, dtype=torch.bool)
    fresh[:, 1:] = (ranked[:, 1:] != ranked[:, :-1]) | (holder[:, 1:] != holder[:, :-1])
    group = fresh.long().cumsum(dim=1) - 1
    total, size = torch.zeros_like(steps), torch.zeros_like(steps)
    total.scatter_add_(1, group, place.double())
    size.scatter_add_(1, group, torch.ones_like(steps))
    mean = (total / size.clamp(min=1)).gather(1, group)
    return torch.empty_like(mean).scatter_(1, order, mean)
