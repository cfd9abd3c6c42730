"""Assigners: one file per paper; importing the package registers them all."""

from assignbench.assigners import atss, max_iou, mutual_guidance
from assignbench.assigners.base import ASSIGNERS, Assigner, PerImageAssigner
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets

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
