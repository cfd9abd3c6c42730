"""Scores of one object's priors, and the mixtures that rules fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.base import keys_of
from assignbench.analysis.probes import prior_losses, visits
from assignbench.records import CellRecord
from assignbench.report.samples import probed
from assignbench.report.style import BLUE, Drawn, Found, figure_of, finished, panels, place_name, plain


@figure_of("scores")
def scores(study: StudyRecord, found: Found) -> list[Drawn]:
    """Histograms of one object's priors, positives apart (PAA, Fig. 1); beside them the mixture that a rule fitted."""
    mixtures = found.get("scores.mixtures", pd.DataFrame())
    made = []
    for (data, detector), usable, chosen in probed(study):
        fitted = {c.id: m for c in usable if len(m := _mixture(mixtures, c, chosen))}
        figure, axes = panels(len(usable) + len(fitted), columns=4, size=(2.4, 2.1))
        left = iter(axes)
        for cell in usable:
            table = visits(cell)[-1]
            _histogram(next(left), table[table.object_id == chosen], cell.config.method.name)
            if cell.id in fitted:
                _densities(next(left), fitted[cell.id].iloc[0], f"{cell.config.method.name}: its mixture")
        axes[0].legend(frameon=False, fontsize=7)
        caption = (
            f"−ln(class score × IoU) of the priors of one probe object at the end of training"
            f"{place_name(study, (data, detector))}: positives for classification and others. Where the rule fits a "
            "mixture to its own costs, that mixture (solid: the better component)."
        )
        made.append(Drawn(f"scores-{data}-{detector}", caption, finished(figure)))
    return made


def _mixture(mixtures: pd.DataFrame, cell: CellRecord, chosen: int) -> pd.DataFrame:
    """The recorded mixture of an object, or no row."""
    for name, value in {**keys_of(cell), "object_id": chosen}.items():
        if name not in mixtures:
            return pd.DataFrame()
        mixtures = mixtures[mixtures[name] == value]
    return mixtures


def _histogram(ax: Axes, table: pd.DataFrame, title: str) -> None:
    losses, positive = prior_losses(table), table.positive_cls.to_numpy(bool)
    low, high = (float(losses.min()), float(losses.max()) + 1e-9) if len(losses) else (0.0, 1.0)
    edges = np.linspace(low, high, 21).tolist()
    ax.hist(losses[~positive], bins=edges, color="lightgrey", label="others")
    ax.hist(losses[positive], bins=edges, color=BLUE, alpha=0.7, label="positives")
    ax.set_title(plain(title))


def _densities(ax: Axes, mixture: pd.Series, title: str) -> None:
    spread = [float(mixture[f"variance_{k}"]) ** 0.5 for k in (0, 1)]
    x = np.linspace(float(mixture.mean_0) - 3 * spread[0], float(mixture.mean_1) + 3 * spread[1], 200)
    for k, line in ((0, "-"), (1, "--")):
        z = (x - float(mixture[f"mean_{k}"])) / spread[k]
        density = float(mixture[f"weight_{k}"]) * np.exp(-(z**2) / 2) / (spread[k] * np.sqrt(2 * np.pi))
        ax.plot(x, density, line, color=BLUE, lw=1.2)
    ax.set_title(plain(title))
    ax.set_xlabel("cost")
