"""Gain by aspect ratio of objects and of categories, and by category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.measure.groups import ELONGATION
from assignbench.report.panels import gain_figure, per_place
from assignbench.report.style import Drawn, Found, colour, figure_of, method_bars, plain, style

SHOWN = 24  # categories in the bars


@figure_of("aspect_ratio")
def aspect_ratio(study: StudyRecord, found: Found) -> list[Drawn]:
    """Gain by aspect ratio of objects and of categories, and by category."""
    categories = found.get("aspect_ratio.categories", pd.DataFrame())
    lines = found.get("aspect_ratio.lines", pd.DataFrame())
    by_object = gain_figure(found["aspect_ratio"], study, ELONGATION.names, "aspect ratio of the object")
    caption = "Gain in AP over the baseline by aspect ratio of the object, with its 95 % interval."
    made = [Drawn("aspect_ratio", caption, by_object)]
    if len(categories):  # a line needs three categories
        several = categories.groupby(["data", "detector"]).category.transform("nunique") > 2
        categories = categories[several]
    if len(categories):
        caption = "Gain in AP of every category against its mean aspect ratio, with the fitted line (LTM, Fig. 7)."
        made.append(Drawn("aspect_ratio-categories", caption, _category_lines(categories, lines, study.methods)))
        caption = f"Gain in AP by category, the most slender one first{_cut(categories)} (LTM, Fig. 8)."
        made.append(Drawn("aspect_ratio-bars", caption, _category_bars(categories, study.methods)))
    return made


def _cut(categories: pd.DataFrame) -> str:
    """Says what the bars leave out."""
    most = int(categories.groupby(["data", "detector"]).category.nunique().max())
    return f"; {SHOWN} of {most} are shown, the table has all" if most > SHOWN else ""


def _category_lines(categories: pd.DataFrame, lines: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    def draw(ax: Axes, part: pd.DataFrame, names: list[str]) -> None:
        for method in names:
            mine = part[part.method == method]
            ax.plot(mine.aspect_ratio, 100 * mine.gain, "o", ms=3.5, color=colour(method), alpha=0.7)
            here = lines if lines.empty else lines[(lines.method == method) & (lines.data == part.data.iloc[0])]
            for line in here.itertuples():
                if line.detector != part.detector.iloc[0] or np.isnan(line.slope):
                    continue
                x = np.array([part.aspect_ratio.min(), part.aspect_ratio.max()])
                half = "n/a" if np.isnan(line.slope_half) else f"{100 * line.slope_half:.1f}"
                label = f"{plain(method)}: {100 * line.slope:+.1f} ± {half} per unit"
                y = 100 * (line.intercept + line.slope * x)
                ax.plot(x, y, style(method), color=colour(method), lw=1.2, label=label)
        ax.axhline(0, color="black", lw=0.6)
        ax.set_xlabel("mean aspect ratio of the category")
        ax.set_ylabel("gain in AP, points")

    return per_place(categories, methods, draw)


def _category_bars(categories: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    def draw(ax: Axes, part: pd.DataFrame, names: list[str]) -> None:
        order = part.groupby("category").aspect_ratio.mean().sort_values(ascending=False).index.tolist()[:SHOWN]
        method_bars(ax, part.rename(columns={"category": "group"}), order, names, "gain")
        ax.tick_params(axis="x", rotation=60 if len(order) > 10 else 0, labelsize=7)
        ax.set_ylabel("gain in AP, points")

    return per_place(categories, methods, draw)
