"""Assigners: one file per paper; importing the package registers them all."""

from assignbench.assigners import atss, max_iou, mutual_guidance
from assignbench.assigners.base import ASSIGNERS, BACKGROUND, IGNORE, Assigner, Assignment, Context, Objects
from assignbench.assigners.base import PerImageAssigner, Predictions, Targets

__all__ = [
    "ASSIGNERS",
    "BACKGROUND",
    "IGNORE",
    "Assigner",
    "Assignment",
    "Context",
    "Objects",
    "PerImageAssigner",
    "Predictions",
    "Targets",
    "atss",
    "max_iou",
    "mutual_guidance",
]
