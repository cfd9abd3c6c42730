"""What a paired difference is worth: an estimate with the two sources of its error, apart and together.

Training: a method trained again with another seed gives another number. Test images: another draw of images does too,
and more seeds do not help against it. An interval over seeds speaks for these test images alone; the combined one, on
which verdicts rest, speaks for other seeds *and* other images of the same population.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from assignbench.analysis.moderation import moderated

LEVEL = 0.95
ALPHA = 0.05  # a verdict's p lies below it: 1 - LEVEL, which is not 0.05 in floating point
LEAST_SEEDS = 3
POWER = 0.8
LEAST_TAIL = 1e-15  # what is rarer counts as never
Floats = npt.NDArray[np.float64]
# For whom an interval speaks.
POPULATIONS = {
    (True, True): "other seeds and images",
    (True, False): "other seeds, these images",
    (False, True): "other images, these models",
    (False, False): "these models and images",
}


@dataclass(frozen=True)
class Source:
    """The standard error that one source puts on an estimate, and the degrees of freedom that it is known by."""

    error: float
    freedom: float


@dataclass(frozen=True)
class Estimate:
    """A mean over n trained seeds and what is known of its error; a source that is None is not known.

    The quantiles of the two sources are added as squares: half² = (t · s/√n)² + (t · s_images)², each t with its own
    degrees of freedom. With few seeds that is a little wide where both matter alike (97 % for 95 %), and never narrow.
    """

    mean: float
    n: int
    seeds: Source | None = None
    images: Source | None = None

    @property
    def resolvable(self) -> bool:
        """Whether a verdict on methods may rest on it: three seeds at least."""
        return self.n >= LEAST_SEEDS and self.seeds is not None

    @property
    def population(self) -> str:
        """For whom the combined interval speaks."""
        return POPULATIONS[self.seeds is not None, self.images is not None]

    @cached_property
    def half(self) -> float:
        """Half-width of the two-sided 95 % interval of all known sources; NaN where none is known."""
        return self.reach(LEVEL)

    @property
    def seeds_half(self) -> float:
        """The part of the seeds alone: for other trainings on these images."""
        return _reach((self.seeds,), LEVEL)

    @property
    def images_half(self) -> float:
        """The part of the images alone: what other ones put on all trainings alike."""
        return _reach((self.images,), LEVEL)

    def reach(self, level: float) -> float:
        """Half-width of the two-sided interval of a level."""
        return _reach((self.seeds, self.images), level)

    @cached_property
    def p(self) -> float:
        """Two-sided p of "no difference", the one at which the interval just reaches 0; NaN below three seeds."""
        return self.p_of(self.mean) if self.resolvable else float("nan")

    def p_of(self, distance: float) -> float:
        """Two-sided p of an error of so much and more; NaN where no source is known."""
        return min(1.0, 2 * _tail((self.seeds, self.images), abs(distance)))

    def p_within(self, bound: float) -> float:
        """p of "the true difference is not within ±bound": the larger of two one-sided tests; NaN below three seeds."""
        if not self.resolvable:
            return float("nan")
        return self._one_sided(bound - abs(self.mean))

    def p_beyond(self, bound: float) -> float:
        """p of "the true difference is not beyond ±bound" on the side where the mean lies; NaN below three seeds."""
        if not self.resolvable:
            return float("nan")
        return self._one_sided(abs(self.mean) - bound)

    def _one_sided(self, distance: float) -> float:
        tail = _tail((self.seeds, self.images), abs(distance))
        return tail if distance >= 0 else 1 - tail

    def power(self, difference: float, tests: int = 1) -> float:
        """How often a study like this one resolves a true difference of so much, the only one among so many tests that
        are corrected together; NaN below three seeds.
        """
        return power_of(self._likely, difference, tests) if self.resolvable else float("nan")

    @property
    def _likely(self) -> list[Source]:
        """The known sources. A deviation estimated from few seeds is on average too small, which is corrected."""
        return [Source(s.error / _shrinkage(s.freedom), s.freedom) for s in _known((self.seeds, self.images))]

    @cached_property
    def detectable(self) -> float:
        """The smallest true difference that a study like this one resolves in 80 % of its runs (before correction)."""
        return self.detectable_among(1)

    def detectable_among(self, tests: int) -> float:
        """The same after correction for so many tests, of which it is the only true one; NaN below three seeds."""
        return smallest_of(self._likely, tests) if self.resolvable else float("nan")

    @cached_property
    def confirmable(self) -> float:
        """The smallest bound within which such a study confirms in 80 % of its runs that there is no difference, where
        there is none (before correction); NaN below three seeds.
        """
        return smallest_bound_of(self._likely) if self.resolvable else float("nan")


def _shrinkage(freedom: float) -> float:
    """Mean of an estimated deviation over the true one."""
    from scipy.special import gammaln

    if freedom > 1e6:
        return 1.0
    return float(np.sqrt(2 / freedom) * np.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2)))


def _known(sources: Sequence[Source | None]) -> list[Source]:
    return [s for s in sources if s is not None]


def _reach(sources: Sequence[Source | None], level: float) -> float:
    """Half-width of a two-sided interval; NaN where no source is known."""
    known = _known(sources)
    return _beyond(known, 0.5 - level / 2) if known else float("nan")


def _beyond(sources: Sequence[Source], tail: float) -> float:
    """The error that is passed on one side with probability `tail`."""
    from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to load

    quantiles = [ndtri(tail) if np.isinf(s.freedom) else stdtrit(s.freedom, tail) for s in sources]
    return float(np.sqrt(sum((q * s.error) ** 2 for q, s in zip(quantiles, sources, strict=True))))


def _tail(sources: Sequence[Source | None], distance: float) -> float:
    """One-sided p of an error of `distance` or more: the inverse of `_beyond`; 0.5 at 0, NaN if nothing is known."""
    known = _known(sources)
    if not known or not np.isfinite(distance):
        return float("nan")
    if distance == 0:
        return 0.5
    if _beyond(known, LEAST_TAIL) <= distance:  # also where nothing varies
        return 0.0
    from scipy.optimize import brentq

    log_tail = brentq(lambda x: _beyond(known, float(np.exp(x))) - distance, np.log(LEAST_TAIL), np.log(0.5))
    return float(np.exp(log_tail))


def power_of(sources: Sequence[Source], difference: float, tests: int = 1) -> float:
    """P(|estimate| > its half-width) for a true difference, where the sources have these errors in truth.

    The level is Bonferroni's for `tests`, which Holm's correction asks of a single true difference. A study's
    half-width is itself estimated: the statistic is a noncentral t with the degrees of freedom of all sources together
    (Satterthwaite).
    """
    error, critical = _criticals(sources, tests)
    if error == 0:
        return float(difference != 0)
    from scipy.special import ndtr  # scipy.stats takes a second to load

    shift = abs(difference) / error
    return float((ndtr(shift - critical) + ndtr(-shift - critical)).mean())


def smallest_of(sources: Sequence[Source], tests: int = 1) -> float:
    """The smallest true difference that is resolved in 80 % of studies; 0 where nothing varies."""
    return _least(sources, tests, lambda d: power_of(sources, d, tests))


def smallest_bound_of(sources: Sequence[Source], tests: int = 1) -> float:
    """The smallest bound that 80 % of studies confirm where there is no difference at all; 0 where nothing varies.

    A study confirms it where the whole interval lies within the bound.
    """
    from scipy.special import ndtr

    error, critical = _criticals(sources, tests)
    return _least(sources, tests, lambda d: float(np.maximum(2 * ndtr(d / error - critical) - 1, 0).mean()))


def _least(sources: Sequence[Source], tests: int, share: Callable[[float], float]) -> float:
    """Where a share of studies that grows with a difference reaches POWER."""
    error, critical = _criticals(sources, tests)
    if error == 0:
        return 0.0
    from scipy.optimize import brentq

    return float(brentq(lambda d: share(d) - POWER, 0.0, error * (critical.max() + 10), rtol=1e-6))


def _criticals(sources: Sequence[Source], tests: int) -> tuple[float, Floats]:
    """The true error, and half-widths over it at evenly spaced shares of their distribution (chi's)."""
    error = float(np.sqrt(sum(s.error**2 for s in sources)))
    if error == 0:
        return 0.0, np.zeros(1)
    parts = sum(s.error**4 / s.freedom for s in sources)
    freedom = error**4 / parts if parts > 0 else float("inf")
    return error, _error_ratios(freedom) * _reach(sources, 1 - (1 - LEVEL) / tests) / error


@lru_cache(maxsize=100)
def _error_ratios(freedom: float) -> Floats:
    """An estimated error over the true one, at evenly spaced shares of its distribution (chi over its root freedom)."""
    from scipy.special import gammaincinv

    shares = (np.arange(400) + 0.5) / 400
    return np.ones(1) if freedom > 1e6 else np.sqrt(2 * gammaincinv(freedom / 2, shares) / freedom)


@dataclass(frozen=True)
class Measured:
    """A measure, or a paired difference of it: `values` [S] seed by seed on all test images, and `replicates` [R, S]
    of them as far apart as draws of the images put them (None where nothing is known of images).

    `freedom`: the degrees of freedom with which the images tell their own variance, their number less one; never more
    than the replicates have.
    """

    values: Floats
    replicates: Floats | None = None
    freedom: float = float("inf")

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.values)

    @property
    def n(self) -> int:
        """Seeds that both sides have."""
        return int(self._known.sum())

    @property
    def mean(self) -> float:
        """The mean over seeds; NaN without any."""
        return float(self.values[self._known].mean()) if self.n else float("nan")

    @property
    def variance(self) -> float:
        """Over seeds, of one seed's difference; NaN below two."""
        return float(self.values[self._known].var(ddof=1)) if self.n > 1 else float("nan")

    @property
    def image_variance(self) -> float:
        """Over test images, of the mean over infinitely many seeds; NaN where it is not known.

        What images do to every seed alike is the covariance of two seeds' replicates; what they do to one seed alone
        is part of the spread over seeds already, and would count twice in the variance of the mean's replicates. Of
        one seed the two cannot be told apart: its variance is taken.
        """
        return float(np.maximum(self._over_images[1], 0.0))  # NaN stays

    @property
    def interaction_variance(self) -> float:
        """What test images do to one seed alone: a part of `variance` that falls with their number; NaN where it is not
        known.
        """
        one, shared = self._over_images
        return float(np.maximum(one - np.maximum(shared, 0.0), 0.0)) if self.n > 1 else float("nan")

    @cached_property
    def _over_images(self) -> tuple[float, float]:
        """The variance of one seed's replicates, and the covariance of two seeds' (of one seed: its variance)."""
        unknown = (float("nan"), float("nan"))
        if self.replicates is None or not self.n:
            return unknown
        drawn = self.replicates[:, self._known]
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        if len(drawn) < 2:
            return unknown
        together = np.atleast_2d(np.cov(drawn, rowvar=False))
        one = float(np.trace(together) / self.n)
        if self.n == 1:
            return one, one
        return one, float((together.sum() - np.trace(together)) / (self.n * (self.n - 1)))


