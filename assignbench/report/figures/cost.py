"""AP against training time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.verdicts import NOT_COMPARED
from assignbench.report.dots import timed_limits
from assignbench.report.hues import colour, marker, marker_size
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, figure_of, plain


@figure_of("cost")
def cost(study: StudyRecord, found: Found) -> list[Drawn]:
    """AP against training time."""
    table = found["cost"]
    table = table[table.AP.notna()]
    if table.empty:
        return []
    wall = Clock("train_s", "training seconds of a cell")
    worked = Clock("train_cpu_s", "processor seconds of training a cell")
    return [_against("cost", table, study, wall, worked, "training time")]


@figure_of("cost.test")
def speed(study: StudyRecord, found: Found) -> list[Drawn]:
    """AP against the speed at test time, where it was measured."""
    table = found["cost.test"]
    table = table[table.fps.notna() & table.AP.notna()]
    wall = Clock("fps", "test images per second, one at a time")
    worked = Clock("cpu_ms", "processor milliseconds of a test image, one at a time")
    table = table.assign(cpu_ms=1000 * table.cpu_share / table.fps)
    return [_against("speed", table, study, wall, worked, "test speed")] if len(table) else []


@dataclass(frozen=True)
class Clock:
    """A time of a table: its column, and what an axis says of it."""

    column: str
    label: str


def _against(name: str, table: pd.DataFrame, study: StudyRecord, wall: Clock, worked: Clock, what: str) -> Drawn:
    """AP against the time that passed, or against what the processor worked where other load made the former."""

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        clock = _clock_of(part, wall, worked)
        for method in methods:
            row = part[part.method == method].iloc[0]
            edge: dict[str, Any] = {"mec": "black", "mew": 1.2} if row.pareto == "yes" else {}
            look = {"ms": marker_size(method, 7), "color": colour(method), "label": plain(method), **edge}
            ax.plot(row[clock.column], 100 * row.AP, marker(method), **look)
        front = part[part.pareto == "yes"].sort_values(clock.column)
        where: Literal["pre", "post"] = "pre" if clock.column == "fps" else "post"
        ax.step(front[clock.column], 100 * front.AP, where=where, color="grey", lw=0.8, zorder=0)
        ax.set_xlim(timed_limits(part[clock.column].to_numpy(float)))
        ax.set_xlabel(clock.label)
        ax.set_ylabel("AP, points")

    parts = [part for _, part in table.groupby(["data", "detector"], sort=False)]
    caption = f"AP against {what}."
    if bool((table.pareto == "yes").any()):
        caption = f"AP against {what}; outlined methods are dominated by no other."
    if any(_clock_of(part, wall, worked) is worked for part in parts):
        caption += (
            " Where the times that passed cannot be compared (the table says why), the time of the processor stands in "
            "their place, and nothing is outlined."
        )
    elif bool((table.pareto == NOT_COMPARED).any()):
        caption += " Nothing is outlined where the times cannot be compared (the table says why)."
    return Drawn(name, caption, per_place(table, study.methods, draw))


def _clock_of(part: pd.DataFrame, wall: Clock, worked: Clock) -> Clock:
    """The time that the cells of a place can be compared by; the one that passed where no other one is known."""
    known = worked.column in part and bool(part[worked.column].notna().all())
    return worked if known and bool((part.pareto == NOT_COMPARED).any()) else wall
