"""Estimates of paired differences by hand and beside scipy: seeds and images apart and together, equality, power."""

import numpy as np
import pytest
from scipy import stats

from assignbench.analysis.estimates import Estimate, Measured, Source, estimates, less, pairing_efficiency

VALUES = np.array([0.013, 0.021, 0.017, 0.030])


def alone(values: np.ndarray, replicates: np.ndarray | None = None) -> Estimate:
    """The estimate of one pair, which no other one moderates."""
    return estimates([Measured(values, replicates)], ["base"])[0]


def test_over_seeds_alone_it_is_students_paired_t() -> None:
    found = alone(VALUES)
    low, high = stats.t.interval(0.95, 3, VALUES.mean(), stats.sem(VALUES))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert found.half == found.seeds_half and np.isnan(found.images_half) and found.n == 4
    assert found.p == pytest.approx(stats.ttest_1samp(VALUES, 0).pvalue, rel=1e-6)
    assert found.population == "other seeds, these images"


def test_a_pair_of_its_own_is_moderated_by_none() -> None:
    plain = estimates([Measured(VALUES)], ["base"], moderate=False)[0]
    assert (plain.half, plain.p) == pytest.approx((alone(VALUES).half, alone(VALUES).p))


def test_two_sources_by_hand() -> None:
    """Errors 0.01 of three seeds and 0.02 of many images: 4.3027 x 0.01 and 1.96 x 0.02, added as squares."""
    found = Estimate(0.1, 3, Source(0.01, 2), Source(0.02, float("inf")))
    assert (found.seeds_half, found.images_half) == pytest.approx((0.0430265, 0.0391993), rel=1e-5)
    assert found.half == pytest.approx((0.0430265**2 + 0.0391993**2) ** 0.5, rel=1e-5)
    assert found.population == "other seeds and images"


@pytest.mark.parametrize("distance", [0.0, 1e-4, 0.01, 0.05, 0.2, 3.0])
def test_p_is_the_level_at_which_the_interval_just_reaches(distance) -> None:
    found = Estimate(distance, 3, Source(0.01, 2), Source(0.02, 199))
    assert found.reach(1 - found.p) == pytest.approx(distance, rel=1e-6, abs=1e-9)
    assert Estimate(-distance, 3, found.seeds, found.images).p == found.p


def test_fewer_than_three_seeds_resolve_nothing() -> None:
    for values in ([], [0.2], [0.2, 0.3]):
        found = alone(np.array(values))
        assert not found.resolvable and found.n == len(values)
        unknown = (found.p, found.p_within(0.1), found.p_beyond(0.1), found.power(0.1), found.detectable)
        assert np.isnan(unknown).all()
    assert np.isnan(alone(np.array([])).mean) and np.isnan(alone(np.array([0.2])).half)
    assert alone(np.array([0.2])).population == "these models and images"


def test_what_never_varies_is_known_exactly() -> None:
    same, other = alone(np.zeros(3)), alone(np.full(3, 0.125))
    assert (same.p, same.half, same.detectable) == (1.0, 0.0, 0.0)
    assert other.p == 0.0 and other.p_within(0.2) == 0.0 and other.p_within(0.1) == 1.0
    assert other.power(0.01) == 1.0


def test_missing_seeds_are_left_out() -> None:
    found = alone(np.array([0.1, np.nan, 0.2, 0.3]), np.full((10, 4), np.nan))
    assert (found.n, found.mean) == (3, pytest.approx(0.2))
    assert found.images is None  # no replicate holds them all


def test_equality_by_hand_is_two_one_sided_tests() -> None:
    """Within ±1 point: the larger p of "below -1" and "above 1"; beyond it: the p on the mean's own side."""
    values = np.array([0.001, 0.004, 0.002, 0.005])
    found, error = alone(values), stats.sem(values)
    lower = stats.t.sf((values.mean() + 0.01) / error, 3)
    upper = stats.t.sf((0.01 - values.mean()) / error, 3)
    assert found.p_within(0.01) == pytest.approx(max(lower, upper), rel=1e-6)
    assert found.p_beyond(0.01) == pytest.approx(1 - upper, rel=1e-6)
    assert found.p_beyond(0.001) == pytest.approx(stats.t.sf((values.mean() - 0.001) / error, 3), rel=1e-6)
    flipped = alone(-values)
    assert (flipped.p_within(0.01), flipped.p_beyond(0.001)) == (found.p_within(0.01), found.p_beyond(0.001))


