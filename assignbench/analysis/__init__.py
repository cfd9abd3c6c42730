"""Analyses: one file per question, each a function from records to tidy tables."""

from assignbench.analysis import (
    assignment,
    averages,
    claims,
    configuration,
    cost,
    curves,
    differences,
    divergence,
    errors,
    formulas,
    groups,
    intervals,
    nms,
    probes,
    quality,
)
from assignbench.analysis.base import ANALYSES, Analysis, CellData, StudyRecord, chosen, read_study_record
from assignbench.analysis.result import Result

# The order of the report: the answer first, then where, then why, then what it rests on.
ORDER = (
    *("averages", "claims", "differences", "size", "crowdedness", "aspect_ratio", "factors", "errors"),
    *("divergence", "nms", "quality", "positives", "orphans", "levels", "churn", "evolution", "scores", "maps"),
    *("anchors", "curves", "cost", "formulas", "configuration"),
)

__all__ = [
    "ANALYSES",
    "ORDER",
    "Analysis",
    "CellData",
    "Result",
    "StudyRecord",
    "assignment",
    "averages",
    "chosen",
    "claims",
    "configuration",
    "cost",
    "curves",
    "differences",
    "divergence",
    "errors",
    "formulas",
    "groups",
    "intervals",
    "nms",
    "probes",
    "quality",
    "read_study_record",
]
