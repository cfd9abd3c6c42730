"""Kinds of data sets, one file each; importing this package registers them all."""

from assignbench.data.kinds import coco, shapes, voc

__all__ = ["coco", "shapes", "voc"]
