"""Kinds of data sets, one file each; importing this package registers them all."""

from assignbench.data.kinds import coco, csv, shapes, voc

__all__ = ["coco", "csv", "shapes", "voc"]
