"""What the tests of a claim measured, short enough for the table of verdicts: effects, intervals and places."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.claim_forms import Kind
from assignbench.analysis.places import labelled
from assignbench.analysis.signs import signed
from assignbench.analysis.verdicts import NOT_TESTABLE, OPEN

MOST = 4  # tests of a claim in one cell
POINTS = "points"  # what is not named beside a value
OF_BOUNDS = ("equal", "level", "fails")  # claims whose values are distances from a bound, and the detail the effect


def values_told(tests: pd.DataFrame, kind: Kind, among: pd.DataFrame | None = None) -> str:
    """The effect of every test of a claim (of the table `among`) with its half-width and place, of a slope the gains
    that make it too; those that are decided first where they are too many; "" where none has a value.
    """
    known = tests.assign(label=labelled(tests, among))
    known = known[np.isfinite(known.value) & (known.verdict != NOT_TESTABLE)]
    if known.empty:
        return ""
    if len(known) > MOST:
        known = known.iloc[np.argsort((known.verdict == OPEN).to_numpy(), kind="stable")]
    unit = str(known.unit.iloc[0])
    told = [_told(row, kind, unit) for _, row in known.iloc[:MOST].iterrows()]
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"{'; '.join(told)}{more}{f', in {unit}' if unit != POINTS else ''}"


def _told(row: pd.Series, kind: Kind, unit: str) -> str:
    """ "+3.45 ± 0.48 (net on shapes: 1-1.5 -8.6, 1.5-2.5 -5.2)"."""
    detail = str(row.detail)
    if kind in OF_BOUNDS and detail:
        return f"{detail} ({row.label})" if row.label else detail
    digits = _digits(unit, float(row.value), float(row.half))
    half = f" ± {row.half:.{digits}f}" if np.isfinite(row.half) else ""
    beside = ": ".join(filter(None, (row.label, detail)))
    return f"{signed(float(row.value), digits)}{half}{f' ({beside})' if beside else ''}"


def _digits(unit: str, value: float, half: float) -> int:
    """A tenth of points and of per cents, a hundredth of slopes; three digits of what is counted otherwise."""
    if " per unit of " in unit:
        return 2
    if unit == POINTS or unit.startswith("per cent"):
        return 1
    largest = float(np.nanmax([abs(value), half]))
    return next((digits for least, digits in ((100, 0), (10, 1), (1, 2)) if largest >= least), 3)


def value_notes(tests: pd.DataFrame) -> tuple[str, ...]:
    """What has to stand below such values, of all claims' tests: on how many seeds and for whom the intervals speak."""
    ranged = tests[np.isfinite(tests.half) & (tests.verdict != NOT_TESTABLE)]
    told = ["values: in points where nothing else is named."] if len(ranged) and (ranged.unit == POINTS).any() else []
    if ranged.empty:
        return tuple(told)
    low, high = int(ranged.n.min()), int(ranged.n.max())
    seeds = f"{low} to {high}" if low != high else str(low)
    whom = " or for ".join(dict.fromkeys(str(p) for p in ranged.population if p))
    several = ", as the table of all tests says" if ranged.population.nunique() > 1 else ""
    interval = f"±: half of the 95 % interval for {whom}{several}."
    return (*told, f"n: {seeds} seed{'s' if high > 1 else ''}.", interval)
