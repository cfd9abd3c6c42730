"""Over all data sets and detectors: how likely a method is better, and by how much (Agarwal et al., NeurIPS 2021).

Few seeds at many places say together what each says badly alone. Every replicate of the bootstrap draws, within each
place, seeds and weights of the test images anew (stratified: no place takes the place of another).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.analysis import measures
from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.differences import primary_metric
from assignbench.analysis.estimates import LEVEL, POPULATIONS, Floats
from assignbench.analysis.pairs import Pair, pairs_of
from assignbench.analysis.parts import Key, by_method
from assignbench.analysis.result import Result

DRAWS = 2000
LEAST_PLACES = 2
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """A measure of the seeds [S] of a method at a place, and of the seeds that every replicate drew [B, S']."""

    values: Floats
    drawn: Floats


def draw(values: Floats, replicates: Floats, images: Ints, generator: np.random.Generator) -> Drawn:
    """Of `values` [S] and `replicates` [R, S]: every draw takes the images' row `images` [B] and S - 1 seeds, with
    replacement.

    One seed less than there are makes the variance of the mean what it is for other seeds (Rao and Wu 1988): S of S
    give two thirds of it with three seeds. A single seed is always drawn.
    """
    seeds = len(values)
    chosen = generator.integers(seeds, size=(len(images), max(1, seeds - 1)))
    return Drawn(values, replicates[images[:, None], chosen])


def probability(ours: Floats, theirs: Floats) -> Floats:
    """How often a seed of ours [..., S] beats one of theirs [..., K], over all pairs of them; ties count half."""
    a, b = ours[..., :, None], theirs[..., None, :]
    return np.asarray(((a > b) + 0.5 * (a == b)).mean(axis=(-2, -1)))


def middle_mean(values: Floats) -> Floats:
    """The mean of the middle half [...] of values [..., N] (interquartile mean): a quarter is left out at each end."""
    count = values.shape[-1]
    cut = count // 4
    return np.asarray(np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1))


def interval(drawn: Floats, observed: float | None = None) -> tuple[float, float]:
    """The percentile interval of replicates [B], moved to the observed value where one is given."""
    shift = 0.0 if observed is None else observed - float(drawn.mean())
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low) + shift, float(high) + shift


class Bootstrap:
    """The draws of a study: the same images for all cells of a data set, the same seeds for both sides of a gain."""

    def __init__(self, measure: str) -> None:
        self.measure = measure
        self._images: dict[str, Ints] = {}

    def of(self, cells: Sequence[CellData], data: str, stream: int) -> Drawn:
        """The draws of some cells of one method; cells of one number and stream are drawn alike."""
        values = np.asarray([measures.measured(c, self.measure) for c in cells], float)
        replicates = np.stack([measures.replicated(c, self.measure) for c in cells], axis=1)
        return draw(values, replicates, self.images(data), np.random.default_rng([29, stream]))

    def images(self, data: str) -> Ints:
        """Which of the images' replicates every draw takes."""
        if data not in self._images:
            generator = np.random.default_rng([31, len(self._images)])
            self._images[data] = generator.integers(measures.REPLICATES, size=DRAWS)
        return self._images[data]


@analysis(
    "summary",
    title="Over all data sets and detectors",
    question="Is a method better wherever it is trained, and by how much?",
    definition=(
        "Only where a method meets its baseline at two places (data set and detector) or more. gain: paired by seed, "
        "mean over places; middle gain: mean of the middle half of the gains of all places and seeds (interquartile "
        "mean), which a single place cannot carry. improvement: how likely a seed of the method beats one of the "
        "baseline (ties half), mean over places: 0.5 is no difference. Per method: mean and middle half of the measure "
        "over the places that all methods of the table have. low, high: 95 % interval of a bootstrap (2000 replicates) "
        "that draws within each place one seed less than there are, with replacement, and the weights of its test "
        "images; as good as the places are many. seeds: the least number at a place. No verdicts stand here."
    ),
    paper="Agarwal et al., NeurIPS 2021 (rliable)",
)
def summary(study: StudyRecord) -> list[Result]:
    """Per method the gain over its baseline and the probability of improvement; per method the aggregate."""
    boot = Bootstrap(primary_metric(study))
    gains, methods = comparisons(study, boot), aggregates(study, boot)
    points = {n: "AP" for n in ("gain", "low", "high", "middle_gain", "middle_low", "middle_high")}
    points |= {n: "share" for n in ("improvement", "improvement_low", "improvement_high")}
    totals = {n: "AP" for n in ("mean", "low", "high", "middle", "middle_low", "middle_high")}
    results = [
        Result("summary", f"Gain in {boot.measure} over the places of each pair", gains, points),
        Result("summary.methods", f"{boot.measure} over the places that all methods have", methods, totals),
    ]
    return [r for r in results if len(r.frame)]


