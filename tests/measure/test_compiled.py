"""Replicates of AP by Numba: the numbers of NumPy, to the last bit where sums of weights are exact."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from assignbench.measure import compiled, precision
from assignbench.measure.matching import match, overlaps_of
from assignbench.measure.precision import LEVELS, NOTHING, average_precisions
from tests.measure.test_matching import CLASSES, scene


@pytest.fixture(scope="module")
def both():
    pytest.importorskip("numba", reason="Numba (extra `fast`) is not installed")
    return precision.IN_NUMPY, compiled.compiled()


def curve(rng: np.random.Generator, weights: str) -> tuple[np.ndarray, ...]:
    """Weights of images, rows of right detections in them, and what counts up to each of these.

    Two replicates and more: of one nothing is compiled, and NumPy adds in another order.
    """
    images, columns, hits = (int(n) for n in rng.integers([1, 2, 1], [8, 40, 60]))
    rows = {
        "jackknife": lambda: np.where(rng.random((images, columns)) < 0.2, 2.0**-20, 1.0),
        "counts": lambda: rng.integers(0, 4, (images, columns)).astype(float),
        "shares": lambda: rng.random((images, columns)),
    }[weights]()
    image = rng.integers(0, images, hits)
    wrong = np.cumsum(rows[rng.integers(0, images, hits)] * rng.integers(0, 3, (hits, 1)), axis=0)
    return rows, image, np.cumsum(rows[image], axis=0) + wrong


@pytest.mark.parametrize("weights", ["jackknife", "counts", "shares"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(sorted(LEVELS)), shared=st.booleans(), all_found=st.booleans())
def test_compiled_arithmetic_is_that_of_numpy(both, weights, seed, kind, shared, all_found) -> None:
    rng = np.random.default_rng(seed)
    by_image, image, counted = curve(rng, weights)
    kind = "area" if weights == "shares" else kind  # levels are missed by a rounding of sums in another order
    whole = NOTHING if all_found else by_image[image].sum(axis=0) + rng.integers(0, 5)
    share = rng.integers(0, 5, by_image.shape[1]) / 4 if shared else NOTHING
    found = []
    for arithmetic in both:
        wrong = arithmetic.wrong(by_image, image, counted)
        others = wrong if shared else counted
        found.append((wrong, arithmetic.area(by_image, image, others, share, whole, LEVELS[kind])))
    for ours, compiled_ in zip(*found, strict=True):
        if weights == "shares":
            np.testing.assert_allclose(ours, compiled_, rtol=0, atol=1e-12)
        else:
            np.testing.assert_array_equal(ours, compiled_)


@pytest.mark.parametrize("seed", range(3))
def test_replicates_are_the_same_with_and_without_numba(both, monkeypatch, seed) -> None:
    images, objects, detections = scene(seed)
    matches = match(overlaps_of(images, objects, detections, CLASSES))
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((30, len(images))) < 0.2, 2.0**-20, 1.0)
    groups = [None, rng.random(len(objects)) < 0.5, np.zeros(len(objects), bool)]
    without = average_precisions(matches, groups, weights)
    monkeypatch.setattr(precision, "MANY", 0)
    used = []
    monkeypatch.setattr(precision, "compiled", lambda: used.append(1) or both[1])
    np.testing.assert_array_equal(average_precisions(matches, groups, weights), without)
    assert used


def test_without_numba_nothing_is_compiled(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    compiled.compiled.cache_clear()
    assert compiled.compiled() is None
    compiled.compiled.cache_clear()
