"""Scores of one object's priors, and the mixtures that rules fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from assignbench.analysis import StudyRecord
from assignbench.analysis.base import keys_of
from assignbench.analysis.probes import Floats, boundary, last_visit, own_candidates, prior_losses
from assignbench.records import CellRecord
from assignbench.report.scenes import fold_of, scenes
from assignbench.report.style import BLUE, RED, Drawn, Found, figure_of, finished, legend, panels, place_name, plain


@figure_of("scores")
def scores(study: StudyRecord, found: Found) -> list[Drawn]:
    """One object's priors, positives apart; beside them a rule's own candidates and mixture (PAA, Fig. 1)."""
    mixtures = found.get("scores.mixtures", pd.DataFrame())
    made = []
    for scene in scenes(study):
        (data, detector), usable, shown = scene.place, scene.cells, scene.objects[0]
        chosen = shown.object_id
        own = {c.id: _own(c, mixtures, chosen) for c in usable}
        figure, axes = panels(len(usable) + sum(o.known for o in own.values()), columns=4, size=(2.4, 2.1))
        left = iter(axes)
        for cell in usable:
            table = last_visit(cell)
            _histogram(next(left), table[table.object_id == chosen], cell.config.method.name)
            if own[cell.id].known:
                _judged(next(left), own[cell.id], f"{cell.config.method.name}: its own")
        legend(axes[-1], axes[0])
        known = [o for o in own.values() if o.known]
        caption = (
            f"−ln(class score × IoU) of the priors of one object ({shown.title}) at the end of training"
            f"{place_name(study, (data, detector))}: positives for classification and others.{_own_told(known)}"
        )
        made.append(Drawn(f"scores-{data}-{detector}", caption, finished(figure), fold=fold_of(study, scene.place)))
    return made


def _own_told(known: Sequence[Own]) -> str:
    """What the panels of the rules' own candidates show; "" without any."""
    told = []
    if any(len(o.costs) for o in known):
        told.append(
            "the candidates that a rule judged, by the cost that it gave them (PAA, Eq. 3; lower is better), as a "
            "density; dotted: its boundary, half-way between the dearest positive and the cheapest other candidate"
        )
    if any(len(o.mixture) for o in known):
        told.append("the mixture that it fitted to them (solid: the better component)")
    return f" 'its own': {'; '.join(told)}." if told else ""


@dataclass(frozen=True)
class Own:
    """What a rule itself said of an object: the costs of its candidates, the positives, its mixture (or no row)."""

    costs: Floats
    positive: npt.NDArray[np.bool_]
    mixture: pd.DataFrame

    @property
    def known(self) -> bool:
        """Whether there is anything to draw."""
        return bool(len(self.costs) or len(self.mixture))


def _own(cell: CellRecord, mixtures: pd.DataFrame, chosen: int) -> Own:
    table = last_visit(cell)
    return Own(*own_candidates(table[table.object_id == chosen]), _mixture(mixtures, cell, chosen))


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
    ax.set_xlabel("−ln(score × IoU)")


def _judged(ax: Axes, own: Own, title: str) -> None:
    """The candidates by their cost, the fitted components, and the boundary where costs part the positives."""
    if len(own.costs):
        edges = np.linspace(own.costs.min(), own.costs.max() + 1e-9, 16)
        for mine, shade, alpha in ((~own.positive, "lightgrey", 1.0), (own.positive, BLUE, 0.7)):
            share = np.full(int(mine.sum()), 1 / (len(own.costs) * (edges[1] - edges[0])))
            ax.hist(own.costs[mine], bins=edges.tolist(), weights=share, color=shade, alpha=alpha)
        ax.axvline(boundary(own.costs, own.positive), color=RED, ls=":", lw=1.2)
    for _, mixture in own.mixture.iterrows():
        _densities(ax, mixture)
    ax.set_title(plain(title))
    ax.set_xlabel("cost")


def _densities(ax: Axes, mixture: pd.Series) -> None:
    spread = [float(mixture[f"variance_{k}"]) ** 0.5 for k in (0, 1)]
    x = np.linspace(float(mixture.mean_0) - 3 * spread[0], float(mixture.mean_1) + 3 * spread[1], 200)
    for k, line in ((0, "-"), (1, "--")):
        z = (x - float(mixture[f"mean_{k}"])) / spread[k]
        density = float(mixture[f"weight_{k}"]) * np.exp(-(z**2) / 2) / (spread[k] * np.sqrt(2 * np.pi))
        ax.plot(x, density, line, color="black", lw=1.0)
