"""Dots with intervals on an axis that fits them: no bar from zero, and no outlier that flattens the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from assignbench.report.hues import colour, marker, marker_size, style
from assignbench.report.style import plain

Floats = npt.NDArray[np.float64]
FAR = 3.0  # a point this many times the others' range away from them, and an interval this much longer, is cut off
MARGIN = 0.08  # of the range, beyond the outermost dot or interval
LEAST_SPAN = 0.05  # of an axis of times, of the longest of them
SIZE = 6.5  # points of a dot: below six, markers look alike


def free_limits(values: Floats, halves: Floats | None = None) -> tuple[float, float]:
    """The ends of an axis for values [N] and the halves [N] of their intervals; both may be NaN.

    What lies so far off that it would flatten the others is left outside: up to a quarter of the values, and the ends
    of intervals that are `FAR` times longer than the range of the values and the middle interval. (0, 1) for nothing.
    """
    shown = np.isfinite(values)
    if not shown.any():
        return 0.0, 1.0
    value = values[shown]
    half = np.zeros(len(value)) if halves is None else np.nan_to_num(halves[shown], nan=0.0)
    inner = _without_far(value)
    usual = float(np.median(half[inner]))
    longest = max(FAR * usual, float(np.ptp(value[inner])))
    reach = np.where(half <= longest, half, usual) if longest > 0 else half
    low, high = float((value - reach)[inner].min()), float((value + reach)[inner].max())
    room = MARGIN * (high - low) or 0.05 * max(abs(high), 1e-9)
    return low - room, high + room


def timed_limits(times: Floats) -> tuple[float, float]:
    """The ends of an axis for times [N], which may be NaN: at least `LEAST_SPAN` of the longest lies between them, so
    that times which are all but the same look so. (0, 1) for nothing.
    """
    known = times[np.isfinite(times)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    room = max(MARGIN * (high - low), (LEAST_SPAN * abs(high) - (high - low)) / 2) or 0.5
    return low - room, high + room


def _without_far(values: Floats) -> npt.NDArray[np.bool_]:
    """Which values [N] are kept: at most a quarter is left out, one after the other, each far from all that stay."""
    kept = np.ones(len(values), np.bool_)
    for _ in range(len(values) // 4):
        middle = np.median(values[kept])
        worst = int(np.where(kept, np.abs(values - middle), -1.0).argmax())
        rest = values[kept & (np.arange(len(values)) != worst)]
        gap = max(rest.min() - values[worst], values[worst] - rest.max())
        if gap <= FAR * max(float(np.ptp(rest)), 1e-9 * max(1.0, abs(float(middle)))):
            break
        kept[worst] = False
    return kept


@dataclass(frozen=True)
class Scale:
    """An axis of values with its limits; `upright` for one that goes upwards."""

    ax: Axes
    limits: tuple[float, float]
    upright: bool = True

    def draw(self, at: float, value: float, sign: str, **look: Any) -> None:
        """A marker for a value at a place of the other axis."""
        self.ax.plot(*((at, value) if self.upright else (value, at)), sign, **look)

    def dot(self, at: float, value: float, half: float, method: str, label: str | None = None) -> None:
        """A method's dot with its interval, both cut at the limits: an arrow head says that an interval goes on, and a
        dot outside the limits stands at the edge with its value. Nothing for what is no number. The legend shows dot
        and interval, wherever the dot stands.
        """
        low, high = self.limits
        if not np.isfinite(value):
            return
        look: dict[str, Any] = {"color": colour(method), "zorder": 3}
        size = marker_size(method, SIZE)
        more, less = ("^", "v") if self.upright else (">", "<")
        inside = low <= value <= high
        line = style(method) if np.isfinite(half) else "none"
        if label:
            self.ax.plot([], [], marker(method), ls=line, ms=size, mec="white", mew=0.5, label=label, **look)
        if np.isfinite(half):
            self._interval(at, max(low, value - half), min(high, value + half), {"ls": line, **look})
            beyond = ((high, more, value + half > high), (low, less, value - half < low))
            for end, sign, cut in beyond:
                if cut and inside:
                    self.draw(at, end, sign, ms=3.5, clip_on=False, **look)
        if inside:
            self.draw(at, value, marker(method), ms=size, mec="white", mew=0.5, **look)
            return
        edge = high if value > high else low
        self.draw(at, edge, more if value > high else less, ms=SIZE + 1, clip_on=False, **look)
        x, y = (at, edge) if self.upright else (edge, at)
        side = "left" if self.upright or value < low else "right"
        place = "center" if not self.upright else "top" if value > high else "bottom"
        self.ax.text(x, y, f"  {value:.3g}  ", fontsize=6, color=colour(method), va=place, ha=side)

    def goes_on(self, value: float, half: float) -> bool:
        """Whether an arrow head is drawn for a value and the half of its interval: either lies beyond the limits."""
        ends = np.array([value, value - half, value + half])
        return bool(((ends < self.limits[0]) | (ends > self.limits[1])).any())

    def _interval(self, at: float, start: float, end: float, look: dict[str, Any]) -> None:
        if start < end:
            places = ([at, at], [start, end]) if self.upright else ([start, end], [at, at])
            self.ax.plot(*places, lw=1.3, alpha=0.85, **look)

    def settle(self) -> None:
        """Sets the axis' limits, with a line at zero where it lies between them."""
        (self.ax.set_ylim if self.upright else self.ax.set_xlim)(self.limits)
        if self.limits[0] <= 0 <= self.limits[1]:
            (self.ax.axhline if self.upright else self.ax.axvline)(0, color="black", lw=0.6)


def method_dots(
    ax: Axes,
    table: pd.DataFrame,
    groups: Sequence[str],
    methods: Sequence[str],
    value: str,
    *,
    by: str = "group",
    scale: float = 100.0,
    upright: bool = True,
) -> None:
    """Dots of `value` per group (column `by`) and method side by side, with the half-widths in `value`_half.

    Groups stand from left to right, or from the top where the values do not go upwards.
    """
    shown = table[table[by].isin(list(groups)) & table.method.isin(list(methods))]
    halves = shown[f"{value}_half"] if f"{value}_half" in shown else pd.Series(np.nan, shown.index)
    values, reach = scale * shown[value].to_numpy(np.float64), scale * halves.to_numpy(np.float64)
    on = Scale(ax, free_limits(values, reach), upright)
    place = {group: i for i, group in enumerate(groups)}
    step = min(0.18, 0.8 / max(1, len(methods)))
    named: set[str] = set()
    for group, method, number, half in zip(shown[by], shown.method, values, reach, strict=True):
        aside = (list(methods).index(method) - (len(methods) - 1) / 2) * step
        fresh = np.isfinite(number) and method not in named
        on.dot(place[group] + aside, float(number), float(half), method, plain(method) if fresh else None)
        named |= {method} if fresh else set()
    on.settle()
    _name_groups(ax, groups, upright)


def _name_groups(ax: Axes, groups: Sequence[str], upright: bool) -> None:
    names, ends = [plain(g) for g in groups], (-0.5, len(groups) - 0.5)
    if upright:
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(ends)
        ax.grid(visible=False, axis="x")
    else:
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(ends[::-1])
        ax.grid(visible=False, axis="y")
    for place in range(1, len(groups)):
        (ax.axvline if upright else ax.axhline)(place - 0.5, color="0.9", lw=0.6, zorder=0)
