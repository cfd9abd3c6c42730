"""Moderated variances: Smyth's formulas (2004, section 6.2) written again beside scipy, and what they must not do."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from assignbench.analysis.estimates import Measured, estimates
from assignbench.analysis.moderation import MOST_LENT, moderated
from assignbench.analysis.verdicts import holm


def smyth(variances: np.ndarray, freedom: float) -> tuple[float, float]:
    """s0² and d0 as the paper has them: z = log s², e = z - digamma(d/2) + log(d/2)."""
    e = np.log(variances) - special.digamma(freedom / 2) + np.log(freedom / 2)
    target = np.mean((e - e.mean()) ** 2 * len(e) / (len(e) - 1) - special.polygamma(1, freedom / 2))
    half = optimize.brentq(lambda x: special.polygamma(1, x) - target, 1e-3, 1e6)
    return float(np.exp(e.mean() + special.digamma(half) - np.log(half))), 2 * half


def test_it_is_smyths() -> None:
    variances = np.array([0.2, 9.0, 1.1, 0.15, 5.0, 0.7])
    prior, prior_freedom = smyth(variances, 4.0)
    found = moderated(variances, [4] * 6, list("abcdef"))
    assert 0.5 < prior_freedom < MOST_LENT
    np.testing.assert_allclose(found.variance, (prior_freedom * prior + 4 * variances) / (prior_freedom + 4))
    np.testing.assert_allclose(found.freedom, min(prior_freedom + 4, 24))


@pytest.mark.parametrize("pairs", [4, 8, 12])
def test_seeds_that_agree_by_chance_take_nothing_from_the_others(pairs) -> None:
    """One variance of a table falls to nothing: what others lend stays, and it is drawn to where it may well lie."""
    rng = np.random.default_rng(pairs)
    for _ in range(50):
        usual = rng.chisquare(2, pairs) / 2
        lowest = int(usual.argmin())
        before, prior = moderated(usual, [2] * pairs, range(pairs)), np.median(usual)
        usual[lowest] = 1e-7 * prior
        after = moderated(usual, [2] * pairs, range(pairs))
        assert (after.freedom >= np.minimum(before.freedom, 3) - 0.6).all()
        assert after.variance[lowest] > 0.02 * prior
        others = np.arange(pairs) != lowest
        np.testing.assert_allclose(after.variance[others], before.variance[others], rtol=0.9)


def test_variances_that_agree_lend_a_bounded_freedom() -> None:
    """Less spread than chance would give: the prior is certain, and yet counts as two degrees of freedom of four pairs,
    and as four of many.
    """
    variances = np.array([1.0, 1.1, 0.9, 1.0])
    found = moderated(variances, [2, 2, 2, 2], list("abcd"))
    bias = np.exp(np.log(1.0) - special.digamma(1.0))  # of the mean of log variances with two degrees of freedom
    np.testing.assert_allclose(found.variance, (0.99**0.25 * bias + variances) / 2)
    assert found.freedom.tolist() == [4.0] * 4
    assert moderated([1.0, 1.1] * 6, [2] * 12, range(12)).freedom.tolist() == [2 + MOST_LENT] * 12
    assert moderated([1.0, 1.1], [2, 2], "ab").variance.tolist() == [1.0, 1.1]


def test_pairs_of_one_baseline_are_no_independent_witnesses() -> None:
    """Two differences to one baseline correlate by a half, their variances by a quarter: 6 x 2 / (1 + 5/4)."""
    found = moderated([1.0, 1.1, 0.9] * 2, [2] * 6, ["base"] * 6)
    assert found.freedom.tolist() == pytest.approx([12 / 2.25] * 6)


def test_what_cannot_be_moderated_is_left_as_it_is() -> None:
    nan = float("nan")
    found = moderated([1.0, nan, 0.0, 2.0, 1.5], [2, 0, 2, 2, 2], list("abcde"))
    assert np.isnan(found.variance[1]) and found.freedom[1] == 0  # one seed
    assert (found.variance[2], found.freedom[2]) == (0.0, 2.0)  # never differ: exact, and no witness
    assert found.freedom[0] == found.freedom[3] == 3.0
    lonely = moderated([1.0, nan], [2, 0], list("ab"))
    assert lonely.variance[0] == 1.0 and lonely.freedom[0] == 2.0
    assert len(moderated([], [], []).variance) == 0


def test_more_seeds_are_moderated_less() -> None:
    """A variance of nine degrees of freedom weighs more beside the prior than one of two."""
    variances = [0.05, 0.05, 2.0, 1.0, 6.0]
    found = moderated(variances, [2, 9, 2, 9, 2], list("abcde"))
    assert abs(found.variance[1] - 0.05) < abs(found.variance[0] - 0.05)
    assert found.freedom[1] > found.freedom[0]


def studies(pairs: int, effect: float, count: int) -> tuple[float, float]:
    """The share of pairs that moderated intervals resolve, and that plain ones do."""
    rng = np.random.default_rng(pairs)
    told = plain = 0
    for values in rng.normal(effect, 1, (count, pairs, 3)):
        measured = [Measured(v) for v in values]
        told += sum(abs(e.mean) > e.half for e in estimates(measured, range(pairs)))
        own = stats.t.ppf(0.975, 2) * values.std(axis=1, ddof=1) / 3**0.5
        plain += int((abs(values.mean(axis=1)) > own).sum())
    return told / count / pairs, plain / count / pairs


@pytest.mark.parametrize("pairs", [2, 3, 6, 12])
def test_identical_methods_are_rarely_called_different(pairs) -> None:
    assert 0.035 <= studies(pairs, 0.0, 3600 // pairs)[0] <= 0.065


@pytest.mark.parametrize(
    ("deviations", "most"),
    [((1, 1, 1, 1), 0.06), ((1, 0.5, 0.5, 0.5), 0.07), ((1, 1, 0.5, 0.5), 0.07), ((1, 0.3, 0.3, 0.3, 0.3), 0.09)],
)
def test_a_noisy_pair_borrows_little_certainty(deviations, most) -> None:
    """Equal methods, some of whose differences vary more than others: false words in a family of tests. Without a bound
    on what pairs lend it were .055, .078, .073 and .125.
    """
    rng, studies, wrong = np.random.default_rng(5), 1500, 0
    for _ in range(studies):
        measured = [Measured(v) for v in rng.normal(size=(len(deviations), 3)) * np.array(deviations)[:, None]]
        wrong += bool((holm([e.p for e in estimates(measured, range(len(deviations)))]) < 0.05).any())
    assert wrong / studies <= most + 0.01


def test_twelve_pairs_of_three_seeds_gain_power() -> None:
    """A difference of two seed deviations: 1.6 times the power of plain t and more."""
    told, plain = studies(12, 2.0, 200)
    assert told > 1.6 * plain > 1.6 * 0.4
