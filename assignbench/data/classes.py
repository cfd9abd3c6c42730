"""The class names of a data set, without its images: what a claim about one class is held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from assignbench.config.data import DataSpec
from assignbench.data.base import within
from assignbench.data.instances import read_instances
from assignbench.data.kinds.csv import classes_in
from assignbench.data.kinds.shapes import SHAPE_CLASSES
from assignbench.data.kinds.voc import collected
from assignbench.data.presence import LARGEST_COUNTED, absent
from assignbench.data.readers import listed, one_pair
from assignbench.errors import InputError


def class_names(spec: DataSpec, root: Path) -> tuple[str, ...] | None:
    """The classes of a data set, or None where its files are not there, too large to be asked in passing, or damaged,
    which reading it for a training tells.
    """
    if spec.kind == "shapes":
        return SHAPE_CLASSES
    if spec.classes:
        return tuple(spec.classes)
    try:
        return _OF_KIND[spec.kind](spec, root)
    except (InputError, OSError):
        return None


def _of_coco(spec: DataSpec, root: Path) -> tuple[str, ...] | None:
    """Those of the smaller of two files that must agree on them."""
    pairs = [one_pair(spec, split, root) for split in ("train", "test") if not absent(spec, [split], root)]
    found = min((within(root, name, "data") for name, _ in pairs), key=lambda p: p.stat().st_size, default=None)
    small = found is not None and found.stat().st_size <= LARGEST_COUNTED
    return tuple(read_instances(found, bare=True).categories.values()) if found is not None and small else None


def _of_csv(spec: DataSpec, root: Path) -> tuple[str, ...] | None:
    path = within(root, one_pair(spec, "train", root)[0], "data.train")
    return tuple(classes_in(path)) if path.stat().st_size <= LARGEST_COUNTED else None


def _of_voc(spec: DataSpec, root: Path) -> tuple[str, ...]:
    return tuple(collected(root, listed(spec, "train", root), spec.name))


_OF_KIND: dict[str, Callable[[DataSpec, Path], tuple[str, ...] | None]] = {
    "coco": _of_coco,
    "csv": _of_csv,
    "voc": _of_voc,
}
