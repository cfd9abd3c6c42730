"""Churn over training."""

from __future__ import annotations

from assignbench.analysis import StudyRecord
from assignbench.report.courses import moving, still
from assignbench.report.panels import course_figure
from assignbench.report.style import Drawn, Found, figure_of

TASKS = {"cls": "classification", "box": "box"}


@figure_of("churn.course")
def churn(study: StudyRecord, found: Found) -> list[Drawn]:
    """Churn over training."""
    table = found["churn.course"]
    table = table.assign(curve=table.task.map(TASKS))
    shown = moving(table, "churn")
    caption = "Share of an object's positives that it did not have at the visit before."
    told = still(table, study.methods, "churn", "per cent", 100)
    if shown.empty:
        return [Drawn("churn", caption, None, told=f"No method's churn changes over training.{told}")]
    label = "new positives, per cent"
    figure = course_figure(shown, study.methods, list(TASKS.values()), "churn", label, scale=100)
    return [Drawn("churn", caption + told, figure)]
