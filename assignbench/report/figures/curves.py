"""Loss terms over training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from assignbench.analysis import StudyRecord
from assignbench.report.hues import colour, style
from assignbench.report.scenes import fold_of
from assignbench.report.style import Drawn, Found, figure_of, finished, one_legend, panels, place_name, plain

COLUMNS = 3  # of panels
# Which multiples of the powers of ten a logarithmic axis names, by the decades up to which these labels have room.
NAMED = ((1.5, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), (3.5, (1.0, 2.0, 5.0)), (float("inf"), (1.0,)))


def curve_figure(curves: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    """One panel per loss term, of one data set and detector; a line is a seed, smoothed over five logged steps."""
    if curves.empty:
        return None
    terms = [t for t in ("loss", *sorted(set(curves.term) - {"loss"})) if curves[curves.term == t].value.notna().any()]
    figure, axes = panels(len(terms), columns=COLUMNS, size=(3.4, 2.8))
    for number, (ax, term) in enumerate(zip(axes, terms, strict=False)):
        part = curves[curves.term == term].dropna(subset="value")
        for (method, seed), group in part.groupby(["method", "seed"], sort=False):
            smooth = group.value.rolling(5, min_periods=1).mean()
            first = seed == part[part.method == method].seed.min()
            ax.plot(
                group.step,
                smooth,
                style(str(method)),
                color=colour(str(method)),
                lw=1.1,
                label=plain(method) if first else None,
            )
        ax.set_title(plain(term))
        ax.set_xlabel("step")
        if (part.value > 0).any():  # a term may be zero all along, as the boxes' is where nothing was matched
            ax.set_yscale("log")
            if number % COLUMNS == 0:  # further panels have no room beside long numbers
                ax.set_ylabel("logarithmic scale")
            ax.yaxis.set_major_locator(LogLocator(subs=named_on(ax.get_ylim())))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_locator(NullLocator())
    one_legend(figure, methods)
    return finished(figure)


def named_on(limits: tuple[float, float]) -> tuple[float, ...]:
    """The multiples of powers of ten to name on a logarithmic axis of these limits, so that no two labels meet."""
    decades = math.log10(limits[1] / limits[0])
    return next(subs for most, subs in NAMED if decades <= most)


@figure_of("curves")
def draw_curves(study: StudyRecord, found: Found) -> list[Drawn]:
    """Loss terms over training, a figure per data set and detector, whose losses do not compare."""
    made = []
    for (data, detector), part in found["curves"].groupby(["data", "detector"], sort=False):
        place = (str(data), str(detector))
        caption = (
            f"Loss terms over training{place_name(study, place)}, a line per seed, smoothed over five logged steps."
        )
        name = f"curves-{data}-{detector}" if len(study.places) > 1 else "curves"
        made.append(Drawn(name, caption, curve_figure(part, study.methods), fold=fold_of(study, place)))
    return made
