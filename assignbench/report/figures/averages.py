"""AP of every seed around the mean."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.style import HATCHES, Drawn, Found, colour, figure_of, finished, legend, plain, style


def average_figure(cells: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    """AP, AP50 and AP75 of every seed as points around the mean, per data set and detector."""
    shown = cells[cells.metric.isin(["AP", "AP50", "AP75"])]
    if shown.empty:
        return None
    groups = list(shown.groupby(["data", "detector"], sort=False))
    figure, axes = plt.subplots(len(groups), 1, figsize=(8.4, 3.0 * len(groups)), squeeze=False)
    for ax, ((data, detector), group) in zip(axes[:, 0], groups, strict=True):
        present = [m for m in methods if m in set(group.method)]
        for place, metric in enumerate(["AP", "AP50", "AP75"]):
            for i, method in enumerate(present):
                values = 100 * group[(group.metric == metric) & (group.method == method)].value.to_numpy()
                x = place + (i - (len(present) - 1) / 2) * 0.8 / len(present)
                label = plain(method) if place == 0 else None
                look = {"color": colour(method), "alpha": 0.6, "label": label, "hatch": HATCHES[style(method)]}
                ax.bar(x, values.mean() if len(values) else 0.0, 0.7 / len(present), **look)
                ax.plot(np.full(len(values), x), values, "o", ms=3, color="black", alpha=0.7)
        ax.set_xticks(range(3), ["AP", "AP50", "AP75"])
        ax.set_ylabel("per cent")
        ax.set_title(plain(f"{detector} on {data}") if len(groups) > 1 else "")
        legend(ax)
    return finished(figure)


@figure_of("averages.cells")
def draw_averages(study: StudyRecord, found: Found) -> list[Drawn]:
    """AP of every seed around the mean."""
    caption = "AP, AP50 and AP75: bars are means, points are seeds."
    return [Drawn("averages", caption, average_figure(found["averages.cells"], study.methods))]
