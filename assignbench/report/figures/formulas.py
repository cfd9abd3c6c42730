"""The recorded formulas: curves and surfaces."""

from __future__ import annotations

import numpy as np

from assignbench.analysis import StudyRecord
from assignbench.analysis.formulas import surfaces
from assignbench.report.style import Drawn, Found, figure_of, finished, panels, plain

AMPLIFIED = "amplified IoU"
GREYS = (0.72, 0.0)  # of the first curve and the last: they are steps of a number, and colours are methods


@figure_of("formulas.points")
def formulas(study: StudyRecord, found: Found) -> list[Drawn]:
    """A panel per formula: its curves, or its surface as contours."""
    points = found["formulas.points"]
    two = surfaces(points)
    lines = list(points[~two].groupby("formula", sort=False))
    grids = list(points[two].groupby(["formula", "curve"], sort=False))
    figure, axes = panels(len(lines) + len(grids), columns=3, size=(3.5, 3.0))
    for ax, (formula, part) in zip(axes, lines, strict=False):
        curves = list(part.groupby("curve", sort=False))
        for grey, (curve, line) in zip(np.linspace(*GREYS, len(curves)), curves, strict=True):
            ax.plot(line.x, line.value, label=plain(curve), lw=1.3, color=f"{grey:.2f}")
        ax.legend(frameon=False)
        ax.set_title(plain(formula))
        ax.set_xlabel("IoU of the anchor" if str(formula).startswith(AMPLIFIED) else "")
    for ax, ((formula, curve), part) in zip(axes[len(lines) :], grids, strict=True):
        wide = part.pivot_table(index="y", columns="x", values="value")
        drawn = ax.contourf(wide.columns, wide.index, wide.to_numpy(), levels=20, cmap="cividis")
        figure.colorbar(drawn, ax=ax)
        ax.set_title(plain(f"{formula}: {curve}" if curve else formula))
    caption = "The formulas of the trained rules, at the points that their assigners recorded."
    if points.formula.str.startswith(AMPLIFIED).any():
        caption += (
            " Amplified IoU: a line per class score p, a panel per σ (Mutual Guidance, Fig. 3); at p = 0 it is the "
            "anchor's own IoU."
        )
    return [Drawn("formulas", caption, finished(figure))]
