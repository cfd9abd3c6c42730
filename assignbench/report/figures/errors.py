"""What each kind of error costs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.errors import KINDS
from assignbench.report.dots import method_dots
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, figure_of


@figure_of("errors")
def errors(study: StudyRecord, found: Found) -> list[Drawn]:
    """What each kind of error costs."""
    table = found["errors"]
    keys = ["data", "detector", "method"]
    long = table.melt(id_vars=keys, value_vars=list(KINDS), var_name="group", value_name="cost")
    half = table.melt(id_vars=keys, value_vars=[f"{k}_half" for k in KINDS], value_name="cost_half")
    long["cost_half"] = half.cost_half

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        method_dots(ax, part, KINDS, methods, "cost")
        ax.tick_params(axis="x", labelsize=7)
        ax.set_ylabel("AP50 lost, points")

    caption = "AP at IoU 0.5 that mending one kind of error alone would add."
    return [Drawn("errors", caption, per_place(long, study.methods, draw))]
