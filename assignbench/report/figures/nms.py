"""NMS recall over IoU."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.nms import THRESHOLDS
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, figure_of, method_lines


@figure_of("nms")
def nms(study: StudyRecord, found: Found) -> list[Drawn]:
    """NMS recall over IoU."""
    table = found["nms"]
    names = [f"NR{round(100 * t)}" for t in THRESHOLDS]
    keys = ["data", "detector", "method", "reading"]
    long = table.melt(id_vars=keys, value_vars=names, var_name="tau", value_name="recall")
    long["tau"] = long.tau.str[2:].astype(float) / 100

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        method_lines(ax, part[part.reading == "coverage"], methods, "tau", "recall")
        ax.set_xlabel("IoU τ")
        ax.set_ylabel("NMS recall, per cent")

    caption = "NMS recall (coverage reading) over IoU τ, mean over seeds."
    return [Drawn("nms", caption, per_place(long, study.methods, draw))]
