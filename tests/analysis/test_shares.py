"""Gains as shares of a baseline, and what their replicates are."""

import numpy as np
from hypothesis import given, settings, strategies as st

from assignbench.analysis.shares import shares


@settings(max_examples=100)
@given(st.floats(0.06, 0.9), st.floats(-0.5, 0.5), st.integers(0, 10**6))
def test_replicates_near_what_was_observed_are_its_shares(base: float, gap: float, seed: int) -> None:
    """Where replicates are near, first order is all; the first row is exact."""
    rng = np.random.default_rng(seed)
    bases = base * np.r_[1.0, 1 + 1e-5 * rng.normal(size=20)][:, None]
    gaps = gap + np.r_[0.0, 1e-5 * rng.normal(size=20)][:, None] * np.ones((1, 3))
    found = shares(gaps, bases)
    assert found.shape == (21, 3)
    np.testing.assert_array_equal(found[0], gaps[0] / bases[0])
    np.testing.assert_allclose(found, gaps / bases, atol=1e-7)


def test_a_replicate_of_nothing_does_not_take_the_share_away() -> None:
    found = shares(np.array([[0.1], [0.3], [0.2]]), np.array([[0.2], [0.0], [-0.1]]))
    np.testing.assert_allclose(found[:, 0], [0.5, 0.5 + (0.2 + 0.1) / 0.2, 0.5 + (0.1 + 0.15) / 0.2])


def test_shares_of_too_little_are_unknown() -> None:
    gaps = np.ones((3, 2))
    assert np.isnan(shares(gaps, np.array([[0.04, 0.0]] * 3), 0.05)).all()
    assert np.isnan(shares(gaps, np.array([[0.04, 0.0]] * 3))[:, 1]).all()
    assert np.isfinite(shares(gaps, np.array([[0.05, 0.2]] * 3), 0.05)).all()
