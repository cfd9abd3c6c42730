"""Churn over training."""

from __future__ import annotations

from assignbench.analysis import StudyRecord
from assignbench.report.panels import paired_panels
from assignbench.report.style import Drawn, Found, figure_of, finished, legend, method_lines, present, titled


@figure_of("churn.course")
def churn(study: StudyRecord, found: Found) -> list[Drawn]:
    """Churn over training."""
    figure, rows = paired_panels(found["churn.course"])
    for title, part, pair in rows:
        for ax, (task, name) in zip(pair, (("cls", "classification"), ("box", "box")), strict=True):
            mine = part[part.task == task]
            method_lines(ax, mine, present(study.methods, mine), "progress", "churn")
            ax.set_title(titled(name, title))
            ax.set_xlabel("share of training")
        pair[0].set_ylabel("new positives, per cent")
        legend(pair[1])
    caption = "Share of an object's positives that it did not have at the visit before."
    return [Drawn("churn", caption, finished(figure))]
