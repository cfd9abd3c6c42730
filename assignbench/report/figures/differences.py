"""Forest plot of the differences in the primary metric."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.report.dots import Scale, free_limits
from assignbench.report.hues import colour
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, figure_of, plain


@figure_of("differences")
def differences(study: StudyRecord, found: Found) -> list[Drawn]:
    """Forest plot of the differences in the primary metric."""
    metric = primary_metric(study)
    shown = found["differences"].query("metric == @metric and reason == ''")

    if shown.empty:
        return []
    beyond: list[bool] = []  # of every row whether it goes on beyond its axis

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
            on.dot(y, values[y], halves[y], method)
            beyond.append(on.goes_on(values[y], halves[y]))
        on.settle()
        ax.set_yticks(range(len(methods)), [_pair(part, m) for m in methods])
        ax.set_ylim(len(methods) - 0.4, -0.6)
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"difference in {plain(metric)}, points")

    most = int(shown.groupby(["data", "detector"], sort=False).method.nunique().max())
    figure = per_place(shown, study.methods, draw, size=(6.6, 0.9 + 0.26 * most))
    caption = f"Differences in {metric} of each method to its own baseline{_lines(shown)}."
    if any(beyond):
        caption += " An arrow head: it goes on beyond the axis."
    return [Drawn("differences", caption, figure)]


def _lines(shown: pd.DataFrame) -> str:
    """What the lines are; "" where no interval is known."""
    speaks = " or ".join(dict.fromkeys(shown[shown.half.notna()].population)) if "population" in shown else ""
    carries = "n" in shown and (shown.n >= LEAST_SEEDS).any()
    whole = f"the 95 % interval{f' for {speaks}' if speaks else ''}{', on which verdicts rest' if carries else ''}"
    seeds = "the 95 % interval for other seeds alone"
    known = [shown[c].notna().any() for c in ("half", "seeds_half")]
    if all(known):
        return f": the thin line is {whole}; the thick one that for other seeds alone"
    return f": the line is {whole if known[0] else seeds}" if any(known) else ""


def _pair(part: pd.DataFrame, method: str) -> str:
    row = part[part.method == method].iloc[0]
    base = row.get("baseline", "")
    recipe = " (recipe)" if row.get("pair") == "recipe" else ""
    return f"{plain(method)} − {plain(base)}{recipe}" if base else plain(method)
