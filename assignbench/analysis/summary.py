"""Over all data sets and detectors: how likely a method is better, and by how much (Agarwal et al., NeurIPS 2021).

Few seeds at many places say together what each says badly alone. Every replicate of the bootstrap draws, within each
place, seeds and a replicate of the test images anew (stratified: no place takes the place of another).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """A measure of the seeds [S] of a method at a place, and of the seeds that every replicate drew [B, S'].

    `still`: the same of all seeds [B, S], where the images alone were drawn.
    """

    values: Floats
    drawn: Floats
    still: Floats


def draw(values: Floats, replicates: Floats, images: Ints, generator: np.random.Generator) -> Drawn:
    """Of `values` [S] and `replicates` [R, S]: every draw takes the images' row `images` [B] and S - 1 seeds, with
    replacement.

    One seed less than there are makes the variance of the mean what it is for other seeds (Rao and Wu 1988): S of S
    give two thirds of it with three seeds. A single seed is always drawn.
    """
    seeds = len(values)
    chosen = generator.integers(seeds, size=(len(images), max(1, seeds - 1)))
    return Drawn(values, replicates[images[:, None], chosen], replicates[images])


def probability(ours: Floats, theirs: Floats) -> Floats:
    """How often a seed of ours [..., S] beats one of theirs [..., K], over all pairs of them; ties count half."""
    a, b = ours[..., :, None], theirs[..., None, :]
    return np.asarray(((a > b) + 0.5 * (a == b)).mean(axis=(-2, -1)))


def middle_mean(values: Floats) -> Floats:
    """The mean of the middle half [...] of values [..., N] (interquartile mean): a quarter is left out at each end."""
    count = values.shape[-1]
    cut = count // 4
    return np.asarray(np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1))


@dataclass(frozen=True)
class Spread:
    """An aggregate in every draw [B], and in those of the images alone [B]; `freedom`: by how many degrees of freedom
    the seeds tell of others, all places together.
    """

    drawn: Floats
    still: Floats
    freedom: int

    def interval(self, observed: float) -> tuple[float, float]:
        """The 95 % interval around what was observed: Student's t with the draws' deviation.

        Their percentiles are too narrow where places and seeds are few: two places of three seeds are covered in 85 %
        of studies by them and in 95 % so. The degrees of freedom are those of seeds and images, each by its part of
        the variance (Satterthwaite).
        """
        from scipy.special import stdtrit  # scipy.stats takes a second to load

        variance, of_images = float(self.drawn.var(ddof=1)), float(self.still.var(ddof=1))
        of_seeds = max(variance - of_images, 0.0) if self.freedom else 0.0
        known = of_images**2 / (measures.REPLICATES - 1) + (of_seeds**2 / self.freedom if self.freedom else 0.0)
        freedom = (of_seeds + of_images) ** 2 / known if known > 0 else 1.0
        half = -float(stdtrit(freedom, (1 - LEVEL) / 2)) * variance**0.5
        return observed - half, observed + half


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
        "over the places that all methods of the table have; a method that has too few of them is named with the "
        "reason. low, high: 95 % interval by Student's t with the deviation of a bootstrap (2000 replicates) that "
        "draws within each place one seed less than there are, with replacement, and a replicate of its test images. "
        "seeds: the least number at a place. No verdicts stand here."
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
    """One row per method and baseline, with the reason where they do not meet at two places or more; none in a study
    in which no pair does.
    """
    asked: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs_of(study):
        asked.setdefault((pair.method, pair.baseline), []).append(pair)
    met = {key: [p for p in pairs if _known(p, boot.measure)] for key, pairs in asked.items()}
    if not any(len(pairs) >= LEAST_PLACES for pairs in met.values()):
        return pd.DataFrame()
    rows = []
    for (method, baseline), pairs in met.items():
        kinds = {p.kind for p in pairs or asked[method, baseline]}
        kind = kinds.pop() if len(kinds) == 1 else "recipe"
        row: dict[str, object] = {"method": method, "baseline": baseline, "pair": kind, "metric": boot.measure}
        row["places"] = len(pairs)
        rows.append({**row, **_gain_of(pairs, boot), "reason": _too_few(asked[method, baseline], pairs)})
    return pd.DataFrame(rows)


def _known(pair: Pair, measure: str) -> bool:
    """Whether the two meet at the place of a pair, and have the measure there."""
    return bool(pair.seeds) and bool(np.isfinite(pair.measured(measure, images=False).values).all())


def _too_few(asked: Sequence[Pair], met: Sequence[Pair]) -> str:
    """Why nothing is said of a pair; "" where something is. Places that are left out are named too."""
    lost = [f"{p.detector} on {p.data}" for p in asked if p not in met]
    without = f"without {', '.join(lost)}" if lost else ""
    if len(met) >= LEAST_PLACES:
        return without
    told = "the two meet at one place" if met else "the two meet nowhere"
    return f"{told}, {without}" if without else told


def _gain_of(pairs: Sequence[Pair], boot: Bootstrap) -> dict[str, object]:
    """What is said of the gain at these places; nothing where they are too few."""
    if len(pairs) < LEAST_PLACES:
        return {"seeds": min((len(p.seeds) for p in pairs), default=0), "population": ""}
    gained, better = zip(*(_compared(p, place, boot) for place, p in enumerate(pairs)), strict=True)
    row: dict[str, object] = {"seeds": min(len(p.seeds) for p in pairs)}
    row |= _told("gain", "", gained, _mean_of_places) | _told("middle_gain", "middle_", gained, _middle_of_all)
    told = _told("improvement", "improvement_", better, _mean_of_places)
    row |= {name: float(np.clip(value, 0, 1)) for name, value in told.items()}
    return {**row, "population": POPULATIONS[row["seeds"] != 1, True]}


def _compared(pair: Pair, place: int, boot: Bootstrap) -> tuple[Drawn, Drawn]:
    """The gains of a pair, and how likely it is better [..., 1]."""
    seeds = pair.seeds
    ours, theirs = (boot.of([c[s] for s in seeds], pair.data, place) for c in (pair.ours, pair.theirs))
    # Seeds of the two sides are drawn apart here, as two methods' seeds have nothing in common.
    apart = boot.of([pair.theirs[s] for s in seeds], pair.data, 10_000 + place)
    gained = Drawn(ours.values - theirs.values, ours.drawn - theirs.drawn, ours.still - theirs.still)
    # As many degrees of freedom as the seeds have, of which `_told` is told by their number.
    sides = ((ours.values, theirs.values), (ours.drawn, apart.drawn), (ours.still, theirs.still))
    observed, drawn, still = (probability(a, b)[..., None] for a, b in sides)
    return gained, Drawn(np.repeat(observed, len(seeds)), drawn, still)


def _mean_of_places(parts: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean([p.mean(axis=-1) for p in parts], axis=0))


def _middle_of_all(parts: Sequence[Floats]) -> Floats:
    return middle_mean(np.concatenate(parts, axis=-1))


def _told(
    name: str, prefix: str, parts: Sequence[Drawn], aggregate: Callable[[Sequence[Floats]], Floats]
) -> dict[str, float]:
    """An aggregate over places with its interval."""
    observed = float(aggregate([p.values for p in parts]))
    freedom = sum(len(p.values) - 1 for p in parts)
    spread = Spread(aggregate([p.drawn for p in parts]), aggregate([p.still for p in parts]), freedom)
    low, high = spread.interval(observed)
    return {name: observed, f"{prefix}low": low, f"{prefix}high": high}


def aggregates(study: StudyRecord, boot: Bootstrap) -> pd.DataFrame:
    """One row per method, over the places that all of them have, with the reason for a method that lacks some."""
    cells = by_method(study)
    asked = list(dict.fromkeys(method for _, _, method in study.grid.values()))
    methods, common = _common(cells, asked)
    if len(common) < LEAST_PLACES:
        return pd.DataFrame()
    rows: list[dict[str, object]] = []
    row: dict[str, object]
    for method in asked:
        if method not in methods:
            there = [len(cells[(*p, method)]) for p in common if (*p, method) in cells]
            row = {"method": method, "metric": boot.measure, "places": len(there), "seeds": min(there, default=0)}
            rows.append({**row, "population": "", "reason": _absent(cells, method, common)})
            continue
        mine = [list(cells[(*place, method)].values()) for place in common]
        parts = [boot.of(c, place[0], n) for n, (c, place) in enumerate(zip(mine, common, strict=True))]
        least = min(len(c) for c in mine)
        row = {"method": method, "metric": boot.measure, "places": len(common), "seeds": least}
        if not all(np.isfinite(p.values).all() for p in parts):
            rows.append({**row, "population": "", "reason": f"{boot.measure} was not recorded everywhere"})
            continue
        row |= _told("mean", "", parts, _mean_of_places) | _told("middle", "middle_", parts, _middle_of_all)
        rows.append({**row, "population": POPULATIONS[least > 1, True], "reason": ""})
    return pd.DataFrame(rows)


def _absent(cells: Mapping[Key, object], method: str, common: Sequence[tuple[str, str]]) -> str:
    """Where a method is not, of the places over which the others are compared."""
    return f"no finished cell on {', '.join(f'{d} at {n}' for d, n in common if (d, n, method) not in cells)}"


def _common(
    cells: Mapping[Key, Mapping[int, CellData]], asked: Sequence[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """The methods that are compared, and the places that they have in common: all methods, or without those that have
    the fewest places, one after the other, until two places are left.
    """
    places = list(dict.fromkeys(k[:2] for k in cells))
    methods = list(asked)
    while methods:
        common = [p for p in places if all((*p, m) in cells for m in methods)]
        if len(common) >= LEAST_PLACES:
            return methods, common
        methods.remove(min(reversed(methods), key=lambda m: sum((*p, m) in cells for p in places)))
    return [], []
