"""Seed variances of a study's pairs, each moderated by the others: empirical Bayes (Smyth 2004, section 6).

Three seeds say little about their own spread: by chance some pairs agree to a tenth of a point and look certain. Over
the pairs of a table the spreads are alike, so each variance is drawn towards what all of them say, by as much as they
agree beyond chance, and the test gains the degrees of freedom that the others lend.

Few pairs cannot tell whether their spreads are alike, and a pair that varies more than the others would borrow a
certainty that it does not have. So what they lend is bounded (`lent`): where one deviation is twice the others', a
family of tests of methods that are equal gives a false word in 5 to 6 % of studies and not in 8 (where it is three
times theirs, in 7 to 9 % and not in 12). And a pair whose seeds agree by chance to a hundredth of what the others' do
would, by the logarithm of its variance, seem to say that nothing can be lent: it counts as the least that chance makes
likely (`not_absurd`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Two differences to one baseline share its training: their variances correlate by the square of one half.
SHARED = 0.25
MOST_LENT = 4.0  # degrees of freedom
RARE = 0.1  # how often chance puts any variance of a table below the least that counts


@dataclass(frozen=True)
class Spreads:
    """Moderated variances [K], and the degrees of freedom [K] of each; NaN and 0 where a pair had one seed."""

    variance: Floats
    freedom: Floats


def moderated(variances: Sequence[float], freedoms: Sequence[float], baselines: Sequence[Hashable]) -> Spreads:
    """Variances [K] of pairs over their seeds, moderated by one another.

    `freedoms` are the seeds less one, `baselines` name what a pair's second side was: pairs that share it are no
    independent witnesses, so the degrees of freedom never pass those of so many independent pairs. A pair without a
    variance is left as it is, and a variance of 0 (two methods that never differ) stays 0 and says nothing of others.
    """
    own, own_freedom = np.asarray(variances, float), np.asarray(freedoms, float)
    result = Spreads(own.copy(), own_freedom.copy())
    used = np.flatnonzero((own_freedom > 0) & np.isfinite(own) & (own > 0))
    if len(used) < 2:
        return result
    s2, d = own[used], own_freedom[used]
    prior, agreed = prior_of(s2, d)
    prior_freedom = lent(agreed, len(used))
    result.variance[used] = (prior_freedom * prior + d * s2) / (prior_freedom + d)
    most = pooled_freedom(d, [baselines[int(k)] for k in used])
    result.freedom[used] = np.maximum(np.minimum(prior_freedom + d, most), d)
    return result


def lent(agreed: float, pairs: int) -> float:
    """The degrees of freedom that so many pairs lend each of them, whose variances agree by `agreed` of them: no more
    than four, and less where fewer than six pairs speak (two lend nothing).
    """
    return min(agreed, MOST_LENT, max(0.0, pairs - 2.0))


def related(pairs: Sequence[tuple[Hashable, Hashable]]) -> list[int]:
    """A number per pair of sides (a method at a detector), the same for pairs that hang together by sides in common:
    whether both have one baseline, or one's method is the other's baseline, their spreads are no independent witnesses.
    """
    of_side: dict[Hashable, int] = {}
    for number, sides in enumerate(pairs):
        joined = {of_side[s] for s in sides if s in of_side}
        of_side |= {s: number for s, old in of_side.items() if old in joined} | dict.fromkeys(sides, number)
    return [of_side[side] for _, side in pairs]


def prior_of(s2: Floats, d: Floats) -> tuple[float, float]:
    """The variance that two and more pairs tend to, and its degrees of freedom, from the moments of log variances."""
    from scipy.special import digamma, polygamma

    e = np.log(not_absurd(s2, d)) - digamma(d / 2) + np.log(d / 2)
    beyond_chance = float(e.var(ddof=1) - polygamma(1, d / 2).mean())
    if beyond_chance <= 0:
        # The geometric mean, as Smyth's: with the arithmetic one, 7 % of tests of few pairs are false instead of 5.
        return float(np.exp(e.mean())), float("inf")
    half = _trigamma_inverse(beyond_chance)
    return float(np.exp(e.mean() + digamma(half) - np.log(half))), 2 * half


def not_absurd(s2: Floats, d: Floats) -> Floats:
    """Variances [K] of which none is lower than one of K alike ones is in a tenth of tables, by their median."""
    from scipy.special import gammaincinv  # scipy.stats, which knows chi-squared by name, takes a second to load

    middle = np.median(s2 * d / (2 * gammaincinv(d / 2, 0.5)))
    least: Floats = middle * 2 * gammaincinv(d / 2, RARE / len(s2)) / d
    return np.maximum(s2, least)


def _trigamma_inverse(value: float) -> float:
    """The x with trigamma(x) = value > 0, by Newton's method on 1/trigamma, which is nearly straight."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        there = float(polygamma(1, x))
        step = there * (1 - there / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def pooled_freedom(freedoms: Floats, baselines: Sequence[Hashable]) -> float:
    """Degrees of freedom of the mean variance, where pairs of one baseline are correlated."""
    sizes = Counter(baselines)
    worth = [f / (1 + SHARED * (sizes[b] - 1)) for f, b in zip(freedoms, baselines, strict=True)]
    return float(sum(worth))
