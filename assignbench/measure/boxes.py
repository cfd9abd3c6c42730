"""Overlaps of boxes in numpy. Boxes are xyxy pixels, continuous coordinates, no "+1"; results are float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
AnyFloats = npt.NDArray[np.floating[Any]]


def areas(boxes: AnyFloats) -> Floats:
    """Area [N] of boxes [N, 4]; a box with a negative side has none."""
    sides = (boxes[..., 2:].astype(np.float64) - boxes[..., :2].astype(np.float64)).clip(0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def pairwise_iou(first: AnyFloats, second: AnyFloats) -> Floats:
    """IoU [N, M] of boxes [N, 4] with boxes [M, 4]; 0 where both are empty."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    shared = width.clip(0) * height.clip(0)
    union = areas(a)[:, None] + areas(b)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def iou_of_pairs(first: Floats, second: Floats, first_areas: Floats, second_areas: Floats) -> Floats:
    """IoU [P] of float64 boxes [P, 4] with others [P, 4], pair by pair, whose areas are known: what every NMS does."""
    width = np.minimum(first[:, 2], second[:, 2]) - np.maximum(first[:, 0], second[:, 0])
    height = np.minimum(first[:, 3], second[:, 3]) - np.maximum(first[:, 1], second[:, 1])
    shared = width.clip(0) * height.clip(0)
    union = first_areas + second_areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def aspect_ratio(boxes: AnyFloats) -> Floats:
    """max(w/h, h/w) [N] of boxes [N, 4]: 1 for a square, infinite for a line."""
    width, height = (boxes[:, 2:].astype(np.float64) - boxes[:, :2].astype(np.float64)).T
    long, short = np.maximum(width, height), np.minimum(width, height)
    return np.asarray(np.divide(long, short, out=np.full(len(boxes), np.inf), where=short > 0))
