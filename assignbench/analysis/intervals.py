"""The mathematics of verdicts: Student-t over seeds, Holm, slopes and trends, bootstrap and jackknife over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.measure.matching import Matches, average_precision, mean_over_classes

LEVEL = 0.95
LEAST_SEEDS = 3
Floats = npt.NDArray[np.float64]


def _student() -> Any:
    """Student's t, loaded when it is needed: scipy.stats takes a second, which a command that refuses has not."""
    from scipy import stats

    return stats.t


@dataclass(frozen=True)
class Interval:
    """Mean of n values with the half-width of its two-sided t-interval (None below two values)."""

    mean: float
    half: float | None
    n: int

    @property
    def resolvable(self) -> bool:
        """Whether a verdict may rest on it: three values at least."""
        return self.n >= LEAST_SEEDS and self.half is not None

    @property
    def half_or_nan(self) -> float:
        """The half-width as a table's number: NaN below two values."""
        return float("nan") if self.half is None else self.half


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of a mean; NaN for no values."""
    array = np.asarray([v for v in values if v is not None and np.isfinite(v)], float)
    n = len(array)
    if n == 0:
        return Interval(float("nan"), None, 0)
    if n == 1:
        return Interval(float(array[0]), None, 1)
    quantile = float(_student().ppf(0.5 + level / 2, n - 1))
    return Interval(float(array.mean()), quantile * float(array.std(ddof=1)) / n**0.5, n)


def paired_interval(ours: Sequence[float], theirs: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of the mean of ours minus theirs, seed by seed; pairs with a missing side are left out."""
    return t_interval((np.asarray(ours, float) - np.asarray(theirs, float)).tolist(), level)


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of the paired t-test; NaN below three pairs, 0 or 1 where all pairs agree."""
    array = np.asarray([v for v in differences if np.isfinite(v)], float)
    if len(array) < LEAST_SEEDS:
        return float("nan")
    spread = array.std(ddof=1)
    if spread == 0:
        return 1.0 if array[0] == 0 else 0.0
    return float(2 * _student().sf(abs(array.mean()) * len(array) ** 0.5 / spread, len(array) - 1))


def holm(p: Sequence[float]) -> Floats:
    """Holm's step-down correction of p values; NaN stays NaN and does not count."""
    values = np.asarray(p, float)
    corrected = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0) if len(order) else []
    return corrected


def decided(mean: float, p_holm: float, level: float = LEVEL) -> str:
    """ "higher", "lower" or "not resolvable": the verdict after Holm's correction, the only one for a headline.

    A p that is NaN (fewer than three seeds) resolves nothing.
    """
    if not p_holm < 1 - level or mean == 0:
        return "not resolvable"
    return "higher" if mean > 0 else "lower"


