"""How a specification becomes the two splits of a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from assignbench.config.data import DataSpec
from assignbench.data.base import DetectionData
from assignbench.data.checks import missing_root
from assignbench.data.kinds.coco import read_coco
from assignbench.data.kinds.shapes import read_shapes
from assignbench.data.kinds.voc import VOC_CLASSES, read_voc
from assignbench.errors import InputError


def load(spec: DataSpec, split: Literal["train", "test"], root: Path, cache: Path | None = None) -> DetectionData:
    """One split of a data set. Raises InputError for everything that the user has to mend."""
    if spec.kind == "shapes":
        count = spec.train_images if split == "train" else spec.test_images
        return read_shapes(split, count, spec.factors, seed=spec.scenes_seed, cache=cache)
    if not root.is_dir():
        raise missing_root(root, f"data set '{spec.name}'", spec.obtain)
    parts = spec.train if split == "train" else spec.test
    if not parts:
        raise InputError(f"data set '{spec.name}': names no {split} split; set data.{split}")
    if spec.kind == "voc":
        classes = spec.classes or list(VOC_CLASSES)
        return read_voc(root, parts, classes, name=spec.name, on_bad=spec.on_bad)
    if len(parts) != 1:
        raise InputError(f"data set '{spec.name}': coco needs one (annotations, folder) pair for {split}")
    annotations, folder = parts[0]
    return read_coco(root, annotations, folder, name=spec.name, classes=spec.classes or None, on_bad=spec.on_bad)
