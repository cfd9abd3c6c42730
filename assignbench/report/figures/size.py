"""Gain by area of the object."""

from __future__ import annotations

from assignbench.analysis import StudyRecord
from assignbench.report.panels import gain_drawn
from assignbench.report.style import Drawn, Found, figure_of


@figure_of("size")
def size(study: StudyRecord, found: Found) -> list[Drawn]:
    """Gain by area."""
    table = found["size"]
    groups = list(dict.fromkeys(table.group))
    caption = "Gain in AP over the baseline by area of the object"
    return [gain_drawn("size", caption, table, study, groups, "area of the object")]
