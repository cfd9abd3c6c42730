"""How a specification becomes the splits of a cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import assignbench.data.kinds  # noqa: F401 (every kind registers its reader)
from assignbench.config.data import DataSpec, Split
from assignbench.data.base import MEASURED, Bools, DetectionData, ImageRecord, PixelCache
from assignbench.data.lessons import taught
from assignbench.data.presence import absent, missing
from assignbench.data.readers import READERS
from assignbench.errors import InputError, nearest


def load(spec: DataSpec, split: Split, root: Path, cache: Path | None = None) -> DetectionData:
    """One split of a data set. Raises InputError for everything that the user has to mend.

    A split without a usable image, or without an object to learn or to find, is refused too; a test split may have no
    annotations at all.
    """
    if spec.kind not in READERS:
        raise InputError(f"data set '{spec.name}': unknown kind '{spec.kind}'{nearest(spec.kind, list(READERS))}")
    gone = absent(spec, [split], root)
    if gone:
        raise missing(spec, gone)
    data = READERS[spec.kind](spec, split, root, cache)
    if split != "train" and isinstance(data.read, PixelCache):  # seen once, at each test size in a row
        data.read.limit, data.read.latest = MEASURED, True
    lost = f" ({len(data.skipped)} problems, e.g. {data.skipped[0]})" if data.skipped else ""
    if not len(data):
        raise InputError(f"data set '{spec.name}': no usable image in {data.split}, its {split} split{lost}")
    if not data.annotated:
        return data
    if not any(_usable(i, spec, split).any() for i in data.images):
        known = split == "train" and any(_usable(i, spec, "test").any() for i in data.images)
        lower = ", or lower data.min_side" if known else ""
        lost += "".join(f"; {note}" for note in data.notes)
        raise InputError(
            f"data set '{spec.name}': no object in the {len(data)} images of {data.split}, its {split} split{lost}; "
            f"name another list under data.{split}{lower}"
        )
    return data


def _usable(record: ImageRecord, spec: DataSpec, split: Split) -> Bools:
    """Which objects [N] of an image there are to learn, or to find."""
    if split == "train":
        return taught(record, spec)
    return np.asarray(~record.crowd if spec.use_difficult else ~(record.crowd | record.difficult), np.bool_)