def comparisons(study: StudyRecord, boot: Bootstrap) -> pd.DataFrame:
    """One row per method and baseline that meet at two places or more."""
    met: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs_of(study):
        if pair.seeds and np.isfinite(pair.measured(boot.measure, images=False).values).all():
            met.setdefault((pair.method, pair.baseline), []).append(pair)
    rows = []
    for (method, baseline), pairs in met.items():
        if len(pairs) < LEAST_PLACES:
            continue
        gained, better = zip(*(_compared(p, place, boot) for place, p in enumerate(pairs)), strict=True)
        kinds = {p.kind for p in pairs}
        row: dict[str, object] = {
            "method": method,
            "baseline": baseline,
            "pair": kinds.pop() if len(kinds) == 1 else "recipe",
        }
        row |= {"places": len(pairs), "seeds": min(len(p.seeds) for p in pairs)}
        row |= _told("gain", "", gained, _mean_of_places) | _told("middle_gain", "middle_", gained, _middle_of_all)
        row |= {"improvement": float(np.mean([b[0] for b in better]))}
        low, high = interval(np.mean([b[1:] for b in better], axis=0))
        row |= {"improvement_low": low, "improvement_high": high}
        rows.append({**row, "population": POPULATIONS[row["seeds"] != 1, True]})
    return pd.DataFrame(rows)


def _compared(pair: Pair, place: int, boot: Bootstrap) -> tuple[Drawn, Floats]:
    """The gains of a pair, and how likely it is better: observed, then in every draw [1 + B]."""
    seeds = pair.seeds
    ours, theirs = (boot.of([c[s] for s in seeds], pair.data, place) for c in (pair.ours, pair.theirs))
    # Seeds of the two sides are drawn apart here, as two methods' seeds have nothing in common.
    apart = boot.of([pair.theirs[s] for s in seeds], pair.data, 10_000 + place)
    chance = np.r_[probability(ours.values, theirs.values), probability(ours.drawn, apart.drawn)]
    return Drawn(ours.values - theirs.values, ours.drawn - theirs.drawn), chance


def _mean_of_places(parts: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean([p.mean(axis=-1) for p in parts], axis=0))


def _middle_of_all(parts: Sequence[Floats]) -> Floats:
    return middle_mean(np.concatenate(parts, axis=-1))


def _told(
    name: str, prefix: str, parts: Sequence[Drawn], aggregate: Callable[[Sequence[Floats]], Floats]
) -> dict[str, object]:
    """An aggregate over places with its interval."""
    observed = float(aggregate([p.values for p in parts]))
    low, high = interval(aggregate([p.drawn for p in parts]), observed)
    return {name: observed, f"{prefix}low": low, f"{prefix}high": high}


def aggregates(study: StudyRecord, boot: Bootstrap) -> pd.DataFrame:
    """One row per method, over the places where every method has finished cells."""
    cells = by_method(study)
    common = _common(cells)
    if len(common) < LEAST_PLACES:
        return pd.DataFrame()
    rows = []
    for method in dict.fromkeys(k[2] for k in cells):
        mine = [list(cells[(*place, method)].values()) for place in common]
        parts = [boot.of(c, place[0], n) for n, (c, place) in enumerate(zip(mine, common, strict=True))]
        if not all(np.isfinite(p.values).all() for p in parts):
            continue
        least = min(len(c) for c in mine)
        row: dict[str, object] = {"method": method, "places": len(common), "seeds": least}
        row |= _told("mean", "", parts, _mean_of_places) | _told("middle", "middle_", parts, _middle_of_all)
        rows.append({**row, "population": POPULATIONS[least > 1, True]})
    return pd.DataFrame(rows)


def _common(cells: dict[Key, dict[int, CellData]]) -> list[tuple[str, str]]:
    """The places at which every method has finished cells."""
    methods = {k[2] for k in cells}
    places = dict.fromkeys(k[:2] for k in cells)
    return [p for p in places if all((*p, m) in cells for m in methods)]
