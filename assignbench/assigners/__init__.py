"""Assigners: one file per paper; importing the package registers them all."""

from assignbench.assigners import (
    atss,
    autoassign,
    controls,
    criteria,
    fcos,
    hungarian,
    ltm,
    max_iou,
    mlc,
    musu,
    mutual_guidance,
    paa,
    simota,
    tal,
)
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
    "autoassign",
    "controls",
    "criteria",
    "fcos",
    "hungarian",
    "ltm",
    "max_iou",
    "mlc",
    "musu",
    "mutual_guidance",
    "paa",
    "simota",
    "tal",
]
