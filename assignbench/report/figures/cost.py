"""AP against training time."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.cost import NOT_COMPARED
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, colour, figure_of, plain


@figure_of("cost")
def cost(study: StudyRecord, found: Found) -> list[Drawn]:
    """AP against training time."""
    table = found["cost"]

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for method in methods:
            row = part[part.method == method].iloc[0]
            edge: dict[str, Any] = {"mec": "black", "mew": 1.2} if row.pareto == "yes" else {}
            ax.plot(row.train_s, 100 * row.AP, "o", ms=7, color=colour(method), label=plain(method), **edge)
        front = part[part.pareto == "yes"].sort_values("train_s")
        ax.step(front.train_s, 100 * front.AP, where="post", color="grey", lw=0.8, zorder=0)
        ax.set_xlabel("training seconds of a cell")
        ax.set_ylabel("AP")

    caption = "AP against training time; outlined methods are dominated by no other."
    if bool((table.pareto == NOT_COMPARED).any()):
        caption += " Nothing is outlined where the times cannot be compared (see the table)."
    return [Drawn("cost", caption, per_place(table, study.methods, draw))]
