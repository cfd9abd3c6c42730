"""Data sets: embedded scenes, VOC folders and COCO files give the same thing to everyone downstream."""

from assignbench.config.catalog import CATALOG
from assignbench.config.data import Augment, DataSpec
from assignbench.data.base import DetectionData, ImageRecord, Problem
from assignbench.data.catalog import load

__all__ = ["CATALOG", "Augment", "DataSpec", "DetectionData", "ImageRecord", "Problem", "load"]
