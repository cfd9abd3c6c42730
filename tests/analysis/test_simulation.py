"""Coverage and error rates by simulation: hundreds of studies and more, fixed seeds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import stdtrit

from assignbench.analysis.estimates import Estimate, Measured, estimates
from assignbench.analysis.intervals import t_interval
from assignbench.analysis.lines import fitted_line
from assignbench.analysis.measures import jackknife
from assignbench.analysis.verdicts import decided, holm
from assignbench.measure.matching import match, overlaps_of
from assignbench.measure.precision import average_precision, mean_over_classes
from tests.analysis.planted import boxes_table, images_of, objects_table

STUDIES = 1500


def paired_study(rng: np.random.Generator, seeds: int, effect: float) -> Estimate:
    """AP of two methods over seeds: a part that the seed shares, and noise of each method's own."""
    shared = rng.normal(0.4, 0.02, seeds)
    ours = shared + effect + rng.normal(0, 0.005, seeds)
    return estimates([Measured(ours - shared - rng.normal(0, 0.005, seeds))], ["base"])[0]


@pytest.mark.parametrize("seeds", [3, 5])
def test_paired_intervals_cover_what_they_say(seeds) -> None:
    rng = np.random.default_rng(1)
    found = [paired_study(rng, seeds, 0.007) for _ in range(STUDIES)]
    assert 0.93 <= np.mean([abs(e.mean - 0.007) <= e.half for e in found]) <= 0.97


@pytest.mark.parametrize(("images", "seeds"), [(0.02, 0.005), (0.005, 0.02), (0.01, 0.02)])
def test_combined_intervals_cover_where_either_source_matters(images, seeds) -> None:
    """The truth is that of other seeds and other images; that over seeds alone misses it where images matter."""
    rng = np.random.default_rng(9)
    held = alone = 0
    for _ in range(STUDIES):
        shared = rng.normal(0, images)
        values = shared + rng.normal(0, seeds, 3)
        drawn = shared + rng.normal(0, images, (200, 1)) + np.zeros(3)
        found = estimates([Measured(values, drawn)], ["base"])[0]
        held += abs(found.mean) <= found.half
        alone += abs(found.mean) <= found.seeds_half
    assert 0.93 <= held / STUDIES <= 0.985
    assert alone / STUDIES < (0.6 if images > seeds else 0.97)


def test_two_seeds_are_never_declared_different() -> None:
    rng = np.random.default_rng(3)
    assert {decided(e.mean, e.p) for e in (paired_study(rng, 2, 1.0) for _ in range(100))} == {"not resolvable"}


def test_intervals_of_single_methods_and_of_slopes_cover_what_they_say() -> None:
    rng = np.random.default_rng(4)
    means = slopes = 0
    x = np.linspace(1, 4, 8)
    for _ in range(STUDIES):
        interval = t_interval(rng.normal(0.4, 0.02, 3).tolist())
        means += abs(interval.mean - 0.4) <= interval.half
        line = fitted_line(x.tolist(), (0.01 + 0.02 * x + rng.normal(0, 0.01 * x, 8)).tolist())
        slopes += abs(line.slope - 0.02) <= stdtrit(line.freedom, 0.975) * line.error
    assert 0.93 <= means / STUDIES <= 0.97
    assert 0.93 <= slopes / STUDIES <= 0.98  # also where some points scatter four times as far as others


def test_corrected_verdicts_are_rarely_wrong_anywhere_in_a_table() -> None:
    """Six comparisons of identical methods: uncorrected, a fifth and more of the tables would hold a false one."""
    rng = np.random.default_rng(5)
    plain = corrected = 0
    for _ in range(500):
        drawn = rng.normal(0, 0.007, (6, 3))
        p = [e.p for e in estimates([Measured(v) for v in drawn], range(6))]
        plain += min(p) < 0.05
        corrected += np.nanmin(holm(p)) < 0.05
    assert corrected / 500 <= 0.07 and plain / 500 > 0.15


IMAGES, PER_IMAGE = 120, 4


def hits(rng: np.random.Generator, sets: int) -> np.ndarray:
    """Which objects [sets, IMAGES, PER_IMAGE] are found: images differ, half of all objects are."""
    return rng.random((sets, IMAGES, PER_IMAGE)) < rng.beta(8, 8, (sets, IMAGES, 1))


def test_replicates_are_means_of_weighed_images() -> None:
    """Nothing wrong is detected, so that the area under the curve is the recall, whatever the images weigh."""
    rows = [(i, 0, 20.0 * k, 0.0, 20.0 * k + 10, 10.0) for i in range(IMAGES) for k in range(PER_IMAGE)]
    objects, everything = objects_table(rows), boxes_table([(*r, 0.9) for r in rows], "score")
    (found,) = hits(np.random.default_rng(6), 1)
    matches = match(overlaps_of(images_of(objects), objects, everything[found.ravel()], 1), thresholds=(0.5,))
    draws = jackknife(IMAGES).rows
    values = mean_over_classes(average_precision(matches, draws, interpolation="area"))
    np.testing.assert_allclose(values, draws @ found.mean(axis=1) / draws.sum(axis=1))


@pytest.mark.parametrize("images", [IMAGES, 60, 25, 11])
def test_replicates_over_images_cover_what_they_say(images: int) -> None:
    """A mean over images, with Student's t as many degrees of freedom as the analyses give it."""
    shares, draws = hits(np.random.default_rng(6), 8000).mean(axis=2)[:, :images], jackknife(images)
    deviation = draws.reach * (shares @ draws.rows.T / draws.rows.sum(axis=1)).std(axis=1, ddof=1)
    t = stats.t.ppf(0.975, images - 1)
    assert 0.935 <= np.mean(abs(shares.mean(axis=1) - 0.5) <= t * deviation) <= 0.965


def test_a_whole_weight_is_so_many_copies_of_an_image() -> None:
    """What reweighting rests on: the AP of weights 2, 0, 1 is that of the images drawn so often."""
    rng = np.random.default_rng(7)
    rows = [(i, 0, 0.0, 0.0, 10.0, 10.0) for i in range(30)]
    objects = objects_table(rows)
    found = boxes_table([(*r, float(s)) for r, s in zip(rows, rng.random(30), strict=True)], "score")
    found.loc[::3, "x2"] = 40.0
    matches = match(overlaps_of(images_of(objects), objects, found, 1))
    draws = rng.multinomial(30, np.full(30, 1 / 30), 3).astype(float)
    for row, value in zip(draws, mean_over_classes(average_precision(matches, draws)), strict=True):
        picked = np.repeat(np.arange(30), row.astype(int))
        copies = [objects[objects.image_id == i].assign(image_id=1000 + n) for n, i in enumerate(picked)]
        boxes = [found[found.image_id == i].assign(image_id=1000 + n) for n, i in enumerate(picked)]
        drawn = pd.concat(copies, ignore_index=True)
        again = match(overlaps_of(images_of(drawn), drawn, pd.concat(boxes, ignore_index=True), 1))
        assert mean_over_classes(average_precision(again)[0]) == pytest.approx(value, abs=1e-12)
