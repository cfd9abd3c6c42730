"""Losses element by element or box by box; normalisation and weighting belong to the criterion."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from assignbench.boxes import paired_giou, paired_iou

PIECE = 1 << 16  # numbers


def sigmoid_focal(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss [...] of logits against targets in {0, 1} (Lin et al., ICCV 2017, Eq. 5).

    `alpha` weighs positives and 1 - alpha negatives; a negative alpha switches the balance off.
    """
    # Written on the probability of the wrong answer: p for a negative, 1 - p for a positive.
    flipped = torch.where(targets > 0, -logits, logits)
    loss = torch.sigmoid(flipped).pow(gamma) * F.softplus(flipped)
    if alpha < 0:
        return loss
    return loss * torch.where(targets > 0, alpha, 1 - alpha)


class _WeightedFocal(torch.autograd.Function):
    """The weighted sum of the focal loss with its gradient worked out at once."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, weights: Tensor, alpha: float, gamma: float) -> Tensor:
        classes = logits.shape[-1]
        rows = logits.detach().reshape(-1, classes)
        slope, total = torch.empty_like(rows), rows.new_zeros(())
        size = _piece(rows, classes)
        whole = (rows, targets.reshape(-1, classes), weights.reshape(-1, 1), slope)
        for x, y, weight, out in zip(*(torch.split(each, size) for each in whole), strict=True):
            sign = 1 - 2 * y
            z = x * sign  # the logit of the wrong answer
            power, log_right, rise = _factors(z, gamma)
            power *= weight if alpha < 0 else weight * (1 - alpha + (2 * alpha - 1) * y)
            torch.mul(rise.mul_(power), sign, out=out)
            total = total + power.mul_(log_right).sum()
        ctx.save_for_backward(slope.view(logits.shape))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        return ctx.saved_tensors[0] * grad, None, None, None, None


def focal_sum(logits: Tensor, targets: Tensor, weights: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sum [] of `sigmoid_focal` of logits [..., C] against targets [..., C] in {0, 1}, each row times its weight [...].

    Takes half of its time and memory. Differentiable once, with respect to the logits alone.
    """
    return torch.as_tensor(
        _WeightedFocal.apply(logits, targets.to(logits.dtype), weights.to(logits.dtype), alpha, gamma)
    )


def _factors(z: Tensor, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """p^gamma and s of the focal loss p^gamma s of wrong logits z, with p = sigmoid(z) and s = softplus(z), and what
    p^gamma is multiplied by in its slope: d/dz p^g s = p^g (g (1 - p) s + p), since ds/dz = p.
    """
    p, s = z.sigmoid(), F.softplus(z)
    power = p * p if gamma == 2.0 else p.pow(gamma)
    return power, s, (1 - p).mul_(s).mul_(gamma).add_(p)


def _piece(values: Tensor, width: int = 1) -> int:
    """How many rows of a width are worked on at once: on a CPU as many as stay in its cache, since fresh memory for
    whole temporaries costs more than the arithmetic; elsewhere all.
    """
    return max(1, PIECE // max(1, width)) if values.device.type == "cpu" else max(1, len(values))


class _FocalSum(torch.autograd.Function):
    """The sum of p^gamma x -ln(1 - p) over logits with its gradient worked out at once, and some logits picked out.

    One pass over a large tensor in each direction: the picked logits' gradient is added to the same memory.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, gamma: float, where: Tensor, keep: Tensor, picked: Tensor
    ) -> tuple[Tensor, Tensor]:
        flat = logits.detach().reshape(-1)
        slope = torch.empty_like(flat)
        total = flat.new_zeros(())
        piece = _piece(flat)
        for z, out in zip(torch.split(flat, piece), torch.split(slope, piece), strict=True):
            power, log_no, rise = _factors(z, gamma)
            torch.mul(rise, power, out=out)
            total = total + power.mul_(log_no).sum()
        p = flat[where].sigmoid()
        q = (p * keep).clamp(max=1 - 1e-7)
        log_no = -torch.log1p(-q)
        total = total + (q.pow(gamma) * log_no - p.pow(gamma) * F.softplus(flat[where])).sum()
        rise = gamma * q.pow(gamma - 1) * log_no + q.pow(gamma) / (1 - q)
        slope[where] = rise * keep * p * (1 - p)
        ctx.save_for_backward(slope.view(logits.shape), picked)
        return total, flat[picked]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_picked: Tensor) -> tuple[Tensor, None, None, None, None]:
        slope, picked = ctx.saved_tensors
        # In place: autograd refuses a second backward through it, instead of giving a wrong one.
        slope.mul_(grad)
        slope.view(-1).index_add_(0, picked, grad_picked)
        return slope, None, None, None, None


def background_focal_sum(
    logits: Tensor, gamma: float, where: Tensor, keep: Tensor, picked: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum of the focal loss of all logits [...] as negatives, without alpha, and the logits at `picked`, flat [M].

    At the flat positions `where` [N], all different, the probability is multiplied by `keep` [N] in [0, 1] first.
    Differentiable once.
    """
    total, chosen = _FocalSum.apply(logits, gamma, where, keep, picked)
    return total, chosen


def focal_on_log_probability(log_p: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> tuple[Tensor, Tensor]:
    """Focal losses [...] of a probability given as its logarithm, as a positive and as a negative.

    For products of probabilities, which have no logit. ln p is kept below -1e-7, so that ln(1 - p) stays finite.
    """
    log_p = log_p.clamp(max=-1e-7)
    rest = -torch.expm1(log_p)
    return -alpha * rest.pow(gamma) * log_p, -(1 - alpha) * log_p.mul(gamma).exp() * rest.log()


def quality_focal(logits: Tensor, targets: Tensor, beta: float = 2.0) -> Tensor:
    """|y - p|^beta x BCE [...] for soft targets y in [0, 1] (Li et al., NeurIPS 2020, Eq. 3)."""
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (targets - logits.sigmoid()).abs().pow(beta) * bce


def smooth_l1(difference: Tensor, beta: float = 0.11) -> Tensor:
    """Smooth L1 [...] of a difference; quadratic below `beta`."""
    return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=beta)


def balanced_l1(difference: Tensor, alpha: float = 0.5, gamma: float = 1.5, beta: float = 0.11) -> Tensor:
    """Balanced L1 [...] (Pang et al., CVPR 2019, Eq. 6-8 with a transition point `beta`).

    Mutual Guidance's released code uses alpha 0.5, gamma 1.5, beta 0.11.
    """
    x = difference.abs()
    b = math.exp(gamma / alpha) - 1
    inlier = x.clamp(max=beta)
    near = alpha / b * (b * inlier + 1) * (b * inlier / beta + 1).log() - alpha * inlier
    far = gamma * x + gamma / b - alpha * beta
    return torch.where(x < beta, near, far)


def giou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - GIoU [...] of boxes [..., 4] (Rezatofighi et al., CVPR 2019)."""
    return 1 - paired_giou(predicted, target)


def iou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """-ln IoU [...] of boxes [..., 4], IoU floored at 1e-6."""
    return -paired_iou(predicted, target).clamp(min=1e-6).log()


def iou_square_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - IoU² [...] of boxes [..., 4] (YOLOX)."""
    return 1 - paired_iou(predicted, target).square()
