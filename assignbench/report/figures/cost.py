"""AP against training time."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.verdicts import NOT_COMPARED
from assignbench.report.hues import colour, marker
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, figure_of, plain


@figure_of("cost")
def cost(study: StudyRecord, found: Found) -> list[Drawn]:
    """AP against training time."""
    table = found["cost"]
    table = table[table.AP.notna()]
    if table.empty:
        return []
    return [_against("cost", table, study, "train_s", "training seconds of a cell", "training time")]


@figure_of("cost.test")
def speed(study: StudyRecord, found: Found) -> list[Drawn]:
    """AP against the speed at test time, where it was measured."""
    table = found["cost.test"]
    table = table[table.fps.notna() & table.AP.notna()]
    label = "test images per second, one at a time"
    return [_against("speed", table, study, "fps", label, "test speed")] if len(table) else []


def _against(name: str, table: pd.DataFrame, study: StudyRecord, column: str, label: str, what: str) -> Drawn:
    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for method in methods:
            row = part[part.method == method].iloc[0]
            edge: dict[str, Any] = {"mec": "black", "mew": 1.2} if row.pareto == "yes" else {}
            ax.plot(row[column], 100 * row.AP, marker(method), ms=7, color=colour(method), label=plain(method), **edge)
        front = part[part.pareto == "yes"].sort_values(column)
        where: Literal["pre", "post"] = "pre" if column == "fps" else "post"
        ax.step(front[column], 100 * front.AP, where=where, color="grey", lw=0.8, zorder=0)
        ax.set_xlabel(label)
        ax.set_ylabel("AP, points")

    caption = f"AP against {what}; outlined methods are dominated by no other."
    if bool((table.pareto == NOT_COMPARED).any()):
        caption += " Nothing is outlined where the times cannot be compared (see the table)."
    return Drawn(name, caption, per_place(table, study.methods, draw))