def test_equality_is_held_and_refuted_no_oftener_than_said() -> None:
    """The true difference is the bound itself: at most 2.5 % of studies say either, at the level of the claims."""
    rng = np.random.default_rng(3)
    found = [alone(v) for v in rng.normal(0.01, 0.004, (1500, 3))]
    within = np.mean([2 * e.p_within(0.01) < 0.05 for e in found])
    beyond = np.mean([2 * e.p_beyond(0.01) < 0.05 for e in found])
    assert 0.017 < beyond < 0.034 and within < 0.034


def test_image_variance_is_what_seeds_have_in_common() -> None:
    """Replicates of two seeds: a part of both with variance 4, and one of each alone, which the seeds' spread has."""
    rng = np.random.default_rng(1)
    shared, own = rng.normal(0, 2, (50_000, 1)), rng.normal(0, 3, (50_000, 3))
    together = Measured(np.array([0.1, 0.2, 0.3]), shared + own)
    assert together.image_variance == pytest.approx(4.0, rel=0.1)
    apart = Measured(np.array([0.1, 0.2, 0.3]), own)
    assert apart.image_variance < 0.2
    one = Measured(np.array([0.1]), (shared + own)[:, :1])
    assert one.image_variance == pytest.approx(13.0, rel=0.1)  # of a single seed the two cannot be told apart
    found = estimates([one], ["base"])[0]
    assert found.population == "other images, these models" and found.half == pytest.approx(1.96 * 13**0.5, rel=0.05)
    assert not found.resolvable


def test_opposite_replicates_leave_no_variance() -> None:
    """A negative covariance is chance: a variance of images cannot be below 0."""
    drawn = np.random.default_rng(2).normal(size=(200, 1))
    assert Measured(np.array([0.1, 0.2]), np.hstack([drawn, -drawn])).image_variance == 0.0


def test_differences_of_differences_are_paired_by_seed_and_replicate() -> None:
    rng = np.random.default_rng(4)
    one, other = (Measured(rng.normal(size=3), rng.normal(size=(5, 3))) for _ in range(2))
    found = less(one, other)
    np.testing.assert_array_equal(found.values, one.values - other.values)
    np.testing.assert_array_equal(found.replicates, one.replicates - other.replicates)
    assert less(one, Measured(other.values)).replicates is None


@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_power_is_that_of_the_noncentral_t(n, effect) -> None:
    """One source, whose estimated deviation is the true one on average."""
    freedom = n - 1
    found = Estimate(0.0, n, Source(_mean_of_chi(freedom) * n**-0.5, freedom))
    critical, shift = stats.t.ppf(0.975, freedom), effect * n**0.5
    exact = stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift)
    assert found.power(effect) == pytest.approx(exact, abs=0.005)


def _mean_of_chi(freedom: int) -> float:
    """Mean of an estimated deviation whose true value is 1."""
    return float(stats.chi(freedom).mean() / freedom**0.5)


def test_what_is_detectable_is_found_in_four_of_five_studies() -> None:
    found = Estimate(0.0, 3, Source(_mean_of_chi(2) / 3**0.5, 2))
    rng = np.random.default_rng(5)
    drawn = rng.normal(found.detectable, 1, (20_000, 3))
    told = abs(drawn.mean(axis=1)) > stats.t.ppf(0.975, 2) * drawn.std(axis=1, ddof=1) / 3**0.5
    assert told.mean() == pytest.approx(0.8, abs=0.01)
    true_half = stats.t.ppf(0.975, 2) / 3**0.5
    assert found.detectable > 1.2 * true_half  # a half-width alone would be half the power


def test_pairing_efficiency_by_hand() -> None:
    ours, theirs = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.5, 2.5])
    assert pairing_efficiency(ours, theirs) == 1.0
    assert pairing_efficiency(ours, -theirs) == pytest.approx(-1.0)  # var(a + b) = 4 of 2
    assert pairing_efficiency(ours, np.array([0.0, 1.0, 0.0])) == pytest.approx(0.0)
    assert np.isnan(pairing_efficiency(ours[:2], theirs[:2])) and np.isnan(pairing_efficiency(np.ones(3), np.ones(3)))
