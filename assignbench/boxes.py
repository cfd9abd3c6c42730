"""Boxes as `xyxy` float pixels, continuous (a box from 0 to 10 is 10 wide)."""

from __future__ import annotations

import torch
from torch import Tensor

# Smallest union that is divided by: a degenerate pair gets IoU 0 instead of NaN, every other pair is untouched.
MIN_UNION = 1e-6


def plus_one(boxes: Tensor) -> Tensor:
    """Boxes [..., 4] in pixels counted inclusively (width x2 - x1 + 1), as the continuous boxes of the same areas."""
    return torch.cat([boxes[..., :2], boxes[..., 2:] + 1], dim=-1)


def areas(boxes: Tensor) -> Tensor:
    """Areas [...] of boxes [..., 4] in px²."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def centres(boxes: Tensor) -> Tensor:
    """Centres [..., 2] of boxes [..., 4]."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _overlap(rows: Tensor, columns: Tensor) -> Tensor:
    """Intersections [..., N, M] of boxes [..., N, 4] and [..., M, 4].

    The coordinates are taken apart first: contiguous operands keep this bound by memory, not by strides.
    """
    left, top, right, bottom = (c.contiguous().unsqueeze(-1) for c in rows.unbind(-1))
    left_, top_, right_, bottom_ = (c.contiguous().unsqueeze(-2) for c in columns.unbind(-1))
    width = right.minimum(right_).sub_(left.maximum(left_)).clamp_(min=0)
    height = bottom.minimum(bottom_).sub_(top.maximum(top_)).clamp_(min=0)
    return width.mul_(height)


# From so many pairs on, eager CPU code works in blocks whose temporaries stay in the cache: a fraction of the time, and
# no memory but the result's.
_MANY_PAIRS, _BLOCK, _BLOCK_PAIRS = 2_000_000, 4096, 131_072


def pairwise_iou(rows: Tensor, columns: Tensor) -> Tensor:
    """IoU [..., N, M] of boxes [..., N, 4] with boxes [..., M, 4]; leading dimensions broadcast."""
    pairs: int = rows.shape[-2] * columns.shape[-2]
    tracked = torch.is_grad_enabled() and (rows.requires_grad or columns.requires_grad)
    if rows.device.type != "cpu" or pairs < _MANY_PAIRS or tracked or torch.compiler.is_compiling():
        return _iou(rows, columns)
    leading = torch.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])  # type: ignore[no-untyped-call]
    result = rows.new_empty(*leading, rows.shape[-2], columns.shape[-2])
    images = max(1, leading.numel())
    height = max(1, _BLOCK_PAIRS // (_BLOCK * images))
    for top in range(0, rows.shape[-2], height):
        some = rows[..., top : top + height, :]
        for start in range(0, columns.shape[-2], _BLOCK):
            part = _iou(some, columns[..., start : start + _BLOCK, :])
            result[..., top : top + height, start : start + _BLOCK] = part
    return result


def _iou(rows: Tensor, columns: Tensor) -> Tensor:
    overlap = _overlap(rows, columns)
    union = (areas(rows).unsqueeze(-1) + areas(columns).unsqueeze(-2)).sub_(overlap).clamp_(min=MIN_UNION)
    return overlap.div_(union)


def pairwise_iof(rows: Tensor, columns: Tensor) -> Tensor:
    """Intersection over the area of the row's box [..., N, M]."""
    return _overlap(rows, columns).div_(areas(rows).unsqueeze(-1).clamp(min=MIN_UNION))


def paired_overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Intersections and unions [...] of boxes [..., 4], pair by pair; differentiable."""
    sides = (first[..., 2:].minimum(second[..., 2:]) - first[..., :2].maximum(second[..., :2])).clamp(min=0)
    overlap = sides[..., 0] * sides[..., 1]
    return overlap, (areas(first) + areas(second) - overlap).clamp(min=MIN_UNION)


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU [...] of boxes [..., 4], pair by pair; differentiable."""
    overlap, union = paired_overlap(first, second)
    return overlap / union


def paired_giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU [...] of boxes [..., 4], pair by pair; differentiable."""
    overlap, union = paired_overlap(first, second)
    hull = first[..., 2:].maximum(second[..., 2:]) - first[..., :2].minimum(second[..., :2])
    hull_area = (hull[..., 0] * hull[..., 1]).clamp(min=MIN_UNION)
    return overlap / union - (hull_area - union) / hull_area


def clip(boxes: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Boxes [B, A, 4] clipped to images of these sides, [B, 1] each."""
    most = torch.stack([width, height, width, height], dim=-1)
    return torch.minimum(boxes.clamp(min=0), most)


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Smallest of the four distances [..., G, A] from points [A, 2] to the sides of boxes [..., G, 4].

    Positive strictly inside, zero on an edge, negative outside.
    """
    x, y = points.unbind(-1)
    left, top, right, bottom = (c.contiguous().unsqueeze(-1) for c in boxes.unbind(-1))
    return (x - left).minimum(right - x).minimum((y - top).minimum(bottom - y))
