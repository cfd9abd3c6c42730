"""Shares of the levels by size of the object: a panel per size, a stacked row per method."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from assignbench.analysis import StudyRecord
from assignbench.report.style import Drawn, Found, figure_of, finished, panels, place_name, places, plain, present


@figure_of("levels")
def levels(study: StudyRecord, found: Found) -> list[Drawn]:
    """One figure per data set and detector; shares add up to all, so that these bars do begin at zero."""
    made = []
    for _, part in places(found["levels"]):
        place = (str(part.data.iloc[0]), str(part.detector.iloc[0]))
        caption = (
            "Levels on which the classification positives of an object lie, in per cent of its positives, by size of "
            f"the object{place_name(study, place)}; the darkest is the finest level."
        )
        made.append(Drawn(f"levels-{place[0]}-{place[1]}", caption, _figure(part, present(study.methods, part))))
    return made


def _figure(part: pd.DataFrame, methods: Sequence[str]) -> Figure:
    names = [c for c in part.columns if c.startswith("level ") and part[c].fillna(0).gt(0).any()]
    shades = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.95, max(2, len(names))))
    sizes = list(dict.fromkeys(part["size"]))
    figure, axes = panels(len(sizes), columns=4, size=(2.4, 0.8 + 0.22 * len(methods)))
    for column, (ax, size) in enumerate(zip(axes, sizes, strict=True)):
        _rows(ax, part[part["size"] == size].set_index("method"), names, methods, shades)
        ax.set_title(plain(size))
        if column % 4:
            ax.set_yticklabels([])
    handles = [Patch(color=shade, label=plain(name)) for name, shade in zip(names, shades, strict=False)]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=max(1, len(names)), fontsize=7)
    return finished(figure, (0.25, 0.6))


def _rows(
    ax: Axes, table: pd.DataFrame, names: Sequence[str], methods: Sequence[str], shades: npt.NDArray[np.float64]
) -> None:
    begin = np.zeros(len(methods))
    for name, shade in zip(names, shades, strict=False):
        share = 100 * np.nan_to_num(table[name].reindex(list(methods)).to_numpy(np.float64))
        ax.barh(range(len(methods)), share, 0.75, left=begin, color=shade, edgecolor="white", linewidth=0.4)
        begin = begin + share
    ax.set_yticks(range(len(methods)), [plain(m) for m in methods], fontsize=7)
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.set_xlim(0, 100)
    ax.grid(visible=False, axis="y")
