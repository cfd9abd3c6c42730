"""The recorded formulas: curves and surfaces."""

from __future__ import annotations

import numpy as np

from assignbench.analysis import StudyRecord
from assignbench.analysis.formulas import surfaces
from assignbench.report.style import Drawn, Found, figure_of, finished, panels, plain

AMPLIFIED = "amplified IoU"
MEAN_MAX = "mean-max"
GREYS = (0.72, 0.0)  # of the first curve and the last: they are steps of a number, and colours are methods

# What the axes of a formula are, by how its name begins; those of others' assigners are its first and second argument.
LABELS = {
    AMPLIFIED: ("IoU of the anchor", AMPLIFIED),
    MEAN_MAX: ("φ of the first prior", "φ of the second prior"),
}


def _labels(formula: str) -> tuple[str, str]:
    return next((told for begin, told in LABELS.items() if formula.startswith(begin)), ("x", "y"))


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
        across, up = _labels(str(formula))
        ax.set_xlabel(across)
        ax.set_ylabel(up)
    for ax, ((formula, curve), part) in zip(axes[len(lines) :], grids, strict=True):
        wide = part.pivot_table(index="y", columns="x", values="value")
        drawn = ax.contourf(wide.columns, wide.index, wide.to_numpy(), levels=20, cmap="cividis")
        figure.colorbar(drawn, ax=ax)
        ax.set_title(plain(f"{formula}: {curve}" if curve else formula))
        across, up = _labels(str(formula))
        ax.set_xlabel(across)
        ax.set_ylabel(up)
    caption = "The formulas of the trained rules, at the points that their assigners recorded."
    if points.formula.str.startswith(AMPLIFIED).any():
        caption += (
            " Amplified IoU: a line per class score p, a panel per σ (Mutual Guidance, Fig. 3); at p = 0 it is the "
            "anchor's own IoU."
        )
    if points.formula.eq(MEAN_MAX).any():
        caption += " Mean-max: over the likelihoods φ of two priors, of the object in M+ and of a false alarm in M-."
    return [Drawn("formulas", caption, finished(figure))]
