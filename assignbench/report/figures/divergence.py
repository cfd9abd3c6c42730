"""Score and IoU of the predictions, and divergence against AP."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.divergence import density_sample
from assignbench.report.panels import per_place
from assignbench.report.style import Drawn, Found, colour, figure_of, finished, panels, place_name, slug


@figure_of("divergence.cells")
def divergence(study: StudyRecord, found: Found) -> list[Drawn]:
    """Score-IoU density of every method, and divergence against AP."""
    cells = found["divergence.cells"]
    made = []
    if cells.spearman.notna().any():

        def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
            for method in methods:
                mine = part[part.method == method]
                ax.plot(mine.spearman, 100 * mine.AP.astype(float), "o", ms=5, color=colour(method), label=method)
            ax.set_xlabel("Spearman of score and IoU, mean over objects (J_k)")
            ax.set_ylabel("AP")

        caption = "Divergence against AP, a point per cell: does the one predict the other (MLC, Table 1)?"
        made.append(Drawn("divergence", caption, per_place(cells, study.methods, draw)))
    return [*made, *_densities(study)]


def _densities(study: StudyRecord) -> list[Drawn]:
    cells = study.data()
    least = min((c.keys["seed"] for c in cells), default=0)
    made = []
    for place in dict.fromkeys((c.keys["data"], c.keys["detector"]) for c in cells):
        mine = [c for c in cells if (c.keys["data"], c.keys["detector"], c.keys["seed"]) == (*place, least)]
        figure, axes = panels(len(mine), columns=4, size=(2.2, 2.2))
        for ax, cell in zip(axes, mine, strict=True):
            sample = density_sample(cell)
            ax.hist2d(
                sample.iou,
                sample.cls_score,
                bins=40,
                range=np.array([[0.1, 1.0], [0.0, 1.0]]),
                cmap="cividis",
                norm="log",
                cmin=1,
            )
            ax.set_title(cell.keys["method"])
            ax.set_xlabel("IoU")
        axes[0].set_ylabel("score of the true class")
        caption = f"Score and IoU of the predictions with IoU ≥ 0.1, log density, first seed{place_name(study, place)}."
        made.append(Drawn(slug("divergence-density", *place), caption, finished(figure)))
    return made
