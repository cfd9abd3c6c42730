"""Intervals cover what they promise; identical methods are rarely called different."""

import numpy as np
import pytest
from scipy import stats

from assignbench.analysis.intervals import t_interval


def test_by_hand() -> None:
    # Mean 2, deviation 1, n = 3: t(.975, 2) = 4.3027, half-width 4.3027 / sqrt 3.
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0 and interval.half == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    assert interval.resolvable


def test_few_values_resolve_nothing() -> None:
    assert t_interval([]).n == 0
    assert t_interval([5.0]).half is None and not t_interval([5.0]).resolvable
    assert not t_interval([5.0, 6.0]).resolvable


def test_agrees_with_scipy() -> None:
    values = [0.31, 0.35, 0.30, 0.36]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    interval = t_interval(values)
    assert (interval.mean - interval.half, interval.mean + interval.half) == pytest.approx((low, high))


def test_coverage_at_three_seeds() -> None:
    draws = np.random.default_rng(0).normal(0.4, 0.02, (4000, 3))
    covered = [abs(i.mean - 0.4) <= i.half for i in map(t_interval, draws)]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_identical_methods_are_rarely_different() -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, (4000, 3))
    declared = [abs(i.mean) > i.half for i in map(t_interval, noise)]
    assert np.mean(declared) <= 0.06
