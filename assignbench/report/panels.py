"""Figures of several panels, one per data set and detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.dots import method_dots
from assignbench.report.style import (
    Drawn,
    finished,
    legend,
    method_lines,
    one_legend,
    panels,
    places,
    present,
    titled,
)
from assignbench.report.tables import short_places

Panel = Callable[[Axes, pd.DataFrame, list[str]], None]


def per_place(
    table: pd.DataFrame,
    methods: Sequence[str],
    draw: Panel,
    *,
    size: tuple[float, float] = (6.6, 2.8),
    alike: bool = True,
) -> Figure | None:
    """One panel per data set and detector, drawn by `draw(ax, part, methods)`, with one legend; with one for each where
    they are not `alike`.
    """
    if table.empty:
        return None
    parts = places(table)
    figure, axes = panels(len(parts), columns=1, size=size)
    for ax, (title, part) in zip(axes, parts, strict=True):
        draw(ax, part, present(methods, part))
        ax.set_title(title)
        if not alike:
            legend(ax)
    if alike:
        one_legend(figure, methods)
    return finished(figure)


def paired_panels(table: pd.DataFrame) -> tuple[Figure, list[tuple[str, pd.DataFrame, list[Axes]]]]:
    """A figure with two panels per data set and detector: title, part of the table and the two axes of each."""
    parts = places(table)
    figure, axes = panels(2 * len(parts), columns=2, size=(4.0, 2.7))
    return figure, [(title, part, axes[2 * i : 2 * i + 2]) for i, (title, part) in enumerate(parts)]


def course_figure(
    table: pd.DataFrame, methods: Sequence[str], names: Sequence[str], value: str, label: str, scale: float = 1.0
) -> Figure:
    """`value` over training: for every place a panel for each of the `names` of the column `curve`, with one legend."""
    figure, rows = paired_panels(table)
    for title, part, pair in rows:
        for ax, name in zip(pair, names, strict=True):
            mine = part[part.curve == name]
            if mine.empty:
                blank(ax, "nothing moves here")
            else:
                method_lines(ax, mine, present(methods, mine), "progress", value, scale)
                ax.set_xlabel("share of training")
            ax.set_title(titled(name, title))
        pair[0].set_ylabel(label)
    one_legend(figure, methods)
    return finished(figure)


def gain_dots(groups: Sequence[str], label: str) -> Panel:
    """Dots of the gain per group that has any."""

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        there = part[part.gain.notna()] if "gain" in part else part.head(0)
        if there.empty:
            blank(ax, "no gain to show here")
            return
        method_dots(ax, there, filled(there, groups), present(methods, there), "gain")
        ax.set_ylabel("gain in AP, points")
        ax.set_xlabel(label)

    return draw


def gain_drawn(
    name: str, caption: str, table: pd.DataFrame, study: StudyRecord, groups: Sequence[str], of: str
) -> Drawn:
    """Gains by group, with the groups that are empty named in the caption; a sentence where there is no gain to show.

    `of` says what the groups are of, for the axis; `caption` has no full stop.
    """
    shown = table[table.gain.notna()] if "gain" in table else table.head(0)
    if shown.empty:
        return Drawn(name, caption, None, told=f"No gain by {of} can be shown: no method has a gain in any group.")
    caption = f"{caption}{intervals(shown, groups, 'gain')}{without(table, groups, 'gain')}"
    return Drawn(name, caption, per_place(shown, study.methods, gain_dots(groups, of)))


def blank(ax: Axes, reason: str) -> None:
    """A panel of which nothing is known says so in place of empty axes."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, reason, ha="center", va="center", color="0.4", transform=ax.transAxes)


def filled(table: pd.DataFrame, groups: Sequence[str]) -> list[str]:
    """The groups that have rows, in their order."""
    there = set(table.group)
    return [g for g in groups if g in there]


def intervals(table: pd.DataFrame, groups: Sequence[str], value: str) -> str:
    """The end of a caption: whether `value` has intervals, and which groups have none, with the reason."""
    half = table[f"{value}_half"] if f"{value}_half" in table else pd.Series(np.nan, table.index)
    if half.isna().all():
        return "; no interval is known."
    found: dict[str, list[str]] = {}
    for group in filled(table[half.isna()], groups):
        here = half.isna() & (table.group == group)
        reasons = table[here].reason if "reason" in table else pd.Series(dtype=str)
        found.setdefault("; ".join(dict.fromkeys(r for r in reasons if r)), []).append(group)
    told = [f" No interval for {', '.join(names)}{f': {why}' if why else ''}." for why, names in found.items()]
    return f", with its 95 % interval.{''.join(told)}"


def without(table: pd.DataFrame, groups: Sequence[str], value: str) -> str:
    """Sentences on the groups that are not drawn: those that hold too few objects, and where, and those of which
    nothing is known anywhere; "" where there is something of each.
    """
    few = table[table.too_few != ""] if "too_few" in table else table.head(0)
    several = len(table.groupby(["data", "detector"])) > 1
    names = [
        f"{group} ({held}{f' on {place}' if several else ''})"
        for group, held, place in zip(few.group, few.get("too_few", ()), short_places(few), strict=True)
    ]
    told = [f" Not drawn: {', '.join(dict.fromkeys(names))}."] if names else []
    there = set(table[table[value].notna()].group) | set(few.group)
    empty = [g for g in groups if g not in there]
    told += [f" Nothing is known of {', '.join(empty)}: too few objects or none."] if empty else []
    return "".join(told)
