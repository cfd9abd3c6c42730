"""Pairs: every method against its own baseline, labelled by what differs; verdicts corrected over a metric."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.claims import judged
from assignbench.analysis.differences import judged as judged_differences
from assignbench.analysis.measures import jackknife
from assignbench.analysis.pairs import estimated, gains, over_pairs, pair_of, pairs_of
from assignbench.config import Nms
from tests.analysis.planted import boxes_table, method_of, objects_table, study_of, write_cell

CHANCE = {"iou": 0.5, "mlc": 0.8, "paa": 0.5, "fcos": 0.3, "musu": 0.3}
BASELINES = {"iou": "", "mlc": "iou", "paa": "iou", "fcos": "", "musu": "fcos"}
PLACE = ("planted", "net")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """iou is the baseline of mlc (same recipe), of paa (another NMS) and of fcos (by its place); fcos is musu's."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    objects = objects_table([(i, 0, 10.0, 10, 30, 30) for i in range(200)])
    for seed in range(5):
        for name, p in CHANCE.items():
            hit = rng.random(200) < p
            found = boxes_table([(i, 0, 10.0, 10, 30, 30, 0.9) for i in np.flatnonzero(hit)], "score")
            method = method_of(name, nms=Nms(iou=0.6) if name == "paa" else None)
            write_cell(folder, method, seed, objects, found)
    return study_of(folder, tuple(CHANCE), baselines=BASELINES)


def test_gains_are_over_the_named_baseline(made) -> None:
    rows = [{**c.keys, "AP": c.cell.summary["AP"]} for c in made.data()]
    found = gains(pd.DataFrame(rows), made)
    by = found.groupby("method").baseline.unique()
    assert by["mlc"].tolist() == by["paa"].tolist() == ["iou"] and by["musu"].tolist() == ["fcos"]
    values = pd.DataFrame(rows).set_index(["method", "seed"]).AP
    for row in found.itertuples():
        assert row.gain == pytest.approx(values[row.method, row.seed] - values[row.baseline, row.seed])
    assert dict(zip(found.method, found.pair, strict=True))["paa"] == "recipe"
    assert dict(zip(found.method, found.pair, strict=True))["mlc"] == "assigner"


def test_differences_are_corrected_over_the_comparisons_of_a_metric(made) -> None:
    results = {r.key: r for r in ANALYSES["differences"].run(made)}
    table = results["differences"].frame.set_index(["method", "metric"])
    assert table.loc["mlc", "AP"].verdict == "higher" and table.loc["mlc", "AP"].pair == "assigner"
    assert table.loc["fcos", "AP"].verdict == "lower" and table.loc["musu", "AP"].baseline == "fcos"
    assert "p" not in table and results["differences.tests"].role == "appendix"  # raw p stands in no headline
    tests = results["differences.tests"].frame.set_index("metric")
    for _, family in tests.groupby(level=0):
        smallest = family.p.min()
        assert family.p_holm.min() == pytest.approx(min(1.0, len(family) * smallest))
        assert (family.p_holm >= family.p).all() and len(family) == 4


def test_the_parts_of_an_interval_and_for_whom_they_speak(made) -> None:
    table = ANALYSES["differences"].run(made)[0].frame.query("metric == 'AP'").set_index("method")
    np.testing.assert_allclose(table.half**2, table.seeds_half**2 + table.images_half**2)
    assert set(table.population) == {"other seeds and images"} and set(table.n) == {5}
    assert (table.detectable > table.half).all()  # a half-width is half the power
    values = [pair_of(made, "mlc", "iou", PLACE).measured("AP", images=False).values.mean()]
    assert table.loc["mlc"].difference == pytest.approx(values[0])


def test_a_study_may_name_another_primary_metric(made) -> None:
    made.about["primary"] = "AR100"
    try:
        table = ANALYSES["differences"].run(made)[0].frame
    finally:
        del made.about["primary"]
    assert table.metric.drop_duplicates().tolist() == ["AR100", "AP", "AP50", "AP75"]


def test_a_pair_asked_the_other_way_round_is_no_second_witness(made) -> None:
    """The spread of `iou > mlc` is that of `mlc > iou`: the same moderated interval, the other sign."""
    asked = [pair_of(made, "iou", "mlc", PLACE)]
    (found,) = estimated(asked, "AP", beside=pairs_of(made))
    of_table = dict(zip([p.method for p in pairs_of(made)], estimated(pairs_of(made), "AP"), strict=True))["mlc"]
    assert (found.mean, found.half, found.p) == pytest.approx((-of_table.mean, of_table.half, of_table.p))


