"""Lines through points: least-squares slopes, weighted or with the interval over the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assignbench.analysis.estimates import LEVEL

Floats = npt.NDArray[np.float64]
Values = Sequence[float] | Floats


def slope(x: Values, y: Values, weights: Values | None = None) -> Floats:
    """Least-squares slopes [...] of y [..., N] over x [N], each point with its weight (1 by default).

    NaN with fewer than two distinct x, and where y holds NaN.
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    w = np.ones(len(a)) if weights is None else np.asarray(weights, float)
    if len(np.unique(a[w > 0])) < 2:
        return np.full(b.shape[:-1], np.nan)
    w = w / w.sum()
    centred = w * (a - (w * a).sum())
    return np.asarray((b @ centred) / (a @ centred))


@dataclass(frozen=True)
class Line:
    """A fitted line with the interval of its slope over the points (not over seeds)."""

    intercept: float
    slope: float
    half: float | None
    n: int


def fitted_line(x: Values, y: Values, level: float = LEVEL) -> Line:
    """The least-squares line through points; `half` needs three of them."""
    a, b = np.asarray(x, float), np.asarray(y, float)
    usable = np.isfinite(a) & np.isfinite(b)
    a, b = a[usable], b[usable]
    gradient = float(slope(a, b))
    if not np.isfinite(gradient):
        return Line(float("nan"), float("nan"), None, len(a))
    intercept = float(b.mean() - gradient * a.mean())
    if len(a) < 3:
        return Line(intercept, gradient, None, len(a))
    from scipy.special import stdtrit

    rest = b - intercept - gradient * a
    deviation = np.sqrt((rest**2).sum() / (len(a) - 2) / ((a - a.mean()) ** 2).sum())
    return Line(intercept, gradient, float(stdtrit(len(a) - 2, 0.5 + level / 2) * deviation), len(a))
