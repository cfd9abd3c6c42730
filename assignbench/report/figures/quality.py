"""Reliability of the predicted IoU."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.quality import LEAST_BOXES
from assignbench.report.hues import colour, marker, marker_size, style
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, figure_of, plain


@figure_of("quality.reliability")
def quality(study: StudyRecord, found: Found) -> list[Drawn]:
    """Reliability of the predicted IoU."""
    table = found["quality.reliability"].dropna(subset=["predicted", "true"])

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for method in methods:
            mine = part[part.method == method].sort_values("predicted")
            ax.plot(
                mine.predicted,
                mine.true,
                style(method),
                marker=marker(method),
                ms=marker_size(method, 5),
                color=colour(method),
                label=plain(method),
            )
        ax.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
        ax.set_xlabel("predicted IoU")
        ax.set_ylabel("mean true IoU")

    caption = (
        "Reliability of the predicted IoU over the boxes before NMS, where a bin holds "
        f"{LEAST_BOXES} boxes in every seed; on the dotted line it is exact on average."
    )
    return [Drawn("quality", caption, per_place(table, study.methods, draw))]