def test_pairs_that_hang_together_are_no_independent_witnesses(made) -> None:
    """Four pairs in one piece, of which two have another baseline than the rest: 4 x 4 / (1 + 3/4) degrees at most."""
    found = estimated(pairs_of(made), "AP")
    assert max(e.seeds.freedom for e in found) <= 16 / 1.75 + 1e-9


def test_pairs_of_another_data_set_lend_no_spread(made) -> None:
    """Two data sets with one pair each: both intervals are Student's own."""
    pair = pair_of(made, "mlc", "iou", PLACE)
    both = [pair, replace(pair, data="another")]
    found = over_pairs(both, [p.measured("AP", images=False) for p in both])
    assert {e.seeds.freedom for e in found} == {4.0}


def test_replicates_weigh_the_images_of_all_cells_alike(made) -> None:
    """A method that is its own copy differs by nothing in any replicate."""
    pair = pair_of(made, "mlc", "mlc", PLACE)
    sample = pair.measured("AP")
    assert sample.replicates.shape == (200, 5) and not sample.replicates.any() and not sample.values.any()
    rows = jackknife(200).rows
    assert (rows > 0).all() and ((rows < 1).sum(axis=1) == 40).all() and (rows.max(axis=1) == 1).all()
    assert jackknife(200).rows is not rows and (jackknife(200).rows == rows).all()


CLAIMS = {
    "mlc > iou on AP": ("supported", "assigner", ""),
    "paa > iou on AP": ("not resolvable", "recipe", ""),
    "mlc > iou on spearman": ("not testable", "assigner", "the records do not hold it"),
    "gone > iou on AP": ("not testable", "", "gone has no cell in the study"),
    "gain of iou grows with aspect_ratio": ("not testable", "", "iou is compared with nothing"),
    "gain of mlc grows with occlusion": ("not testable", "assigner", "the objects have no occlusion"),
    "gain of mlc grows with crowdedness": ("not testable", "assigner", "only sparse holds 30 objects"),
    "divergence predicts AP": ("not testable", "", "0 methods with recorded candidates"),
}


def test_eight_claims_are_eight_rows_with_their_reasons(made) -> None:
    made.about["claims"] = [{"claim": c, "paper": "One, Table 1"} for c in CLAIMS]
    results = {r.key: r.frame for r in ANALYSES["claims"].run(made)}
    table = results["claims"]
    assert table.claim.tolist() == list(CLAIMS)
    for row, (verdict, pair, why) in zip(table.itertuples(), CLAIMS.values(), strict=True):
        assert row.verdict == verdict and row.pair == (pair or "–"), row.claim
        assert why in row.reason and (row.reason == "–") == (not why), row.claim
    assert len(results["claims.tests"]) == len(CLAIMS)


def test_a_claim_on_data_that_the_study_does_not_have_is_not_testable(made) -> None:
    table = judged([{"claim": "mlc > iou on AP", "data": ["elsewhere"]}], made)
    assert table.claim_verdict.tolist() == ["not testable"] and "data sets" in table.reason[0]


def test_claims_of_one_paper_are_one_family(made) -> None:
    """Whatever else the study asks of other papers costs a paper's claims nothing."""
    mine = {"claim": "mlc > iou on AP", "paper": "One, Table 1"}
    others = [{"claim": f"paa > iou on {m}", "paper": p} for m, p in (("AP", "One, Fig. 2"), ("AP50", "Two, Table 1"))]
    alone, together = judged([mine], made).iloc[0], judged([mine, *others], made).iloc[0]
    assert together.p == pytest.approx(alone.p) and together.p_holm == pytest.approx(2 * alone.p)


def test_equality_needs_room_and_says_the_difference(made) -> None:
    asked = ("mlc = iou on AP within 60", "mlc = iou on AP within 5", "paa = iou on AP within 8")
    table = judged([{"claim": c} for c in asked], made).set_index("claim")
    assert table.loc[asked[0]].verdict == "supported" and table.loc[asked[1]].verdict == "contradicted"
    e = estimated([pair_of(made, "paa", "iou", PLACE)], "AP", beside=pairs_of(made))[0]
    row = table.loc[asked[2]]
    assert row.value == pytest.approx(8 - 100 * abs(e.mean)) and row.p == pytest.approx(2 * e.p_within(0.08))
    assert row.detail == f"difference {100 * e.mean:+.1f} ± {100 * e.half:.1f}"


def test_the_table_of_differences_and_the_averages_say_the_same(made) -> None:
    table = judged_differences(pairs_of(made), ["AP"]).set_index("method")
    averages = ANALYSES["averages"].run(made)[0].frame.query("metric == 'AP'").set_index("method")
    for method in ("mlc", "paa", "musu"):
        ours = averages.loc[method, ["delta", "delta_half", "detectable"]].tolist()
        assert ours == pytest.approx(table.loc[method, ["difference", "half", "detectable"]].tolist())
