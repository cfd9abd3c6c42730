"""Positives per object over training (PAA, Fig. 4b)."""

from __future__ import annotations

from assignbench.analysis import StudyRecord
from assignbench.report.courses import moving, still
from assignbench.report.panels import paired_panels
from assignbench.report.style import Drawn, Found, figure_of, finished, legend, method_lines, present, titled

TASKS = {"cls": "classification", "box": "box"}


@figure_of("positives")
def draw_positives(study: StudyRecord, found: Found) -> list[Drawn]:
    """Positives per object over training, one panel per task."""
    table = found["positives"]
    table = table.assign(curve=table.task.map(TASKS))
    shown = moving(table, list(TASKS.values()), "positives")
    caption = "Positives per object over training, by task, mean over seeds (PAA, Fig. 4b)."
    told = still(table, study.methods, "positives", "positives per object")
    if shown.empty:
        return [Drawn("positives", caption, None, told=f"No method changes how many positives an object has.{told}")]
    figure, rows = paired_panels(shown)
    for title, part, pair in rows:
        for ax, name in zip(pair, TASKS.values(), strict=True):
            mine = part[part.curve == name]
            method_lines(ax, mine, present(study.methods, mine), "progress", "positives", scale=1.0)
            ax.set_title(titled(name, title))
            ax.set_xlabel("share of training")
        pair[0].set_ylabel("positives per object")
        legend(pair[1], pair[0])
    return [Drawn("positives", caption + told, finished(figure))]
