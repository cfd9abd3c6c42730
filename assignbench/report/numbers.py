"""Numbers as a table prints them: how many digits, in which unit, and what stands where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.analysis.signs import in_signed_points, rounded

ONE_SEED = "†"
FINE = ("p", "p_holm")  # columns with four decimals
PRINTED = "published"  # columns of a paper's own numbers, which are never rounded


def percent(mean: float | None, half: float | None = None, *, marked: bool = False) -> str:
    """A share as per cent with its half-width; `marked` where it rests on one seed, unlike its neighbours."""
    if mean is None or np.isnan(mean):
        return "n/a"
    text = rounded(100 * mean, 1)
    text += ONE_SEED if marked else ""
    return text if half is None or np.isnan(half) else f"{text} ± {100 * half:.1f}"


def difference(mean: float | None, half: float | None, n: float) -> str:
    """A signed difference in points; below three seeds it is not resolvable and says so."""
    if mean is None or np.isnan(mean):
        return "–"
    text = in_signed_points(mean)
    if half is None or np.isnan(half):
        return f"{text} (n={int(n)}: not resolvable)"
    text = f"{text} ± {100 * half:.1f}"
    return text if n >= LEAST_SEEDS else f"{text} (n={int(n)}: not resolvable)"


def is_number(value: object) -> bool:
    """Whether a value is a finite number; a truth value is none."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


def digits_of(column: str, frame: pd.DataFrame, scaled: bool, paired: bool) -> int:
    """Decimals of a column, the same in every row: three digits of its largest number, two of its widest interval, and
    none that all rows lack.
    """
    if column in FINE or scaled:
        return 4 if column in FINE else 1
    numbers = _sizes(frame[column])
    if paired:
        halves = _sizes(frame[f"{column}_half"])
        return max(decimals(max(numbers, default=0.0)), decimals(10 * max(halves, default=100.0)))
    exact = next((d for d in range(3) if all(round(v, d) == v for v in numbers)), 3)
    return min(exact, decimals(max(numbers, default=0.0)))


def _sizes(values: pd.Series) -> list[float]:
    return [abs(float(v)) for v in values if is_number(v)]


def decimals(largest: float) -> int:
    """How many decimals show three digits of a number, three at most."""
    return 0 if largest >= 100 else 1 if largest >= 10 else 2 if largest >= 1 else 3


def all_decimals(value: float, least: int) -> int:
    """As many decimals as a number has, less the noise of its last digits."""
    return next((d for d in range(least, 6) if abs(round(value, d) - value) < 1e-9), 6)


def cell_of(row: Mapping[Any, Any], column: str, scale: float, paired: bool, missing: str, digits: int) -> str:
    """A row's value in a column, as many digits behind the point, with its half-width where the column is `paired`.

    The numbers are multiplied by `scale`; `missing` stands for what could not be measured.
    """
    value = row[column]
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return str(value)
    number = float(value)
    if np.isnan(number):
        return missing
    half = float(row.get(f"{column}_half", np.nan)) if paired else np.nan
    text = rounded(scale * number, digits)
    return text if np.isnan(half) else f"{text} ± {scale * half:.{digits}f}"
