"""Predicted power agrees with counted power; what images bound, seeds do not help."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from assignbench.analysis import ANALYSES
from assignbench.analysis.estimates import Estimate, Measured, Source, estimates, power_of, smallest_bound_of
from assignbench.analysis.pairs import estimated, pairs_of
from assignbench.analysis.power import (
    MOST_SEEDS,
    Comparisons,
    Need,
    Spread,
    floor,
    need,
    power,
    smallest,
    smallest_told,
    smallest_values_told,
)
from assignbench.analysis.spreads import COLUMNS, packaged, spread_of
from assignbench.analysis.verdicts import holm
from assignbench.measure.precision import average_precision
from assignbench.report.tables import average_tables, result_table
from benchmarks.power import counted
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell
from tests.analysis.simulation import IMAGES, Design, Detector, studies

PLAIN = Spread(seeds=1.0, images=0.0, tested=100, freedom=20)
ALONE = Comparisons(("baseline",))
STUDIES = 600


def simulated(rng: np.random.Generator, spread: Spread, seeds: int, pairs: int, true: float) -> list[Measured]:
    """The pairs of one study against a baseline of their own seeds; the last one differs in truth."""
    training = (spread.seeds**2 - spread.interaction**2) ** 0.5 / 2**0.5
    baseline = rng.normal(0, training, seeds)
    found = []
    for k in range(pairs):
        values = rng.normal(0, training, seeds) - baseline + rng.normal(0, spread.interaction, seeds)
        values = values + rng.normal(0, spread.images) + (true if k == pairs - 1 else 0.0)
        drawn = rng.normal(0, spread.images, (200, 1)) + rng.normal(0, spread.interaction, (200, seeds))
        found.append(Measured(values, values + drawn))
    return found


REGIMES = {
    "seeds alone": PLAIN,
    "both alike": replace(PLAIN, images=0.5, interaction=0.5),
    "images": replace(PLAIN, seeds=0.5, images=1.0, interaction=0.4),
}


@pytest.mark.parametrize("regime", list(REGIMES))
@pytest.mark.parametrize(("seeds", "pairs"), [(3, 1), (3, 6), (6, 3)])
def test_predicted_power_is_counted_power(regime, seeds, pairs) -> None:
    rng = np.random.default_rng(seeds + 10 * pairs)
    spread, names = REGIMES[regime], ["baseline"] * pairs
    asked = Comparisons(tuple(names))
    true = smallest(spread, seeds, asked)
    assert power(spread, true, seeds, asked) == pytest.approx(0.8, abs=1e-4)
    held = 0
    for _ in range(STUDIES):
        last = estimates(simulated(rng, spread, seeds, pairs, true), names)[-1]
        held += last.mean > last.half
    assert held / STUDIES == pytest.approx(0.8, abs=0.07)  # Monte-Carlo error 0.016; 0.07 of power is 7 % of the seeds


def test_predicted_power_after_correction_is_counted_power() -> None:
    rng, pairs, names = np.random.default_rng(5), 6, ["baseline"] * 6
    spread, asked = REGIMES["both alike"], Comparisons(tuple(names), tests=6)
    true = smallest(spread, 4, asked)
    assert true > 1.15 * smallest(spread, 4, replace(asked, tests=1))
    held = 0
    for _ in range(300):
        found = estimates(simulated(rng, spread, 4, pairs, true), names)
        held += holm([e.p for e in found])[-1] < 0.05 and found[-1].mean > 0
    assert held / 300 == pytest.approx(0.8, abs=0.08)


def test_the_power_of_an_estimate_agrees_with_that_of_its_truth() -> None:
    rng, spread, names = np.random.default_rng(6), REGIMES["both alike"], ["baseline"] * 6
    asked = Comparisons(tuple(names))
    told = [estimates(simulated(rng, spread, 3, 6, 0.0), names)[0].detectable for _ in range(200)]
    assert np.median(told) == pytest.approx(smallest(spread, 3, asked), rel=0.2)


def test_power_of_detections_is_counted_power() -> None:
    """The spreads of some simulated studies tell how often others resolve the difference of their detectors."""
    rng, count, seeds = np.random.default_rng(7), 160, 3
    methods = [Detector(recall=0.55), Detector(recall=0.75, boxes=0.02)]
    matches = studies(rng, count, Design((200,), seeds, own=0.8), methods)
    weights = rng.exponential(size=(40, IMAGES))
    rows = np.concatenate([np.ones((1, IMAGES)), weights * (IMAGES / weights.sum(axis=1, keepdims=True))])
    found = average_precision(matches, rows).mean(axis=1).reshape(len(rows), count, seeds, 2)
    gains = found[..., 1] - found[..., 0]
    pairs = [Measured(gains[0, k], gains[1:, k]) for k in range(count)]
    first = pairs[: count // 2]
    spread = Spread(
        seeds=np.mean([p.variance for p in first]) ** 0.5,
        images=np.mean([p.image_variance for p in first]) ** 0.5,
        tested=IMAGES,
        freedom=2.0 * len(first),
        interaction=np.mean([p.interaction_variance for p in first]) ** 0.5,
    )
    told = [estimates([p], ["baseline"])[0] for p in pairs[count // 2 :]]
    predicted = power(spread, float(np.mean([p.mean for p in first])), seeds, ALONE)
    assert 0.2 < predicted < 0.95
    assert np.mean([e.mean > e.half for e in told]) == pytest.approx(predicted, abs=0.15)  # of 80 studies


def test_power_counted_over_choices_of_seeds_is_that_of_the_truth() -> None:
    rng, spread = np.random.default_rng(9), REGIMES["both alike"]
    for seeds in (3, 5):
        told = [counted(simulated(rng, spread, 10, 1, 0.0)[0], seeds) for _ in range(12)]
        assert np.mean(told) == pytest.approx(smallest(spread, seeds, ALONE), rel=0.15)  # ten seeds: ±24 % of each
    assert np.isnan(counted(Measured(np.zeros(3), np.zeros((9, 3))), 3))


def test_plain_t_by_scipy() -> None:
    # One pair of n seeds: the noncentral t with n - 1 degrees of freedom.
    for seeds, difference in ((3, 2.0), (5, 1.0), (10, 1.0)):
        quantile = stats.t.ppf(0.975, seeds - 1)
        shift = difference * seeds**0.5
        wanted = stats.nct.sf(quantile, seeds - 1, shift) + stats.nct.cdf(-quantile, seeds - 1, shift)
        assert power(PLAIN, difference, seeds, ALONE) == pytest.approx(wanted, abs=2e-3)


def test_seeds_needed_are_the_fewest() -> None:
    for difference in (0.6, 1.0, 3.0):
        seeds = need(PLAIN, difference, ALONE).seeds
        assert power(PLAIN, difference, seeds, ALONE) >= 0.8
        assert seeds == 3 or power(PLAIN, difference, seeds - 1, ALONE) < 0.8
    # 2.8 deviations of the mean, and a little for the quantile: (2.8 / 0.6)² = 21.8.
    assert need(PLAIN, 0.6, ALONE).seeds == pytest.approx(24, abs=1)
    assert need(PLAIN, 10.0, ALONE) == Need(3)


def test_what_images_bound_needs_images() -> None:
    spread = Spread(seeds=1.0, images=0.5, tested=100, freedom=20, interaction=0.8)
    assert floor(spread, ALONE) == pytest.approx(1.41, abs=0.02)  # 0.5 (1.96 + 0.84), t for the normal
    found = need(spread, 1.0, ALONE)
    assert found.seeds is None and found.bounded
    assert power(spread, 1.0, 10_000, ALONE) < 0.8
    assert power(spread.on(found.images), 1.0, found.with_seeds, ALONE) >= 0.8
    assert power(spread.on(found.images - 1), 1.0, found.with_seeds, ALONE) < 0.8
    assert need(replace(spread, images=0.0, interaction=0.0), 0.1, ALONE) == Need(
        None
    )  # no images help: training alone
    assert MOST_SEEDS < (2.8 / 0.1) ** 2
    # Just below what very many seeds resolve: it is the seeds that are too many.
    assert not need(spread, 1.42, ALONE).bounded


def test_images_lower_their_own_part_alone() -> None:
    moved = Spread(seeds=5.0, images=2.0, tested=100, freedom=9, interaction=4.0).on(400)
    assert (moved.seeds**2, moved.images, moved.interaction, moved.tested) == (pytest.approx(9 + 4), 1.0, 2.0, 400)
    assert Spread(1.0, 1.0, 100, 9, interaction=3.0).on(float("inf")).seeds == 0.0  # never more than there is


def test_correction_and_fewer_pairs_cost_power() -> None:
    many = Comparisons(("a",) * 8)
    assert smallest(PLAIN, 3, many) < 0.7 * smallest(PLAIN, 3, ALONE)
    assert smallest(PLAIN, 3, replace(many, tests=8)) > 1.3 * smallest(PLAIN, 3, many)
    # Where variances differ beyond chance, others say less of one's own.
    assert smallest(replace(PLAIN, prior=2.0), 3, many) > smallest(PLAIN, 3, many)


def test_the_range_of_a_deviation_is_the_chi_square_one() -> None:
    low, high = replace(PLAIN, freedom=4).seeds_range
    assert low == pytest.approx((4 / stats.chi2.ppf(0.975, 4)) ** 0.5)
    assert high == pytest.approx((4 / stats.chi2.ppf(0.025, 4)) ** 0.5)


def test_nothing_varies() -> None:
    still = [Source(0.0, 2.0)]
    assert power_of(still, 0.1) == 1.0 and power_of(still, 0.0) == 0.0 and smallest_bound_of(still) == 0.0


def test_bounds_that_are_confirmed_by_counting() -> None:
    rng, seeds = np.random.default_rng(8), 5
    bound = smallest_bound_of([Source(1 / seeds**0.5, seeds - 1.0)])
    drawn = rng.normal(0, 1, (4000, seeds))
    held = abs(drawn.mean(axis=1)) + stats.t.ppf(0.975, 4) * stats.sem(drawn, axis=1) < bound
    assert np.mean(held) == pytest.approx(0.8, abs=0.02)
    assert Estimate(0.0, 2, Source(1.0, 1.0)).confirmable != Estimate(0.0, 5, Source(1.0, 4.0)).confirmable


def row(data: str, detector: str, method: str, deviation: float, seeds: int = 3, images: float = 0.004) -> dict:
    told = {"data": data, "detector": detector, "method": method, "baseline": "iou", "metric": "AP", "seeds": seeds}
    told |= {"seed_deviation": deviation, "interaction_deviation": 0.002, "image_deviation": images}
    return told | {"test_images": 50, "study": "planted", "version": "1", "date": "2000-01-01"}


def test_what_images_do_by_hand() -> None:
    # Replicates of two seeds with variances 4 and 6 and covariance 1: 1 alike, 5 - 1 each anew.
    drawn = np.random.default_rng(0).normal(size=(500, 2))
    white = (drawn - drawn.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T
    pair = Measured(np.array([1.0, 2.0]), white @ np.linalg.cholesky([[4.0, 1.0], [1.0, 6.0]]).T)
    assert pair.image_variance == pytest.approx(1.0) and pair.interaction_variance == pytest.approx(4.0)
    opposed = Measured(pair.values, np.stack([drawn[:, 0], -drawn[:, 0]], axis=1))
    assert opposed.image_variance == 0.0 and opposed.interaction_variance == pytest.approx(drawn[:, 0].var(ddof=1))
    unknown = Measured(pair.values)
    assert np.isnan(unknown.image_variance) and np.isnan(unknown.interaction_variance)
    assert np.isnan(Measured(np.array([1.0]), drawn[:, :1]).interaction_variance)


def test_spreads_are_pooled_over_the_pairs_of_a_data_set() -> None:
    table = pd.DataFrame(
        [
            row("cells", "net", "a", 0.01),
            row("cells", "net", "b", 0.02, seeds=5),
            row("cells", "net", "same", 0.0),
            row("cells", "other", "a", 0.5),
            row("cells", "net", "unknown", 0.9, images=np.nan),
        ]
    )
    spread, source = spread_of(table, "AP", "cells", ["net"])
    assert spread.seeds**2 == pytest.approx((2 * 0.01**2 + 4 * 0.02**2) / 6)
    assert (spread.images, spread.tested) == (pytest.approx(0.004), 50)
    assert spread.freedom == pytest.approx(6 / 1.25)  # both share a baseline
    assert source == "2 pairs of 3 to 5 seeds on net, planted (1)"
    assert spread_of(table, "AP", "cells", ["unheard of"])[0].seeds > 0.2  # then those of all detectors
    chain = pd.DataFrame([row("cells", "net", "a", 0.01), {**row("cells", "net", "b", 0.02), "baseline": "a"}])
    assert spread_of(chain, "AP", "cells")[0].freedom == pytest.approx(4 / 1.25)  # a is in both
    chain.loc[1, "study"] = "another"
    assert spread_of(chain, "AP", "cells")[0].freedom == pytest.approx(4)
    assert spread_of(table, "AP75", "cells") is None and spread_of(table, "AP", "photos") is None


def test_the_packaged_table_is_whole() -> None:
    table = packaged()
    assert list(table.columns) == COLUMNS and len(table)
    assert (table.seeds >= 2).all() and (table.test_images > 0).all()
    assert table.seed_deviation.between(0, 0.2).all() and table.image_deviation.between(0, 0.2).all()
    assert not table.duplicated(["study", "data", "detector", "method", "baseline", "metric"]).any()
    assert table.date.str.fullmatch(r"\d{4}-\d\d-\d\d").all() and (table.version != "").all()
    for data in table.data.unique():
        assert spread_of(table, "AP", data)[0].seeds > 0


def test_sentences_below_tables() -> None:
    told = smallest_told([0.01, np.nan, 0.02], [0.03, np.nan, 0.03], "AP")
    assert "in AP" in told and "1.0 to 2.0 points" in told and told.endswith("the only one: 3.0.")
    assert smallest_told([np.nan], [np.nan], "AP") == ""
    tests = pd.DataFrame({"detectable": [1.0, 2.5, np.nan], "unit": ["points", "points", "rank correlation"]})
    assert smallest_values_told(tests)[0].endswith("1.0 to 2.5 points.")
    assert smallest_values_told(tests.iloc[2:]) == ()


def test_every_table_of_differences_says_what_it_could_have_seen(tmp_path) -> None:
    def boxes(method: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng([method, seed])
        rows = [(i, 0, 10 + rng.normal(0, 3 - method), 10, 40, 40, rng.uniform()) for i in range(20)]
        return boxes_table(rows, "score")

    objects = objects_table([(i, 0, 10, 10, 40, 40) for i in range(20)])
    for number, method in enumerate(("base", "ours")):
        for seed in range(3):
            write_cell(tmp_path, method, seed, objects, boxes(number, seed))
    asked = ("ours > base on AP", "ours = base on AP within 30", "gain of ours grows with crowdedness")
    study = study_of(tmp_path, ("base", "ours"), asked)
    (estimate,) = estimated(pairs_of(study), "AP")
    least = f"{100 * estimate.detectable:.1f}"
    found = {r.key: r for name in ("differences", "claims", "averages") for r in ANALYSES[name].run(study)}
    row = found["differences"].frame.query("metric == 'AP'").iloc[0]
    assert row.detectable == estimate.detectable
    assert any(f"in AP that such a study resolves in 80 % of its runs: {least} points" in n
               for n in result_table(found["differences"]).notes)  # fmt: skip
    (table,) = average_tables(found["averages"].frame, study.methods)
    assert any(f"{least} points; after correction, where it is the only one: {least}." in n for n in table.notes)
    greater, equal, trend = found["claims.tests"].frame.detectable
    assert greater == pytest.approx(100 * estimate.detectable) and np.isnan(trend)
    assert equal == pytest.approx(100 * estimate.confirmable) and equal > greater
    below = result_table(found["claims.tests"]).notes
    assert any(n.startswith("Smallest values that such a study resolves") and n.endswith(" points.") for n in below)
