"""How objects lie among each other: crowdedness (LTM, Table 2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from assignbench.measure.boxes import AnyFloats, Floats, pairwise_iou


def crowdedness(images: npt.NDArray[np.integer[Any]], boxes: AnyFloats) -> Floats:
    """Largest IoU [M] of each object (boxes [M, 4] xyxy, of images [M]) with another one of its image; 0 if alone."""
    result = np.zeros(len(images))
    order = np.argsort(images, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(images[order]) != 0, True]) if len(order) else np.zeros(1, int)
    for begin, end in pairwise(starts):
        rows = order[begin:end]
        iou = pairwise_iou(boxes[rows], boxes[rows])
        np.fill_diagonal(iou, 0.0)
        result[rows] = iou.max(axis=1)
    return result
