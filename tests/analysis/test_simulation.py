"""Coverage and error rates by simulation: 2000 studies and more, fixed seeds."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis.intervals import (
    bootstrap,
    decided,
    fitted_line,
    holm,
    image_draws,
    paired_interval,
    paired_p,
    t_interval,
)
from assignbench.measure.matching import average_precision, match, mean_over_classes, overlaps_of
from tests.analysis.planted import boxes_table, images_of, objects_table

STUDIES = 4000


def paired_study(rng: np.random.Generator, seeds: int, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """AP of two methods over seeds: a part that the seed shares, and noise of each method's own."""
    shared = rng.normal(0.4, 0.02, seeds)
    return shared + effect + rng.normal(0, 0.005, seeds), shared + rng.normal(0, 0.005, seeds)


@pytest.mark.parametrize("seeds", [3, 5])
def test_paired_intervals_cover_what_they_say(seeds) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(STUDIES):
        interval = paired_interval(*paired_study(rng, seeds, 0.007))
        held += abs(interval.mean - 0.007) <= interval.half
    assert 0.93 <= held / STUDIES <= 0.97


def test_identical_methods_are_rarely_declared_different() -> None:
    rng = np.random.default_rng(2)
    tested = [np.subtract(*paired_study(rng, 3, 0.0)) for _ in range(STUDIES)]
    told = sum(decided(d.mean(), paired_p(d.tolist())) != "not resolvable" for d in tested) / STUDIES
    assert 0.04 <= told <= 0.06


def test_two_seeds_are_never_declared_different() -> None:
    rng = np.random.default_rng(3)
    tested = [np.subtract(*paired_study(rng, 2, 1.0)) for _ in range(100)]
    assert {decided(d.mean(), paired_p(d.tolist())) for d in tested} == {"not resolvable"}


def test_intervals_of_single_methods_and_of_slopes_cover_what_they_say() -> None:
    rng = np.random.default_rng(4)
    means = slopes = 0
    x = np.linspace(1, 4, 8)
    for _ in range(STUDIES):
        interval = t_interval(rng.normal(0.4, 0.02, 3).tolist())
        means += abs(interval.mean - 0.4) <= interval.half
        line = fitted_line(x.tolist(), (0.01 + 0.02 * x + rng.normal(0, 0.01, 8)).tolist())
        slopes += abs(line.slope - 0.02) <= line.half
    assert 0.93 <= means / STUDIES <= 0.97 and 0.93 <= slopes / STUDIES <= 0.97


def test_corrected_verdicts_are_rarely_wrong_anywhere_in_a_table() -> None:
    """Six comparisons of identical methods: uncorrected, a fifth and more of the tables would hold a false one."""
    rng = np.random.default_rng(5)
    plain = corrected = 0
    for _ in range(2000):
        p = [paired_p((np.subtract(*paired_study(rng, 3, 0.0))).tolist()) for _ in range(6)]
        plain += min(p) < 0.05
        corrected += np.nanmin(holm(p)) < 0.05
    assert corrected / 2000 <= 0.06 < 0.2 < plain / 2000


def test_holm_by_hand() -> None:
    found = holm([0.01, 0.04, float("nan"), 0.03])
    np.testing.assert_allclose(found, [0.03, 0.06, np.nan, 0.06])  # 3 x .01, then 2 x .03, then the larger of .04, .06
    assert paired_p([0.1, 0.1]) != paired_p([0.1, 0.1])  # NaN: two pairs
    assert paired_p([0.0, 0.0, 0.0]) == 1.0 and paired_p([0.1, 0.1, 0.1]) < 1e-12


IMAGES, PER_IMAGE = 120, 4


def test_bootstrap_over_images_covers_what_it_says() -> None:
    """Objects are found with the same chance, nothing else is detected: the area under the curve is the recall."""
    rng = np.random.default_rng(6)
    rows = [(i, 0, 20.0 * k, 0.0, 20.0 * k + 10, 10.0) for i in range(IMAGES) for k in range(PER_IMAGE)]
    objects = objects_table(rows)
    images = images_of(objects)
    everything = boxes_table([(*r, 0.9) for r in rows], "score")
    held, sets = 0, 2000
    draws = image_draws(IMAGES, 200, rng)
    for _ in range(sets):
        chance = rng.beta(8, 8, IMAGES)  # images differ
        found = rng.random((IMAGES, PER_IMAGE)) < chance[:, None]
        hits = everything[found.ravel()]
        matches = match(overlaps_of(images, objects, hits, 1), thresholds=(0.5,))
        values = mean_over_classes(average_precision(matches, draws, interpolation="area"))
        low, high = np.percentile(values, [2.5, 97.5])
        held += low <= 0.5 <= high
    assert 0.93 <= held / sets <= 0.97


def test_bootstrap_replicates_are_resampled_images() -> None:
    """A replicate equals AP of the drawn images, copies and all; the draws are the same for both methods of a pair."""
    rng = np.random.default_rng(7)
    rows = [(i, 0, 0.0, 0.0, 10.0, 10.0) for i in range(30)]
    objects = objects_table(rows)
    found = boxes_table([(*r, float(s)) for r, s in zip(rows, rng.random(30), strict=True)], "score")
    found.loc[::3, "x2"] = 40.0
    matches = match(overlaps_of(images_of(objects), objects, found, 1))
    draws = image_draws(30, 3, np.random.default_rng(8))
    values = bootstrap(matches, 3, np.random.default_rng(8))
    assert draws.sum(axis=1).tolist() == [30, 30, 30]
    for row, value in zip(draws, values, strict=True):
        picked = np.repeat(np.arange(30), row.astype(int))
        copies = [objects[objects.image_id == i].assign(image_id=1000 + n) for n, i in enumerate(picked)]
        boxes = [found[found.image_id == i].assign(image_id=1000 + n) for n, i in enumerate(picked)]
        drawn = pd.concat(copies, ignore_index=True)
        again = match(overlaps_of(images_of(drawn), drawn, pd.concat(boxes, ignore_index=True), 1))
        assert mean_over_classes(average_precision(again)[0]) == pytest.approx(value, abs=1e-12)
