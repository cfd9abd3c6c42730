"""Forest plot of the differences in the primary metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.differences import primary_metric
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, colour, figure_of, plain


@figure_of("differences")
def differences(study: StudyRecord, found: Found) -> list[Drawn]:
    """Forest plot of the differences in the primary metric."""
    metric = primary_metric(study)
    shown = found["differences"].query("metric == @metric and reason == ''")

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for y, method in enumerate(methods):
            row = part[part.method == method].iloc[0]
            look: dict[str, Any] = {"color": colour(method), "fmt": "none"}
            for name, half, width, cap in (("seeds and images", row.half, 1.2, 3), ("seeds", row.seeds_half, 4, 0)):
                if np.isfinite(half):
                    label = f"95 %, {name}" if y == 0 else None
                    ax.errorbar(100 * row.difference, y, xerr=100 * half, lw=width, capsize=cap, label=label, **look)
            ax.plot(100 * row.difference, y, "o", ms=5, color=colour(method))
        ax.axvline(0, color="black", lw=0.8)
        ax.set_yticks(range(len(methods)), [_pair(part, m) for m in methods])
        ax.set_ylim(-0.6, len(methods) - 0.4)
        ax.set_xlabel(f"difference in {plain(metric)}, points")

    caption = (
        f"Differences in {metric} of each method to its own baseline: the thin line is the 95 % interval for other "
        "seeds and other test images, on which verdicts rest; the thick one for other seeds alone."
    )
    return [Drawn("differences", caption, per_place(shown, study.methods, draw))]


def _pair(part: pd.DataFrame, method: str) -> str:
    row = part[part.method == method].iloc[0]
    base = row.get("baseline", "")
    recipe = " (recipe)" if row.get("pair") == "recipe" else ""
    return f"{plain(method)} − {plain(base)}{recipe}" if base else plain(method)