def with_verdicts(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """The table with `p_holm` and `verdict` behind its column `p`, corrected over all its rows: one family."""
    corrected = holm(table.p.tolist())
    verdicts = [decided(m, p) for m, p in zip(table[value], corrected, strict=True)]
    return table.assign(p_holm=corrected, verdict=verdicts)


def slope(x: Sequence[float], y: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Least-squares slope, each point with its weight (1 by default); NaN with fewer than two distinct x."""
    a, b = np.asarray(x, float), np.asarray(y, float)
    w = np.ones(len(a)) if weights is None else np.asarray(weights, float)
    usable = np.isfinite(a) & np.isfinite(b) & (w > 0)
    a, b, w = a[usable], b[usable], w[usable]
    if len(np.unique(a)) < 2:
        return float("nan")
    w = w / w.sum()
    centred = a - (w * a).sum()
    return float((w * centred * (b - (w * b).sum())).sum() / (w * centred**2).sum())


@dataclass(frozen=True)
class Line:
    """A fitted line with the interval of its slope over the points (not over seeds)."""

    intercept: float
    slope: float
    half: float | None
    n: int


def fitted_line(x: Sequence[float], y: Sequence[float], level: float = LEVEL) -> Line:
    """The least-squares line through points; `half` needs three of them."""
    a, b = np.asarray(x, float), np.asarray(y, float)
    usable = np.isfinite(a) & np.isfinite(b)
    a, b = a[usable], b[usable]
    gradient = slope(a.tolist(), b.tolist())
    if not np.isfinite(gradient):
        return Line(float("nan"), float("nan"), None, len(a))
    intercept = float(b.mean() - gradient * a.mean())
    if len(a) < 3:
        return Line(intercept, gradient, None, len(a))
    rest = b - intercept - gradient * a
    deviation = np.sqrt((rest**2).sum() / (len(a) - 2) / ((a - a.mean()) ** 2).sum())
    return Line(intercept, gradient, float(_student().ppf(0.5 + level / 2, len(a) - 2) * deviation), len(a))


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """A tidy per-cell table averaged over `seed`: columns X become X and X_half; n says how many seeds."""
    values = [c for c in table.columns if c != "seed" and pd.api.types.is_float_dtype(table[c])]
    counts = [c for c in table.columns if c != "seed" and pd.api.types.is_integer_dtype(table[c])]
    keys = [c for c in table.columns if c not in ("seed", *values, *counts)]
    rows = []
    for key, group in table.groupby(keys, sort=False, observed=True, dropna=False):
        row = dict(zip(keys, key if isinstance(key, tuple) else (key,), strict=True))
        row |= {c: round(float(group[c].mean()), 1) for c in counts}
        for name in values:
            interval = t_interval(group[name].tolist())
            row |= {name: interval.mean, f"{name}_half": np.nan if interval.half is None else interval.half}
        rows.append({**row, "n": group.seed.nunique()})
    return pd.DataFrame(rows)


def bootstrap(matches: Matches, replicates: int, rng: np.random.Generator) -> Floats:
    """AP [R] of images drawn with replacement: the matches are reweighted, nothing is matched again."""
    return mean_over_classes(average_precision(matches, image_draws(len(matches.overlaps.images), replicates, rng)))


def image_draws(images: int, replicates: int, rng: np.random.Generator) -> Floats:
    """How often each image [R, I] is drawn in each replicate."""
    return rng.multinomial(images, np.full(images, 1 / max(images, 1)), size=replicates).astype(np.float64)


FOLDS = 20


def fold_weights(images: int, folds: int = FOLDS) -> Floats:
    """Weights [F + 1, I] of images: all of them, then all but one fold each (every F-th image, by place)."""
    count = min(folds, images)
    place = np.arange(images) % max(count, 1)
    return np.concatenate([np.ones((1, images)), (place[None] != np.arange(count)[:, None]).astype(np.float64)])


def jackknife_variance(left_out: Floats) -> float:
    """Variance over test images of a value, from the values [F] with one fold left out; NaN below two folds."""
    count = len(left_out)
    if count < 2:
        return float("nan")
    return float((count - 1) / count * np.square(left_out - left_out.mean()).sum())


def combined_interval(
    values: Sequence[float], image_variance: float, folds: int = FOLDS, level: float = LEVEL
) -> Interval:
    """The interval of a mean over seeds for other seeds *and* other test images; the half is None below two seeds.

    half = t * sqrt(s^2 / n + Var), with the deviation s over n seeds and the variance over images of the mean (from so
    many folds), and Welch-Satterthwaite's degrees of freedom. A few seeds that happen to agree can then not make a
    verdict, and neither can what is peculiar to these images.
    """
    seeds = t_interval(values, level)
    if seeds.half is None:
        return seeds
    error, freedom = _combined(np.asarray(values, float), image_variance, folds)
    return Interval(seeds.mean, float(_student().ppf(0.5 + level / 2, freedom) * error), seeds.n)


def combined_p(values: Sequence[float], image_variance: float, folds: int = FOLDS) -> float:
    """Two-sided p of the combined interval; NaN below three seeds or where the images' variance is not known."""
    array = np.asarray([v for v in values if np.isfinite(v)], float)
    if len(array) < LEAST_SEEDS or not np.isfinite(image_variance):
        return float("nan")
    error, freedom = _combined(array, image_variance, folds)
    if error == 0:
        return 1.0 if array[0] == 0 else 0.0
    return float(2 * _student().sf(abs(array.mean()) / error, freedom))


def _combined(values: Floats, image_variance: float, folds: int) -> tuple[float, float]:
    """Standard error of the mean over seeds and images, and its degrees of freedom (Satterthwaite)."""
    values = values[np.isfinite(values)]
    of_seeds = float(values.var(ddof=1)) / len(values)
    total = of_seeds + image_variance
    if not total > 0:
        return total, float(len(values) - 1)
    parts = of_seeds**2 / (len(values) - 1) + image_variance**2 / max(folds - 1, 1)
    return total**0.5, total**2 / parts


@dataclass(frozen=True)
class Trend:
    """The slope of a gain over groups: its interval, p, and the slope of every seed."""

    interval: Interval
    p: float
    slopes: tuple[float, ...]


def trend(middles: Floats, gained: Floats, objects: Floats) -> Trend:
    """How the gain changes over groups, from gains [S, F + 1, G] of seeds, image folds (`fold_weights`) and groups.

    Each seed's slope of the gain over the groups' `middles` [G] is fitted with the groups' numbers of `objects` [G] as
    weights, since the AP of a small group is a rough one, and biased where it holds a handful of objects. The interval
    speaks for other seeds and other images (`combined_interval`): what the methods do on *these* objects again and
    again would otherwise pass for a trend (12 % false ones in simulation with objects that suit one method or the
    other, by the interval over seeds alone).
    """
    slopes = np.array([[slope(middles, row, objects) for row in seed] for seed in gained])  # type: ignore[arg-type]
    if not slopes.size:
        return Trend(Interval(float("nan"), None, 0), float("nan"), ())
    own, folds = slopes[:, 0].tolist(), slopes.shape[1] - 1
    variance = jackknife_variance(slopes[:, 1:].mean(axis=0)) if folds > 1 else float("nan")
    return Trend(combined_interval(own, variance, folds), combined_p(own, variance, folds), tuple(own))
