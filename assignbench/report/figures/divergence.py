"""Score and IoU of the predictions, and divergence against AP."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.divergence import DENSITY_POINTS
from assignbench.report.drawing import draw_cells
from assignbench.report.hues import colour, marker, marker_size
from assignbench.report.panels import per_place
from assignbench.report.scenes import fold_of
from assignbench.report.style import Drawn, Found, figure_of, finished, panels, place_name, plain, present

Floats = npt.NDArray[np.float64]
REACH = (0.1, 1.0), (0.0, 1.0)  # of IoU and of ranking score


@figure_of("divergence.cells")
def divergence(study: StudyRecord, found: Found) -> list[Drawn]:
    """Score-IoU density of every method, and divergence against AP."""
    cells = found["divergence.cells"]
    made = []
    if cells.spearman.notna().any():

        def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
            for method in methods:
                mine = part[part.method == method]
                look: dict[str, Any] = {"color": colour(method), "label": plain(method), "ms": marker_size(method, 6.5)}
                ax.plot(mine.spearman, 100 * mine.AP.astype(float), marker(method), **look)
            ax.set_xlabel("Spearman of ranking score and IoU, mean over objects (J_k)")
            ax.set_ylabel("AP, points")

        caption = "Divergence against AP, a point per cell: does the one predict the other (MLC, Table 1)?"
        made.append(Drawn("divergence", caption, per_place(cells, study.methods, draw)))
    return [*made, *_densities(study, found.get("divergence.density", pd.DataFrame()))]


def _densities(study: StudyRecord, table: pd.DataFrame) -> list[Drawn]:
    """A panel per method for every place: where ranking score and IoU of the predictions lie."""
    made = []
    for place in study.places if len(table) else []:
        here = table[(table.data == place[0]) & (table.detector == place[1])]
        names = present(study.methods, here)
        if not names:  # no cell of the place is finished
            continue
        figure, axes = panels(len(names), columns=4, size=(2.2, 2.2))
        for ax, method in zip(axes, names, strict=True):
            mine = here[here.method == method]
            _density(ax, mine.iou.to_numpy(float), mine.ranking_score.to_numpy(float))
            ax.set_title(plain(method))
            ax.set_xlabel("IoU")
        axes[0].set_ylabel("ranking score")
        caption = (
            "Ranking score and IoU of the recorded predictions with IoU ≥ 0.1, log density, all seeds, of each cell at "
            f"most {DENSITY_POINTS} evenly taken ones{place_name(study, place)}."
        )
        name = f"divergence-density-{place[0]}-{place[1]}"
        made.append(Drawn(name, caption, finished(figure), fold=fold_of(study, place)))
    return made


def _density(ax: Axes, iou: Floats, score: Floats) -> None:
    """How many predictions lie in each of 40 x 40 cells, brighter for more, on a scale of logarithms."""
    (left, right), (bottom, top) = REACH
    counts = np.histogram2d(score, iou, bins=40, range=(REACH[1], REACH[0]))[0][::-1]
    shown = np.ma.masked_less(counts, 1)
    share = np.ma.log(shown) / np.log(max(2.0, float(counts.max())))
    draw_cells(ax, matplotlib.colormaps["cividis"](share), (left, right, bottom, top))
    ax.set_aspect("auto")
