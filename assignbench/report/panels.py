"""Figures of several panels, one per data set and detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.style import finished, legend, method_bars, panels, places, present

Panel = Callable[[Axes, pd.DataFrame, list[str]], None]


def per_place(
    table: pd.DataFrame, methods: Sequence[str], draw: Panel, *, size: tuple[float, float] = (6.6, 2.8)
) -> Figure | None:
    """One panel per data set and detector, drawn by `draw(ax, part, methods)`, each with its legend."""
    if table.empty:
        return None
    parts = places(table)
    figure, axes = panels(len(parts), columns=1, size=size)
    for ax, (title, part) in zip(axes, parts, strict=True):
        draw(ax, part, present(methods, part))
        ax.set_title(title)
        legend(ax)
    return finished(figure)


def paired_panels(table: pd.DataFrame) -> tuple[Figure, list[tuple[str, pd.DataFrame, list[Axes]]]]:
    """A figure with two panels per data set and detector: title, part of the table and the two axes of each."""
    parts = places(table)
    figure, axes = panels(2 * len(parts), columns=2, size=(4.0, 2.7))
    return figure, [(title, part, axes[2 * i : 2 * i + 2]) for i, (title, part) in enumerate(parts)]


def gain_bars(groups: Sequence[str], label: str) -> Panel:
    """Bars of the gain per group."""

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        known = [g for g in groups if g in set(part.group)]
        gained = [m for m in methods if part[part.method == m].gain.notna().any()]
        if known and gained:
            method_bars(ax, part, known, gained, "gain")
        ax.set_ylabel("gain in AP, points")
        ax.set_xlabel(label)

    return draw


def gain_figure(table: pd.DataFrame, study: StudyRecord, groups: Sequence[str], label: str) -> Figure | None:
    """Gains by group, if anything gained."""
    if table.empty or "gain" not in table or table.gain.isna().all():
        return None
    kept = table.groupby(["data", "detector"])["gain"].transform(lambda g: g.notna().any())
    return per_place(table[kept.astype(bool)], study.methods, gain_bars(groups, label))
