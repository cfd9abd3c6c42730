"""Shares of the levels, stacked, by size of the object."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, colour, figure_of, plain


@figure_of("levels")
def levels(study: StudyRecord, found: Found) -> list[Drawn]:
    """Shares of the levels, stacked, by size of the object."""
    table = found["levels"]
    names = [c for c in table.columns if c.startswith("level ")]

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        sizes = list(dict.fromkeys(part["size"]))
        for s, size in enumerate(sizes):
            for m, method in enumerate(methods):
                mine = part[(part["size"] == size) & (part.method == method)]
                if mine.empty:
                    continue
                at, bottom = s * (len(methods) + 1) + m, 0.0
                for k, name in enumerate(names):
                    share = float(np.nan_to_num(mine[name].iloc[0]))
                    shade = str(0.9 - 0.75 * k / max(1, len(names) - 1))
                    ax.bar(at, 100 * share, 0.85, bottom=bottom, color=shade, edgecolor=colour(method), lw=0.6,
                           label=plain(name) if s == 0 and m == 0 else None)  # fmt: skip
                    bottom += 100 * share
                ax.text(at, -2, plain(method), rotation=90, ha="center", va="top", fontsize=5)
        middle = [s * (len(methods) + 1) + (len(methods) - 1) / 2 for s in range(len(sizes))]
        ax.set_xticks(middle, [plain(s) for s in sizes])
        ax.tick_params(axis="x", pad=8 + 3 * max((len(plain(m)) for m in methods), default=0))
        ax.set_ylabel("positives, per cent")

    figure: Figure | None = per_place(table, study.methods, draw, size=(8.0, 3.0))
    caption = "Levels on which the classification positives of an object lie, by size of the object."
    return [Drawn("levels", caption, figure)]
