"""Data sets: embedded scenes, VOC folders and COCO files give the same thing to everyone downstream."""

from assignbench.data.augment import Augment
from assignbench.data.base import DetectionData, ImageRecord, Problem
from assignbench.data.catalog import CATALOG, DataSpec, load

__all__ = ["CATALOG", "Augment", "DataSpec", "DetectionData", "ImageRecord", "Problem", "load"]
