"""Churn over training."""

from __future__ import annotations

from assignbench.analysis import StudyRecord
from assignbench.report.courses import moving, still
from assignbench.report.panels import paired_panels
from assignbench.report.style import Drawn, Found, figure_of, finished, legend, method_lines, present, titled

TASKS = {"cls": "classification", "box": "box"}


@figure_of("churn.course")
def churn(study: StudyRecord, found: Found) -> list[Drawn]:
    """Churn over training."""
    table = found["churn.course"]
    table = table.assign(curve=table.task.map(TASKS))
    shown = moving(table, list(TASKS.values()), "churn")
    caption = "Share of an object's positives that it did not have at the visit before."
    told = still(table, study.methods, "churn", "per cent", 100)
    if shown.empty:
        return [Drawn("churn", caption, None, told=f"No method's churn changes over training.{told}")]
    figure, rows = paired_panels(shown)
    for title, part, pair in rows:
        for ax, name in zip(pair, TASKS.values(), strict=True):
            mine = part[part.curve == name]
            method_lines(ax, mine, present(study.methods, mine), "progress", "churn")
            ax.set_title(titled(name, title))
            ax.set_xlabel("share of training")
        pair[0].set_ylabel("new positives, per cent")
        legend(pair[1], pair[0])
    return [Drawn("churn", caption + told, finished(figure))]
