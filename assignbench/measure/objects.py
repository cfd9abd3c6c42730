"""The columns of an object table that follow from its boxes: what groups of objects are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.measure.crowding import crowdedness

_CORNERS = ["x1", "y1", "x2", "y2"]


def described(objects: pd.DataFrame) -> pd.DataFrame:
    """The objects (image_id, x1, y1, x2, y2 with positive sides) with aspect_ratio, crowdedness, image_crowdedness and
    objects_in_image.

    Ratios are worked out in the precision of the box columns, overlaps in float64.
    """
    table = objects.copy()
    boxes = table[_CORNERS].to_numpy()
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    table["aspect_ratio"] = np.maximum(width / height, height / width)
    table["crowdedness"] = crowdedness(table.image_id.to_numpy(), boxes.astype(np.float64))
    images = table.groupby("image_id")
    table["image_crowdedness"] = images.crowdedness.transform("max")
    table["objects_in_image"] = images.crowdedness.transform("size")
    return table
