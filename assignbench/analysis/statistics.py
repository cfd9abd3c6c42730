"""What a difference between methods is worth: paired Student-t over seeds, corrections, and the image bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from assignbench.analysis.base import StudyRecord, analysis
from assignbench.measure.matching import Matches, average_precision, match, mean_over_classes

LEVEL = 0.95
LEAST_SEEDS = 3
Floats = npt.NDArray[np.float64]


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
    def verdict(self) -> str:
        """ "higher", "lower" or "not resolvable", by whether the interval holds zero."""
        if not self.resolvable or self.half is None or abs(self.mean) <= self.half:
            return "not resolvable"
        return "higher" if self.mean > 0 else "lower"


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of a mean; NaN for no values."""
    array = np.asarray([v for v in values if v is not None and np.isfinite(v)], float)
    n = len(array)
    if n == 0:
        return Interval(float("nan"), None, 0)
    if n == 1:
        return Interval(float(array[0]), None, 1)
    quantile = float(stats.t.ppf(0.5 + level / 2, n - 1))
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
    return float(2 * stats.t.sf(abs(array.mean()) * len(array) ** 0.5 / spread, len(array) - 1))


def holm(p: Sequence[float]) -> Floats:
    """Holm's step-down correction of p values; NaN stays NaN and does not count."""
    values = np.asarray(p, float)
    corrected = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0) if len(order) else []
    return corrected


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Least-squares slope; NaN with fewer than two distinct x."""
    a, b = np.asarray(x, float), np.asarray(y, float)
    usable = np.isfinite(a) & np.isfinite(b)
    a, b = a[usable], b[usable]
    if len(np.unique(a)) < 2:
        return float("nan")
    centred = a - a.mean()
    return float((centred * (b - b.mean())).sum() / (centred**2).sum())


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
    return Line(intercept, gradient, float(stats.t.ppf(0.5 + level / 2, len(a) - 2) * deviation), len(a))


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


def gains(table: pd.DataFrame, study: StudyRecord, value: str = "AP") -> pd.DataFrame:
    """`gain` per cell: `value` minus the baseline's of the same data set, detector, seed and group."""
    baselines = study.baselines()
    base = [baselines.get((d, n)) for d, n in zip(table.data, table.detector, strict=True)]
    groups = [c for c in table.columns if c not in ("method", "seed") and not pd.api.types.is_numeric_dtype(table[c])]
    on = [*groups, "seed"]
    reference = table[table.method == base][[*on, value]].rename(columns={value: "baseline"})
    merged = table[table.method != base].merge(reference, on=on, how="left")
    return merged.assign(gain=merged[value] - merged.baseline)


def bootstrap(matches: Matches, replicates: int, rng: np.random.Generator) -> Floats:
    """AP [R] of images drawn with replacement: the matches are reweighted, nothing is matched again."""
    return mean_over_classes(average_precision(matches, image_draws(len(matches.overlaps.images), replicates, rng)))


def image_draws(images: int, replicates: int, rng: np.random.Generator) -> Floats:
    """How often each image [R, I] is drawn in each replicate."""
    return rng.multinomial(images, np.full(images, 1 / max(images, 1)), size=replicates).astype(np.float64)


REPLICATES = 1000


@analysis(
    "differences",
    title="Differences between methods",
    question="Which differences are real, and how small a one could this study have seen?",
    definition=(
        "Paired difference of each method to the first one of its detector, seed by seed, with the 95 % Student-t "
        "interval over seeds; p by the paired t-test, also after Holm's correction for all comparisons of the table. "
        "A verdict needs three seeds and an interval that leaves out zero. Smallest resolvable: the half-width of the "
        "interval. The bootstrap resamples test images (1000 replicates, by reweighting the matches) of the first "
        "seed's pair: it describes how much that one trained pair's difference hangs on the images, not on training."
    ),
)
def differences(study: StudyRecord) -> dict[str, pd.DataFrame]:
    """Per data set, detector, method and metric: difference, half, n, p, p_holm, verdict; and the bootstrap."""
    metrics = ("AP", "AP50", "AP75")
    rows = [{**c.keys, "metric": m, "value": c.cell.summary.get(m)} for c in study.data() for m in metrics]
    if not rows:
        return {}
    table = pd.DataFrame(rows)
    table["value"] = table.value.astype(float)
    paired = gains(table, study, "value")
    found = []
    for key, group in paired.groupby(["data", "detector", "metric", "method"], sort=False):
        interval = t_interval(group.gain.tolist())
        row = dict(zip(("data", "detector", "metric", "method"), key, strict=True))
        row |= {"difference": interval.mean, "half": np.nan if interval.half is None else interval.half}
        row |= {"n": interval.n, "p": paired_p(group.gain.tolist()), "verdict": interval.verdict}
        found.append(row)
    result = pd.DataFrame(found)
    if len(result):
        result.insert(result.columns.get_loc("verdict"), "p_holm", holm(result.p.tolist()))
        result["verdict_corrected"] = np.where(result.p_holm < 1 - LEVEL, result.verdict, "not resolvable")
    return {"Paired differences over seeds": result, "One trained pair, test images resampled": _bootstrapped(study)}


def _bootstrapped(study: StudyRecord) -> pd.DataFrame:
    """AP difference of each method to the baseline for the first seed, with its percentile interval over images."""
    cells = study.data()
    if not cells:
        return pd.DataFrame()
    first = min(c.keys["seed"] for c in cells)
    baselines, drawn, rows = study.baselines(), {}, []
    counts = pd.Series([(c.keys["data"], c.keys["detector"]) for c in cells if c.keys["seed"] == first]).value_counts()
    for cell in (c for c in cells if c.keys["seed"] == first):
        if counts[(cell.keys["data"], cell.keys["detector"])] < 2:
            continue  # nothing to compare with
        # The same draws for all methods of a data set: the replicates are paired.
        rng = np.random.default_rng([17, len(cell.images)])
        place = (cell.keys["data"], cell.keys["detector"], cell.keys["method"])
        drawn[place] = bootstrap(match(cell.overlaps), REPLICATES, rng)
    for (data, detector, method), values in drawn.items():
        base = baselines[data, detector]
        if method != base and (data, detector, base) in drawn:
            gap = values - drawn[data, detector, base]
            low, high = np.percentile(gap, [2.5, 97.5])
            row = {"data": data, "detector": detector, "method": method, "images": "one pair, seed " + str(first)}
            rows.append({**row, "difference": float(gap.mean()), "low": float(low), "high": float(high)})
    return pd.DataFrame(rows)
