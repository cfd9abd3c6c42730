"""Analyses: one file per question, each a function from records to tidy tables."""

from assignbench.analysis import assignment, averages, configuration, curves, divergence
from assignbench.analysis.base import ANALYSES, Analysis, StudyRecord, read_study_record

# The order of the report: the answer first, then why, then what it rests on.
ORDER = ("averages", "divergence", "positives", "orphans", "curves", "cost", "configuration")

__all__ = [
    "ANALYSES",
    "ORDER",
    "Analysis",
    "StudyRecord",
    "assignment",
    "averages",
    "configuration",
    "curves",
    "divergence",
    "read_study_record",
]
