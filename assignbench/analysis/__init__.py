"""Analyses: one file per question, each a function from records to tidy tables."""

from assignbench.analysis import (
    assignment,
    averages,
    claims,
    classes,
    configuration,
    cost,
    curves,
    differences,
    divergence,
    errors,
    formulas,
    groups,
    intervals,
    metrics,
    nms,
    probes,
    quality,
    summary,
)
from assignbench.analysis.base import ANALYSES, Analysis, CellData, StudyRecord, chosen, read_study_record
from assignbench.analysis.result import Result

# The order of the report: the answer first, then where, then why, then what it rests on.
ORDER = (
    *(
        "averages",
        "summary",
        "claims",
        "differences",
        "metrics",
        "classes",
        "size",
        "crowdedness",
        "aspect_ratio",
        "factors",
        "errors",
    ),
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
    "classes",
    "configuration",
    "cost",
    "curves",
    "differences",
    "divergence",
    "errors",
    "formulas",
    "groups",
    "intervals",
    "metrics",
    "nms",
    "probes",
    "quality",
    "read_study_record",
    "summary",
]
