"""Gain by aspect ratio of objects and of categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.analysis.signs import in_signed_points
from assignbench.analysis.trends import LEAST_RANGE
from assignbench.measure.groups import ELONGATION
from assignbench.report.dots import free_limits
from assignbench.report.hues import colour, marker, marker_size, style
from assignbench.report.panels import gain_drawn, per_place
from assignbench.report.style import Drawn, Found, figure_of, plain

LEAST_CATEGORIES = 5  # of which a line says anything


@figure_of("aspect_ratio")
def aspect_ratio(study: StudyRecord, found: Found) -> list[Drawn]:
    """Gain by aspect ratio of objects and of categories."""
    categories = found.get("aspect_ratio.categories", pd.DataFrame())
    lines = found.get("aspect_ratio.lines", pd.DataFrame())
    caption = "Gain in AP over the baseline by aspect ratio of the object"
    table = found["aspect_ratio"]
    made = [gain_drawn("aspect_ratio", caption, table, study, ELONGATION.names, "aspect ratio of the object")]
    if len(categories):  # a line needs three categories
        several = categories.groupby(["data", "detector"]).category.transform("nunique") > 2
        categories = categories[several]
    if len(categories):
        caption = "Gain in AP of every category against its mean aspect ratio, with the fitted line (LTM, Fig. 7)."
        caption += _untold(categories)
        made.append(Drawn("aspect_ratio-categories", caption, _category_lines(categories, lines, study.methods)))
    return made


def _untold(categories: pd.DataFrame) -> str:
    """Says why some panels have no line; "" where all have one."""
    groups = categories.groupby(["data", "detector"])
    few = groups.category.nunique() < LEAST_CATEGORIES
    narrow = groups.aspect_ratio.agg(np.ptp) < LEAST_RANGE
    if not (few | narrow).any():
        return ""
    least = f"{LEAST_CATEGORIES} categories or their ratios span less than {LEAST_RANGE}"
    return f" No line where there are fewer than {least}."


def _category_lines(categories: pd.DataFrame, lines: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    def draw(ax: Axes, part: pd.DataFrame, names: list[str]) -> None:
        told = part.category.nunique() >= LEAST_CATEGORIES and np.ptp(part.aspect_ratio) >= LEAST_RANGE
        for method in names:
            mine = part[part.method == method]
            look: dict[str, Any] = {
                "color": colour(method),
                "alpha": 0.7,
                "ms": marker_size(method, 4.5),
                "mec": "white",
                "mew": 0.3,
            }
            ax.plot(mine.aspect_ratio, 100 * mine.gain, marker(method), label=None if told else plain(method), **look)
            here = (
                lines.head(0)
                if not told or lines.empty
                else lines[(lines.method == method) & (lines.data == part.data.iloc[0])]
            )
            for line in here.itertuples():
                if line.detector != part.detector.iloc[0] or np.isnan(line.slope):
                    continue
                x = np.array([part.aspect_ratio.min(), part.aspect_ratio.max()])
                half = "n/a" if np.isnan(line.slope_half) else f"{100 * line.slope_half:.1f}"
                label = f"{plain(method)}: {in_signed_points(line.slope)} ± {half} per unit"
                y = 100 * (line.intercept + line.slope * x)
                ax.plot(x, y, style(method), color=colour(method), lw=1.2, label=label)
        ax.set_ylim(free_limits(100 * part.gain.to_numpy(np.float64)))
        ax.axhline(0, color="black", lw=0.6)
        ax.set_xlabel("mean aspect ratio of the category")
        ax.set_ylabel("gain in AP, points")

    return per_place(categories, methods, draw, alike=False)