def less(one: Measured, other: Measured) -> Measured:
    """The difference of two, seed by seed and replicate by replicate."""
    drawn = None
    if one.replicates is not None and other.replicates is not None:
        drawn = one.replicates - other.replicates
    return Measured(one.values - other.values, drawn, min(one.freedom, other.freedom))


def estimates(pairs: Sequence[Measured], baselines: Sequence[Hashable], *, moderate: bool = True) -> list[Estimate]:
    """One estimate per pair; their seed variances are moderated by one another (`moderation.moderated`).

    `baselines` name what each pair's other side is; `moderate=False` gives Student's t of each pair alone.
    """
    freedoms = [max(p.n - 1, 0) for p in pairs]
    variances = [p.variance for p in pairs]
    spreads = moderated(variances, freedoms, baselines) if moderate else None
    found = []
    for k, pair in enumerate(pairs):
        variance = variances[k] if spreads is None else float(spreads.variance[k])
        freedom = float(freedoms[k] if spreads is None else spreads.freedom[k])
        seeds = Source((variance / pair.n) ** 0.5, freedom) if pair.n > 1 else None
        image = pair.image_variance
        known = np.isfinite(image) and pair.replicates is not None
        images = None
        if known and pair.replicates is not None:
            images = Source(image**0.5, min(len(pair.replicates) - 1.0, pair.freedom))
        found.append(Estimate(pair.mean, pair.n, seeds, images))
    return found


def pairing_efficiency(ours: Floats, theirs: Floats) -> float:
    """By how much pairing by seed lowers the variance of a difference: 1 - var(a - b) / (var a + var b); NaN below
    three seeds, 0 where it does nothing, negative where it harms.
    """
    both = np.isfinite(ours) & np.isfinite(theirs)
    if both.sum() < LEAST_SEEDS:
        return float("nan")
    a, b = ours[both], theirs[both]
    apart = float(a.var(ddof=1) + b.var(ddof=1))
    return 1 - float((a - b).var(ddof=1)) / apart if apart > 0 else float("nan")
