"""Pairs: every method against its own baseline, labelled by what differs; verdicts corrected over the whole table."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.intervals import combined_interval, combined_p, fold_weights, jackknife_variance, paired_p
from assignbench.analysis.pairs import gains
from assignbench.config import Nms
from tests.analysis.planted import boxes_table, method_of, objects_table, study_of, write_cell


def study(tmp_path):
    """iou is the baseline of mlc (same recipe) and of paa (another NMS); fcos is musu's."""
    rng = np.random.default_rng(0)
    objects = objects_table([(i, 0, 10.0, 10, 30, 30) for i in range(200)])
    chance = {"iou": 0.5, "mlc": 0.8, "paa": 0.5, "fcos": 0.3, "musu": 0.3}
    for seed in range(5):
        for name, p in chance.items():
            hit = rng.random(200) < p
            found = boxes_table([(i, 0, 10.0, 10, 30, 30, 0.9) for i in np.flatnonzero(hit)], "score")
            method = method_of(name, nms=Nms(iou=0.6) if name == "paa" else None)
            write_cell(tmp_path, method, seed, objects, found)
    named = {"iou": "", "mlc": "iou", "paa": "iou", "fcos": "", "musu": "fcos"}
    return study_of(tmp_path, tuple(chance), ("mlc > iou on AP", "paa > iou on AP", "gone > iou on AP"), named)


def test_gains_are_over_the_named_baseline(tmp_path) -> None:
    made = study(tmp_path)
    rows = [{**c.keys, "AP": c.cell.summary["AP"]} for c in made.data()]
    found = gains(pd.DataFrame(rows), made)
    by = found.groupby("method").baseline.unique()
    assert by["mlc"].tolist() == by["paa"].tolist() == ["iou"] and by["musu"].tolist() == ["fcos"]
    values = pd.DataFrame(rows).set_index(["method", "seed"]).AP
    for row in found.itertuples():
        assert row.gain == pytest.approx(values[row.method, row.seed] - values[row.baseline, row.seed])
    assert dict(zip(found.method, found.pair, strict=True))["paa"] == "recipe"
    assert dict(zip(found.method, found.pair, strict=True))["mlc"] == "assigner"


def test_differences_are_one_family(tmp_path) -> None:
    results = {r.key: r.frame for r in ANALYSES["differences"].run(study(tmp_path))}
    table = results["differences"].set_index(["method", "metric"])
    assert table.loc["mlc", "AP"].verdict == "higher" and table.loc["mlc", "AP"].pair == "assigner"
    assert (table.p_holm >= table.p).all() and (table.p_holm.min() > table.p.min())
    assert set(table[table.p_holm >= 0.05].verdict) <= {"not resolvable"}
    images = results["differences.images"].set_index("method")
    assert images.loc["mlc"].low > 0 and images.loc["musu"].baseline == "fcos"


def test_a_claim_says_what_differs_and_what_cannot_be_tested(tmp_path) -> None:
    made = study(tmp_path)
    made.about["claims"] = made.about["claims"][:2]
    results = {r.key: r.frame for r in ANALYSES["claims"].run(made)}
    verdicts = results["claims"].set_index("claim")
    assert verdicts.verdict.tolist() == ["supported", "not resolvable"]
    assert verdicts.pair.tolist() == ["assigner", "recipe"]
    assert results["claims.tests"].baseline.tolist() == ["iou", "iou"]
    made.about["claims"] = [{"claim": "gain grows with occlusion"}]  # a column that these objects do not have
    told = ANALYSES["claims"].run(made)[0].frame
    assert told.verdict.tolist() == ["not testable"]


def test_the_combined_interval_by_hand() -> None:
    """Seeds 1, 2, 3: s²/n = 1/3. Images: 1/6 by 20 folds. V = 1/2; freedom = (1/2)² / ((1/3)²/2 + (1/6)²/19)."""
    freedom = 0.25 / ((1 / 9) / 2 + (1 / 36) / 19)
    interval = combined_interval([1.0, 2.0, 3.0], 1 / 6)
    from scipy import stats

    assert interval.half == pytest.approx(stats.t.ppf(0.975, freedom) * 0.5**0.5)
    p = combined_p([1.0, 2.0, 3.0], 1 / 6)
    assert p == pytest.approx(2 * stats.t.sf(2 / 0.5**0.5, freedom))
    assert combined_p([1.0, 2.0, 3.0], 0.0) == pytest.approx(paired_p([1.0, 2.0, 3.0]))
    assert np.isnan(combined_p([1.0, 2.0], 0.1)) and np.isnan(combined_p([1.0, 2.0, 3.0], float("nan")))
    assert combined_p([0.0, 0.0, 0.0], 0.0) == 1.0 and combined_p([1.0, 1.0, 1.0], 0.0) == 0.0


def test_the_jackknife_of_a_mean_is_its_variance() -> None:
    values = np.random.default_rng(1).normal(size=60)
    weights = fold_weights(60, 60)
    assert weights.shape == (61, 60) and weights[0].sum() == 60 and (weights[1:].sum(axis=1) == 59).all()
    means = (weights * values).sum(axis=1) / weights.sum(axis=1)
    assert jackknife_variance(means[1:]) == pytest.approx(values.var(ddof=1) / 60)
    assert fold_weights(7).shape == (8, 7) and np.isnan(jackknife_variance(means[:1]))
