"""Lines through points: least-squares slopes, weighted or with the error that the points' scatter gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Values = Sequence[float] | Floats
ALONE = 1e-9  # share of a point that the others fit: one that decides the slope alone has none


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
    """A least-squares line through points, and the standard error that the points' scatter puts on its slope."""

    intercept: float
    slope: float
    error: float
    freedom: float


def fitted_line(x: Values, y: Values) -> Line:
    """The line through three points or more; the error is HC3 (MacKinnon and White 1985).

    Points may scatter unlike much (a category of few images lies anywhere), and one far out pulls the line towards
    itself: each squared residual counts as if its point had not been fitted. NaN with fewer than two distinct x.
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    gradient, freedom = float(slope(a, b)), len(a) - 2.0
    if not np.isfinite(gradient):
        return Line(float("nan"), float("nan"), float("nan"), freedom)
    centred = a - a.mean()
    spread = float(centred @ centred)
    intercept = float(b.mean() - gradient * a.mean())
    left_out = (b - intercept - gradient * a) / np.maximum(1 - 1 / len(a) - centred**2 / spread, ALONE)
    return Line(intercept, gradient, float(np.sqrt(((centred * left_out) ** 2).sum())) / spread, freedom)
