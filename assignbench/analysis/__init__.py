"""Analyses: one file per question, each a function from records to tidy tables."""

from assignbench.analysis import assignment, averages, configuration, curves, divergence
from assignbench.analysis.base import ANALYSES, Analysis, StudyRecord, read_study_record

__all__ = [
    "ANALYSES",
    "Analysis",
    "StudyRecord",
    "assignment",
    "averages",
    "configuration",
    "curves",
    "divergence",
    "read_study_record",
]
