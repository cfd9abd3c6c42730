"""Probability of improvement and aggregates over places: by hand, and by the formulas they stand for."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.summary import DRAWS, Spread, draw, middle_mean, probability
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell


def test_probability_by_hand() -> None:
    ours, theirs = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    assert probability(ours, theirs) == pytest.approx((2 + 1 + 1.5) / 6)  # 3 beats both, 1 beats 0, 2 ties with 2
    assert probability(np.stack([ours, ours + 9]), np.stack([theirs, theirs])).tolist() == pytest.approx([0.75, 1.0])


def test_middle_mean_by_hand() -> None:
    assert middle_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, -100])) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert middle_mean(np.array([[1.0, 5.0], [2.0, 4.0]])).tolist() == [3.0, 3.0]


def test_the_draws_of_seeds_have_the_variance_of_a_mean() -> None:
    """Var of the mean of n - 1 of n is s²/n: two of three by hand, whose nine pairs have the mean's variance."""
    values = np.array([1.0, 2.0, 6.0])
    replicates = np.tile(values, (200, 1))
    drawn = draw(values, replicates, np.zeros(40_000, np.int64), np.random.default_rng(0)).drawn
    assert drawn.shape == (40_000, 2)
    assert drawn.mean(axis=1).var() == pytest.approx(values.var(ddof=1) / 3, rel=0.03)
    alone = draw(values[:1], replicates[:, :1], np.arange(5), np.random.default_rng(0)).drawn
    assert alone.shape == (5, 1)


@pytest.mark.parametrize(("places", "seeds"), [(2, 3), (4, 3), (2, 5)])
def test_intervals_cover_where_places_and_seeds_are_few(places: int, seeds: int) -> None:
    """Studies in which images do nothing: percentiles of the draws would hold the truth in 85 to 92 % of them."""
    rng, covered, studies = np.random.default_rng(places + 10 * seeds), 0, 400
    for values in rng.normal(size=(studies, places, seeds)):
        drawn = [draw(v, np.tile(v, (200, 1)), np.arange(500) % 200, rng) for v in values]
        mean, still = (np.mean([getattr(d, n).mean(axis=1) for d in drawn], axis=0) for n in ("drawn", "still"))
        low, high = Spread(mean, still, places * (seeds - 1)).interval(float(values.mean()))
        covered += low <= 0 <= high
    assert 0.925 <= covered / studies <= 0.98


def test_images_alone_make_a_normal_interval() -> None:
    drawn = np.random.default_rng(3).normal(size=2000)
    low, high = Spread(drawn, drawn, 0).interval(5.0)
    assert (low + high) / 2 == pytest.approx(5.0) and (high - low) / 2 == pytest.approx(1.97 * drawn.std(), rel=0.01)
    assert Spread(np.zeros(9), np.zeros(9), 4).interval(1.0) == (1.0, 1.0)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two methods at three places, three seeds each, every object found with a box as loose as the method says."""
    folder = tmp_path_factory.mktemp("places")
    rng = np.random.default_rng(2)
    for place, (data, detector) in enumerate((("one", "net"), ("two", "net"), ("one", "other"))):
        objects = objects_table([(i, 0, 10.0, 10.0, 110.0, 110.0) for i in range(20)])
        for method, loose in (("base", 0.3), ("better", 0.12 + 0.04 * place)):
            for seed in range(3):
                cut = np.clip(rng.normal(loose, 0.05, 20) + rng.normal(0, 0.01), 0.0, 0.45)
                found = [(i, 0, 10.0, 10.0, 110.0, 110.0 - 100 * c, 0.9) for i, c in enumerate(cut)]
                write_cell(folder, method, seed, objects, boxes_table(found, "score"), detector=detector, data=data)
    return study_of(folder, ("base", "better"))


def test_a_method_that_is_better_everywhere(places) -> None:
    tables = {r.key: r.frame for r in ANALYSES["summary"].run(places)}
    row = tables["summary"].iloc[0]
    assert (row.method, row.baseline, row.places, row.seeds) == ("better", "base", 3, 3)
    assert row.population == "other seeds and images"
    differences = ANALYSES["differences"].run(places)[0].frame.query("metric == 'AP'")
    assert row.gain == pytest.approx(differences.difference.mean())
    assert 0 < row.low < row.gain < row.high and row.middle_low < row.middle_gain < row.middle_high
    assert row.improvement == 1.0 and row.improvement_low > 0.8 and row.improvement_high == 1.0
    methods = tables["summary.methods"].set_index("method")
    assert methods.loc["better", "mean"] - methods.loc["base", "mean"] == pytest.approx(row.gain)
    again = ANALYSES["summary"].run(places)[0].frame
    pd.testing.assert_frame_equal(again, tables["summary"])


def test_a_method_against_itself_gains_nothing(tmp_path) -> None:
    objects = objects_table([(i, 0, 10.0, 10.0, 110.0, 110.0) for i in range(10)])
    for data in ("one", "two"):
        for method in ("base", "same"):
            for seed in range(3):
                found = [(i, 0, 10.0, 10.0, 110.0, 80.0 + 3 * i + seed, 0.9) for i in range(10)]
                write_cell(tmp_path, method, seed, objects, boxes_table(found, "score"), data=data)
    row = ANALYSES["summary"].run(study_of(tmp_path, ("base", "same")))[0].frame.iloc[0]
    assert (row.gain, row.low, row.high, row.middle_gain) == (0, 0, 0, 0)
    assert row.improvement == 0.5 and row.improvement_low < 0.5 < row.improvement_high


def test_what_is_not_everywhere_is_named(tmp_path) -> None:
    """c is trained at one of two places: the others are compared over both, and c is there with the reason."""
    objects = objects_table([(i, 0, 10.0, 10.0, 110.0, 110.0) for i in range(10)])
    for data, methods in (("one", "ab"), ("two", "abc")):
        for method in methods:
            for seed in range(3):
                found = [(i, 0, 10.0, 10.0, 110.0, 80.0 + 3 * i + seed, 0.9) for i in range(10)]
                write_cell(tmp_path, method, seed, objects, boxes_table(found, "score"), data=data)
    told = {r.key: r.frame for r in ANALYSES["summary"].run(study_of(tmp_path, tuple("abc")))}
    gains, methods = told["summary"].set_index("method"), told["summary.methods"].set_index("method")
    assert gains.reason.to_dict() == {"b": "", "c": "the two meet at one place"} and np.isnan(gains.gain["c"])
    assert methods.reason.to_dict() == {"a": "", "b": "", "c": "no finished cell on one at net"}
    assert methods.places[["a", "b"]].tolist() == [2, 2] and np.isnan(methods["mean"]["c"])


def test_one_place_has_no_summary(tmp_path) -> None:
    objects = objects_table([(0, 0, 10.0, 10.0, 110.0, 110.0)])
    for method in ("base", "better"):
        write_cell(tmp_path, method, 0, objects, boxes_table([(0, 0, 10.0, 10.0, 110.0, 99.0, 0.9)], "score"))
    assert ANALYSES["summary"].run(study_of(tmp_path, ("base", "better"))) == []
    assert DRAWS >= 1000
