"""Forest plot of the differences in AP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, colour, figure_of, plain


@figure_of("differences")
def differences(study: StudyRecord, found: Found) -> list[Drawn]:
    """Forest plot of the differences in AP."""
    shown = found["differences"].query("metric == 'AP'")
    # Without columns where the first seed has no pair.
    images = found.get("differences.images", pd.DataFrame())
    if images.empty:
        images = pd.DataFrame(columns=["data", "detector", "method"])

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for y, method in enumerate(methods):
            row = part[part.method == method].iloc[0]
            ax.errorbar(
                100 * row.difference, y, xerr=None if np.isnan(row.half) else 100 * row.half, fmt="o", ms=5,
                color=colour(method), capsize=3, label="seeds, 95 % t" if y == 0 else None,
            )  # fmt: skip
            pair = images[(images.method == method) & (images.data == row.data) & (images.detector == row.detector)]
            for p in pair.itertuples():
                look: dict[str, Any] = {
                    "color": "grey",
                    "lw": 4,
                    "alpha": 0.35,
                    "label": "one pair, images" if y == 0 else None,
                }
                ax.plot([100 * p.low, 100 * p.high], [y - 0.2, y - 0.2], **look)
        ax.axvline(0, color="black", lw=0.8)
        ax.set_yticks(range(len(methods)), [_pair(part, m) for m in methods])
        ax.set_ylim(-0.6, len(methods) - 0.4)
        ax.set_xlabel("difference in AP, points")

    caption = (
        "Differences in AP of each method to its own baseline: points with the 95 % t-interval over seeds; in grey "
        "the interval of one trained pair when test images are resampled (no verdict rests on it)."
    )
    return [Drawn("differences", caption, per_place(shown, study.methods, draw))]


def _pair(part: pd.DataFrame, method: str) -> str:
    row = part[part.method == method].iloc[0]
    base = row.get("baseline", "")
    recipe = " (recipe)" if row.get("pair") == "recipe" else ""
    return f"{plain(method)} − {plain(base)}{recipe}" if base else plain(method)
