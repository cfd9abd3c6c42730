"""Which annotated objects are objects of the training; the records of the test split keep all of them."""

from __future__ import annotations

import numpy as np

from assignbench.config.data import DataSpec
from assignbench.data.base import Bools, ImageRecord


def taught(record: ImageRecord, spec: DataSpec) -> Bools:
    """Which objects [N] of an image are objects of the training."""
    chosen = np.ones(len(record.boxes), np.bool_)
    if spec.crowd == "drop":
        chosen &= ~record.crowd
    if not spec.use_difficult:
        chosen &= ~record.difficult
    # Crowd regions are not checked as other boxes are: one may have no area.
    return np.asarray(chosen & (record.boxes[:, 2:] - record.boxes[:, :2] > spec.min_side).all(axis=1), np.bool_)
