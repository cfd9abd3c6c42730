"""Positives per object over training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.style import Drawn, Found, colour, figure_of, finished, legend, plain, style, titled


def positives_figure(positives: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    """Positives per object over training, one panel per task, mean over seeds."""
    if positives.empty:
        return None
    groups = list(positives.groupby(["data", "detector"], sort=False))
    figure, axes = plt.subplots(len(groups), 2, figsize=(8.4, 2.9 * len(groups)), squeeze=False)
    for row, ((data, detector), group) in zip(axes, groups, strict=True):
        for ax, (task, name) in zip(row, (("cls", "classification"), ("box", "box")), strict=True):
            for method in methods:
                part = group[(group.task == task) & (group.method == method)]
                if len(part):
                    mean = part.groupby("progress").positives.mean()
                    line = {"ls": style(method), "color": colour(method), "marker": "o", "ms": 3, "lw": 1.3}
                    ax.plot(100 * mean.index, mean, label=plain(method), **line)
            ax.set_title(titled(name, plain(f"{detector} on {data}") if len(groups) > 1 else ""))
            ax.set_xlabel("per cent of training")
            ax.set_ylabel("positives per object")
            ax.set_ylim(bottom=0)
        legend(row[-1])
    return finished(figure)


@figure_of("positives")
def draw_positives(study: StudyRecord, found: Found) -> list[Drawn]:
    """Positives per object over training."""
    caption = "Positives per object over training, by task."
    return [Drawn("positives", caption, positives_figure(found["positives"], study.methods))]
