"""Running sums and maxima over whole rows against NumPy's own, column by column."""

import numpy as np
import pytest

from assignbench.analysis.measures import jackknife
from assignbench.measure.sums import FEW, running, sums_up_to

SIZES = (0, 1, 2, FEW - 1, FEW, FEW + 1, FEW + 19, 120, 121, 122, 255, 256, 257, 1000)


@pytest.mark.parametrize("columns", (1, FEW - 1, FEW, 2 * FEW + 1))
@pytest.mark.parametrize("operation", (np.add, np.maximum))
def test_running_is_accumulate(operation, columns) -> None:
    rng = np.random.default_rng(columns)
    for count in SIZES:
        rows = rng.normal(size=(count, columns))
        given = rows.copy()
        np.testing.assert_allclose(running(operation, given), operation.accumulate(rows, axis=0), rtol=0, atol=1e-12)
        backwards = operation.accumulate(rows[::-1], axis=0)
        np.testing.assert_allclose(running(operation, rows.copy()[::-1]), backwards, rtol=0, atol=1e-12)


def test_the_weights_of_replicates_add_up_in_any_order() -> None:
    """Whether a recall reaches a level must not hang on the order of a sum."""
    rows = jackknife(300).rows
    place = np.random.default_rng(0).permutation(np.repeat(np.arange(300), 40))
    for order in (place, place[::-1], np.sort(place)):
        total = running(np.add, rows.T[order].copy())[-1]
        np.testing.assert_array_equal(total, 40 * rows.sum(axis=1))


@pytest.mark.parametrize("seed", range(20))
def test_sums_up_to_a_place_hold_all_before_it_and_itself(seed) -> None:
    rng = np.random.default_rng(seed)
    count, images, replicates = int(rng.integers(1, 80)), int(rng.integers(1, 9)), int(rng.choice([1, 5, 40]))
    image, by_image, values = rng.integers(images, size=count), rng.random((images, replicates)), rng.random(count)
    which, ends = (np.flatnonzero(rng.random(count) < share) for share in (0.6, 0.4))
    chosen = np.zeros(count)
    chosen[which] = values[which]
    expected = (chosen[:, None] * by_image[image]).cumsum(axis=0)[ends]
    np.testing.assert_allclose(sums_up_to(ends, which, image, by_image, values), expected, rtol=0, atol=1e-12)
