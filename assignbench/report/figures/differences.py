"""Forest plot of the differences in the primary metric."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.differences import primary_metric
from assignbench.report.dots import Scale, free_limits
from assignbench.report.hues import colour
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, figure_of, plain


@figure_of("differences")
def differences(study: StudyRecord, found: Found) -> list[Drawn]:
    """Forest plot of the differences in the primary metric."""
    metric = primary_metric(study)
    shown = found["differences"].query("metric == @metric and reason == ''")

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        rows = [part[part.method == m].iloc[0] for m in methods]
        values, halves = (100 * np.asarray([r[c] for r in rows], np.float64) for c in ("difference", "half"))
        low, high = free_limits(np.append(values, 0.0), np.append(halves, 0.0))  # zero is always there
        on = Scale(ax, (min(low, 0.0), max(high, 0.0)), upright=False)
        for y, (method, row) in enumerate(zip(methods, rows, strict=True)):
            inside = on.limits[0] <= values[y] <= on.limits[1]
            if np.isfinite(row.seeds_half) and inside:
                ends = np.clip(values[y] + 100 * np.array([-1, 1]) * row.seeds_half, *on.limits)
                ax.plot(ends, [y, y], "-", lw=4, alpha=0.45, solid_capstyle="butt", color=colour(method))
            on.dot(y, values[y], halves[y], method, size=6)
        on.settle()
        ax.set_yticks(range(len(methods)), [_pair(part, m) for m in methods])
        ax.set_ylim(len(methods) - 0.4, -0.6)
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"difference in {plain(metric)}, points")

    if shown.empty:
        return []
    most = int(shown.groupby(["data", "detector"], sort=False).method.nunique().max())
    caption = (
        f"Differences in {metric} of each method to its own baseline: the thin line is the 95 % interval for other "
        "seeds and other test images, on which verdicts rest; the thick one for other seeds alone. An arrow head: it "
        "goes on."
    )
    return [Drawn("differences", caption, per_place(shown, study.methods, draw, size=(6.6, 0.9 + 0.26 * most)))]


def _pair(part: pd.DataFrame, method: str) -> str:
    row = part[part.method == method].iloc[0]
    base = row.get("baseline", "")
    recipe = " (recipe)" if row.get("pair") == "recipe" else ""
    return f"{plain(method)} − {plain(base)}{recipe}" if base else plain(method)
