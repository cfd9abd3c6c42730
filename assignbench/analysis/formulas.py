"""The papers' pictures of their own formulas, as the engine recorded them from the code that trains."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.result import Result

COLUMNS = ["method", "formula", "curve", "x", "y", "value"]
ROWS = 9  # of a printed table; the figure draws every recorded point


@analysis(
    "formulas",
    title="The rules themselves",
    question="What do the formulas of the trained rules do to a number?",
    definition=(
        "Points of the functions that an assigner uses, computed by the assigner itself when its cell was trained. "
        "Amplified IoU: Mutual Guidance, Eq. 1. M₊ and M₋ of a bag of two priors: LTM, Eqs. 10 and 25; near the mean "
        "while likelihoods are low, near the best (M₊) or one minus the worst false alarm (M₋) once one is high."
    ),
    paper="Mutual Guidance, Fig. 3; LTM, Fig. 2",
)
def formulas(study: StudyRecord) -> list[Result]:
    """All recorded points for the figure, and per formula a table of a few values."""
    points = recorded(study)
    results = [Result("formulas.points", "Recorded points of the formulas", points, role="figure")]
    for formula, part in points.groupby("formula", sort=False):
        results.append(Result(f"formulas.{formula}", str(formula), few(part)))
    return results


def recorded(study: StudyRecord) -> pd.DataFrame:
    """method, formula, curve, x, y, value: every formula once, from the first cell that recorded it."""
    parts: list[pd.DataFrame] = []
    known: set[str] = set()
    for cell in study.done:
        table = cell.table("formulas")
        if table.empty:
            continue
        fresh = table[~table.formula.isin(known)]
        known |= set(fresh.formula)
        parts.append(fresh.assign(method=cell.config.method.name))
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def few(part: pd.DataFrame) -> pd.DataFrame:
    """A formula's points at a few places: a column per curve, or a row per pair of places for a surface."""
    places = np.sort(part.x.unique())
    surface = bool(part.y.notna().all())
    picked = places[np.linspace(0, len(places) - 1, min(3 if surface else ROWS, len(places))).round().astype(int)]
    if surface:
        shown = part[part.x.isin(picked) & part.y.isin(picked) & (part.x <= part.y)]
        return shown.sort_values(["x", "y"])[["x", "y", "value"]].round(4).reset_index(drop=True)
    order = list(dict.fromkeys(part.curve))
    wide = part[part.x.isin(picked)].pivot_table(index="x", columns="curve", values="value", sort=True)[order]
    wide.columns = [str(c) for c in wide.columns]
    return wide.round(4).reset_index()
