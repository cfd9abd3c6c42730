"""AP of every seed, with the mean and its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.dots import Scale, free_limits
from assignbench.report.hues import colour
from assignbench.report.style import NARROW, Drawn, Found, figure_of, finished, plain, present

SHOWN = ("AP", "AP50", "AP75")


@figure_of("averages.cells")
def draw_averages(study: StudyRecord, found: Found) -> list[Drawn]:
    """AP of every seed, with the mean and its interval."""
    cells, means = found["averages.cells"], found["averages"]
    cells = cells[cells.metric.isin(SHOWN) & cells.value.notna()]
    if cells.empty:
        return []
    interval = " with its 95 % interval, as in the table,"
    caption = (
        "AP, AP50 and AP75, each on an axis of its own that need not begin at zero: the mean"
        f"{interval if means.half.notna().any() else ''} and every seed as a small dot."
    )
    return [Drawn("averages", caption, average_figure(cells, means, study.methods))]


def average_figure(cells: pd.DataFrame, means: pd.DataFrame, methods: list[str]) -> Figure:
    """A row of panels per data set and detector, one per metric; the methods stand below each other."""
    groups = list(cells.groupby(["data", "detector"], sort=False))
    counts = [len(present(methods, group)) for _, group in groups]
    figure = Figure(figsize=(8.8, sum(0.75 + 0.24 * n for n in counts)))
    heights = [0.6 + 0.24 * n for n in counts]
    axes = figure.subplots(len(groups), len(SHOWN), squeeze=False, height_ratios=heights)
    for line, ((data, detector), group) in zip(axes, groups, strict=True):
        here = means[(means.data == data) & (means.detector == detector)]
        for ax, metric in zip(line, SHOWN, strict=True):
            _panel(ax, group[group.metric == metric], here[here.metric == metric], present(methods, group))
            ax.set_xlabel(f"{metric}, points")
            if metric != SHOWN[0]:
                ax.set_yticklabels([])
        if len(groups) > 1:
            line[0].set_title(plain(f"{detector} on {data}"), loc="left")
    return finished(figure, NARROW)


def _panel(ax: Axes, cells: pd.DataFrame, means: pd.DataFrame, methods: list[str]) -> None:
    mean = 100 * means.set_index("method")["mean"].reindex(methods).to_numpy(np.float64)
    half = 100 * means.set_index("method").half.reindex(methods).to_numpy(np.float64)
    seeds = 100 * cells.value.to_numpy(np.float64)
    limits = free_limits(np.concatenate([mean, seeds]), np.concatenate([half, np.zeros(len(seeds))]))
    on = Scale(ax, limits, upright=False)
    for at, method in enumerate(methods):
        mine = 100 * cells[cells.method == method].value.to_numpy(np.float64)
        inside = mine[(mine >= limits[0]) & (mine <= limits[1])]
        ax.plot(inside, np.full(len(inside), at + 0.25), ".", ms=4, color=colour(method), alpha=0.7)
        on.dot(at, mean[at], half[at], method)
    on.settle()
    ax.set_yticks(range(len(methods)), [plain(m) for m in methods])
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
