"""Does the divergence of a method tell its AP? Methods are the units: the cells of one are no independent witnesses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assignbench.analysis.base import StudyRecord
from assignbench.analysis.measures import measured

LEAST_METHODS = 6
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Prediction:
    """Spearman's correlation over methods of mean divergence and mean measure at a data set and detector."""

    data: str
    detector: str
    methods: int
    correlation: float
    p: float
    untestable: str = ""


def predictions(study: StudyRecord, measure: str) -> list[Prediction]:
    """One per data set and detector, also where too few methods were trained to tell."""
    found = []
    for data, detector in study.places:
        values: dict[str, list[tuple[float, float]]] = {}
        for cell in study.data():
            if (cell.keys["data"], cell.keys["detector"]) == (data, detector):
                both = (measured(cell, "spearman"), measured(cell, measure))
                if np.isfinite(both).all():
                    values.setdefault(cell.keys["method"], []).append(both)
        found.append(
            _prediction(data, detector, np.array([np.mean(v, axis=0) for v in values.values()]).reshape(-1, 2))
        )
    return found


def _prediction(data: str, detector: str, means: np.ndarray) -> Prediction:
    count = len(means)
    if count < LEAST_METHODS:
        told = f"{count} method{'s' * (count != 1)} with recorded candidates"
        reason = f"{told}; {LEAST_METHODS} are needed, since methods are the units"
        return Prediction(data, detector, count, float("nan"), float("nan"), reason)
    if len(np.unique(means[:, 0])) < 2 or len(np.unique(means[:, 1])) < 2:
        return Prediction(data, detector, count, float("nan"), float("nan"), "one of the two never varies")
    correlation, p = permutation(means[:, 0], means[:, 1])
    return Prediction(data, detector, count, correlation, p)


def permutation(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Spearman's correlation, and its two-sided p when y is dealt out to x at random (10,000 times, fixed seed)."""
    from scipy.stats import rankdata  # takes a second to load

    a, b = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    dealt = np.random.default_rng(19).permuted(np.tile(b, (PERMUTATIONS, 1)), axis=1) @ a / scale
    own = float(a @ b) / scale
    return own, float((1 + (np.abs(dealt) >= abs(own) - 1e-12).sum()) / (1 + PERMUTATIONS))
