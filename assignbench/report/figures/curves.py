"""Loss terms over training."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from assignbench.analysis import StudyRecord
from assignbench.report.hues import colour, style
from assignbench.report.style import Drawn, Found, figure_of, finished, panels, plain


def curve_figure(curves: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    """One panel per loss term; thin lines are seeds, smoothed over five logged steps."""
    if curves.empty:
        return None
    terms = [t for t in ("loss", *sorted(set(curves.term) - {"loss"})) if curves[curves.term == t].value.notna().any()]
    figure, axes = panels(len(terms), columns=3, size=(3.4, 2.8))
    for ax, term in zip(axes, terms, strict=False):
        part = curves[curves.term == term].dropna(subset="value")
        for (method, data, _, seed), group in part.groupby(["method", "data", "detector", "seed"], sort=False):
            smooth = group.value.rolling(5, min_periods=1).mean()
            first = seed == part.seed.min() and data == part.data.iloc[0]
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
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_locator(NullLocator())
    known: dict[str, Artist] = {}
    for ax in axes:
        known |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    shown = [p for p in map(plain, methods) if p in known]
    handles = [known[m] for m in shown]
    figure.legend(handles, shown, loc="upper left", bbox_to_anchor=(1.0, 0.97), frameon=False)
    return finished(figure)


@figure_of("curves")
def draw_curves(study: StudyRecord, found: Found) -> list[Drawn]:
    """Loss terms over training."""
    caption = "Loss terms over training, smoothed over five logged steps."
    return [Drawn("curves", caption, curve_figure(found["curves"], study.methods))]
