"""The papers' pictures of their own formulas, as the engine recorded them from the code that trains."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.analysis.result import Result

COLUMNS = ["method", "formula", "curve", "x", "y", "value"]
ROWS, SIDE = 9, 3  # places of a printed curve, and of each side of a surface; the figure draws every point


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
        lines = part[~surfaces(part)]
        if len(lines):
            results.append(_table(str(formula), few_of_lines(lines)))
        for curve, surface in part[surfaces(part)].groupby("curve", sort=False):
            name = f"{formula}: {curve}" if curve else str(formula)
            results.append(_table(name, few_of_surface(surface)))
    return results


def _table(name: str, frame: pd.DataFrame) -> Result:
    """A few values of a formula, all pure numbers."""
    return Result(f"formulas.{name}", name, frame, dict.fromkeys(map(str, frame.columns), "1"))


def surfaces(part: pd.DataFrame) -> pd.Series:
    """Per row whether its curve has two arguments: `y` varies along it."""
    return part.groupby(["formula", "curve"]).y.transform("nunique") > 1


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


def few_of_lines(part: pd.DataFrame) -> pd.DataFrame:
    """Values at a few places: a column per curve."""
    order = list(dict.fromkeys(part.curve))
    shown = part[part.x.isin(_spread(part.x, ROWS))]
    wide = shown.pivot_table(index="x", columns="curve", values="value", sort=True)[order]
    wide.columns = [str(c) for c in wide.columns]
    return wide.round(4).reset_index()


def few_of_surface(part: pd.DataFrame) -> pd.DataFrame:
    """Values at a few pairs of places: x, y, value."""
    shown = part[part.x.isin(_spread(part.x, SIDE)) & part.y.isin(_spread(part.y, SIDE))]
    return shown.sort_values(["x", "y"])[["x", "y", "value"]].round(4).reset_index(drop=True)


def _spread(values: pd.Series, count: int) -> list[float]:
    """Up to `count` of the different values, evenly spread, the ends included."""
    places = np.sort(values.unique())
    picked: list[float] = places[np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)].tolist()
    return picked
