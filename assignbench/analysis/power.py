"""How many seeds a study needs: from measured spreads of paired differences to the power of a study not yet run.

More seeds lower what training puts on a difference, never what the test images put on all of them alike: where this
alone hides a difference, only more test images help. They also lower what images put on each seed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from assignbench.analysis.estimates import LEAST_SEEDS, POWER, Estimate, Floats, Source, power_of, smallest_of
from assignbench.analysis.measures import REPLICATES
from assignbench.analysis.moderation import lent, pooled_freedom

MOST_SEEDS = 200  # what is looked through; a study that needs more is told so
MOST_IMAGES = 10_000_000


@dataclass(frozen=True)
class Spread:
    """What paired differences on a data set vary by, in the unit of their measure.

    `seeds` is the deviation of one seed's difference over trainings, known by `freedom` degrees of freedom;
    `interaction` the part of it that the test images put on each seed anew; `images` the deviation of a mean difference
    over test sets of `tested` images; `prior` the degrees of freedom by which the variances of the pairs agree
    (infinite: all alike).
    """

    seeds: float
    images: float
    tested: float
    freedom: float
    interaction: float = 0.0
    prior: float = float("inf")

    def on(self, images: float) -> Spread:
        """The same on test sets of so many images of the same kind: what images do falls with their number."""
        share = self.tested / images
        moved = min(self.interaction, self.seeds) ** 2
        return replace(
            self,
            seeds=(self.seeds**2 - moved + moved * share) ** 0.5,
            images=self.images * share**0.5,
            interaction=(moved * share) ** 0.5,
            tested=images,
        )

    @property
    def seeds_range(self) -> tuple[float, float]:
        """95 % interval of `seeds`: a few pairs of a few seeds say little of their own spread."""
        from scipy.special import gammaincinv  # scipy.stats takes a second to load

        low, high = (2 * float(gammaincinv(self.freedom / 2, share)) for share in (0.975, 0.025))
        return self.seeds * (self.freedom / low) ** 0.5, self.seeds * (self.freedom / high) ** 0.5


@dataclass(frozen=True)
class Comparisons:
    """What a study compares: a name for each pair on the data set, the same for pairs that hang together
    (`moderation.related`), since their variances are moderated together; and of how many tests a verdict is corrected.
    """

    shared: tuple[Hashable, ...]
    tests: int = 1


def sources_of(spread: Spread, seeds: int, asked: Comparisons) -> list[Source]:
    """The errors of a difference in a study of so many seeds, with the degrees of freedom that it will know them by."""
    own = float(seeds - 1)
    most = pooled_freedom(np.full(len(asked.shared), own), asked.shared)
    freedom = max(min(lent(spread.prior, len(asked.shared)) + own, most), own)
    return [Source(spread.seeds / seeds**0.5, freedom), _of_images(spread)]


def _of_images(spread: Spread) -> Source:
    """What the test images put on a mean difference, known as the analysis will know it: by its replicates, and by no
    more images than there are.
    """
    return Source(spread.images, max(1.0, min(REPLICATES, spread.tested) - 1.0))


def power(spread: Spread, difference: float, seeds: int, asked: Comparisons) -> float:
    """The share of such studies that resolves a true difference of so much."""
    return power_of(sources_of(spread, seeds, asked), difference, asked.tests)


def smallest(spread: Spread, seeds: int, asked: Comparisons) -> float:
    """The smallest true difference that 80 % of such studies resolve."""
    return smallest_of(sources_of(spread, seeds, asked), asked.tests)


def floor(spread: Spread, asked: Comparisons) -> float:
    """The same with any number of seeds: what the test images alone hide."""
    return smallest_of([_of_images(spread)], asked.tests)


@dataclass(frozen=True)
class Need:
    """What resolves a difference in 80 % of studies.

    `seeds`: on the test images that there are; None where no number up to MOST_SEEDS does, and `bounded` says whether
    the images alone hide it, so that no number at all would. Then `images` is a number of test images with which
    `with_seeds` seeds do; both None where that many seeds do not with any number of images.
    """

    seeds: int | None
    bounded: bool = False
    images: int | None = None
    with_seeds: int | None = None


def need(spread: Spread, difference: float, asked: Comparisons) -> Need:
    """The seeds that a difference needs, or the images where these bound it.

    The remedy has twice the seeds that endless images would need, so that seeds and images hide about alike.
    """
    found = _first(LEAST_SEEDS, MOST_SEEDS, lambda n: power(spread, difference, n, asked))
    if found is not None:
        return Need(found)
    bounded = floor(spread, asked) > difference
    endless = spread.on(float("inf"))
    alone = _first(LEAST_SEEDS, MOST_SEEDS, lambda n: power(endless, difference, n, asked))
    if alone is None:
        return Need(None, bounded)
    seeds = min(2 * alone, MOST_SEEDS)
    images = _first(round(spread.tested), MOST_IMAGES, lambda count: power(spread.on(count), difference, seeds, asked))
    return Need(None, bounded, images, seeds if images else None)


def smallest_told(alone: Sequence[float], corrected: Sequence[float], measure: str) -> str:
    """A sentence on the smallest differences [K] that a table's rows resolve, alone and corrected; "" if none do."""
    known = 100 * np.asarray(alone, float)[np.isfinite(alone)]
    if not len(known):
        return ""
    after = 100 * np.asarray(corrected, float)[np.isfinite(corrected)]
    return (
        f"Smallest difference in {measure} that such a study resolves in 80 % of its runs: {_range(known)} points; "
        f"after correction, where it is the only one: {_range(after)}."
    )


def resolved_told(found: Iterable[object], measure: str) -> str:
    """The same of a table's estimates (what is none is passed over): from that of its narrowest interval to that of the
    widest, corrected for all of them; "" where none resolves anything.
    """
    tested = [e for e in found if isinstance(e, Estimate) and e.resolvable]
    ends = ends_of(tested)
    return smallest_told([e.detectable for e in ends], [e.detectable_among(len(tested)) for e in ends], measure)


def ends_of(tested: Sequence[Estimate]) -> list[Estimate]:
    """Those of the narrowest and of the widest interval: the others lie between, and each takes a search."""
    known = sorted((e for e in tested if e.resolvable and np.isfinite(e.half)), key=lambda e: e.half)
    return [known[0], known[-1]] if known else []


def smallest_values_told(tests: pd.DataFrame) -> tuple[str, ...]:
    """The same of a table of tests with `detectable`, counted in its `unit`: one sentence, none without any."""
    known = tests[np.isfinite(tests.detectable)]
    told = [f"{_range(rows.to_numpy())} {unit}" for unit, rows in known.groupby("unit", sort=False).detectable]
    sentence = "Smallest values that such a study resolves in 80 % of its runs, before correction: "
    return (sentence + "; ".join(told) + ".",) if told else ()


def _range(values: Floats) -> str:
    """From the smallest to the largest, as printed."""
    low, high = (f"{v:.1f}" if values.max() >= 0.1 else f"{v:.3f}" for v in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _first(least: int, most: int, share: Callable[[int], float]) -> int | None:
    """The smallest number from `least` to `most` at which a share that grows with it reaches POWER; None if none."""
    if share(least) >= POWER:
        return least
    below, step = least, 1
    while share(min(below + step, most)) < POWER:
        if below + step >= most:
            return None
        below, step = below + step, 2 * step
    above = min(below + step, most)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if share(middle) >= POWER else (middle, above)
    return above
