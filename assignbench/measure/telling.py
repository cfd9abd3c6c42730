"""Which objects a picture should show when nobody names some: a crowded, a slender, a small and a large one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assignbench.measure.boxes import AnyFloats, Floats, aspect_ratio
from assignbench.measure.crowding import crowdedness

KINDS = ("crowded", "slender", "small", "large")
LEAST_SIDE = 8.0  # px of the shorter side; of what is smaller a picture shows nothing


def telling_objects(images: npt.NDArray[np.integer[Any]], boxes: AnyFloats) -> dict[str, int]:
    """The rows of the most crowded, the most slender, the smallest and the largest object (boxes [M, 4] xyxy px, of
    images [M]), by kind: fewer where there are fewer objects, no crowded one where none overlaps another.

    Each kind takes what is left by those before it, the earlier row among equals. Objects with a side below
    `LEAST_SIDE` are taken only where there are no others.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    free = (sides >= LEAST_SIDE).all(axis=1) if len(boxes) else np.zeros(0, np.bool_)
    free = free if free.any() else np.ones(len(boxes), np.bool_)
    area = sides.prod(axis=1)
    values: dict[str, Floats] = {
        "crowded": crowdedness(images, boxes),
        "slender": aspect_ratio(boxes),
        "small": -area,
        "large": area,
    }
    found: dict[str, int] = {}
    for kind in KINDS:
        able = free & (values[kind] > 0) if kind == "crowded" else free
        if able.any():
            found[kind] = int(np.where(able, values[kind], -np.inf).argmax())
            free = free & (np.arange(len(boxes)) != found[kind])
    return found
