"""Each measure by hand, and on planted data whose answer is known."""

import shutil

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.base import CellData
from assignbench.analysis.divergence import summarise
from assignbench.analysis.lines import fitted_line, slope
from assignbench.analysis.nms import THRESHOLDS
from assignbench.analysis.parts import STANDARD_AREAS, area_groups, image_groups, object_groups
from assignbench.analysis.quality import mean_curves, reliability
from assignbench.measure.correlation import rank_correlation
from assignbench.measure.groups import CROWDING, PER_IMAGE
from assignbench.records import CellRecord
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell

SEEDS = 3


def tables_of(name: str, study) -> dict[str, pd.DataFrame]:
    """An analysis' tables by key."""
    return {r.key: r.frame for r in ANALYSES[name].run(study)}


def single(name: str, study) -> pd.DataFrame:
    """The first table of an analysis."""
    return ANALYSES[name].run(study)[0].frame


def test_spearman_of_one_minus_one_and_zero() -> None:
    """Ranks 1234 against 1234, 4321, and 2413: 1 - 6 sum d^2 / (n (n^2 - 1)) = 1, -1 and 1 - 6 * 10 / 60 = 0."""
    iou = np.array([0.2, 0.4, 0.6, 0.8])
    table = pd.concat(
        [
            pd.DataFrame({"object_id": 1, "ranking_score": iou / 2, "iou": iou}),
            pd.DataFrame({"object_id": 2, "ranking_score": 1 - iou, "iou": iou}),
            pd.DataFrame({"object_id": 3, "ranking_score": [0.2, 0.4, 0.1, 0.3], "iou": iou}),
            pd.DataFrame({"object_id": 4, "ranking_score": [0.5], "iou": [0.9]}),
            pd.DataFrame({"object_id": 5, "ranking_score": [0.5, 0.5], "iou": [0.9, 0.8]}),
        ]
    )
    found = rank_correlation(table).set_index("object_id").spearman
    assert found.loc[[1, 2, 3]].tolist() == pytest.approx([1, -1, 0], abs=1e-12)
    assert found.loc[[4, 5]].isna().all()
    table["cls_score"] = -table.ranking_score
    told = summarise(pd.DataFrame({"object_id": [1, 2, 3, 4, 5, 6]}), table)
    assert (told["objects"], told["left_out"]) == (3, 3)
    assert told["spearman_rank"] == pytest.approx(0, abs=1e-12)


def nms_cell(folder, lost: int, total: int):
    """Objects of 10 x 10 px with an exact box and one of IoU 0.6 each; the poor one wins for `lost` objects."""
    objects = objects_table([(i, 0, 50.0, 50, 60, 60) for i in range(total)])
    rows = []
    for i in range(total):
        good, poor = (0.5, 0.9) if i < lost else (0.9, 0.5)
        rows += [(i, 0, 50.0, 50, 60, 60, good), (i, 0, 52.5, 50, 62.5, 60, poor)]
    before = boxes_table(rows, "score")
    after = before[before.score == 0.9]
    return write_cell(folder, "iou", 0, objects, after, pre_nms=before)


def test_nms_loses_exactly_the_planted_share(tmp_path) -> None:
    """Three of ten objects keep a box of IoU 0.6 only: NR is 1 up to 0.60 and 0.7 above; their AP is lost there."""
    nms_cell(tmp_path, 3, 10)
    study = study_of(tmp_path, ("iou",))
    tables = tables_of("nms", study)
    row = tables["nms"].set_index("reading").loc["coverage"]
    wanted = [1.0 if t <= 0.6 else 0.7 for t in THRESHOLDS]
    assert [row[f"NR{round(100 * t)}"] for t in THRESHOLDS] == pytest.approx(wanted)
    assert pytest.approx(np.mean(wanted)) == row.NR
    oracle = tables["nms.oracle"].iloc[0]
    assert oracle.AP_oracle == pytest.approx(1.0)
    # Above IoU 0.6 three of ten equally scored detections are wrong, and three objects are missed.
    assert oracle.misranking == pytest.approx(1 - oracle.AP) and oracle.misranking > 0.2


GROUPS = 6
PER_GROUP = 800
BASE, OFFSET, BY_CROWD, BY_LENGTH = 0.35, 0.02, 0.30, 0.05
STEP = 1 / 101  # a recall of so many objects is read off in steps of this size


def planted_study(folder):
    """Objects of known crowdedness and elongation; `better` finds them more often, the more the larger both are.

    Nothing else is detected, so that AP is the share of objects found.
    """
    for seed in range(SEEDS):
        rng = np.random.default_rng([7, seed])
        crowd = np.repeat([0.05, 0.3, 0.7], PER_GROUP * GROUPS // 3)
        length = np.tile([1.2, 2.0, 3.0, 5.0], len(crowd) // 4)
        rows = [(i, 0, 10.0, 10, 30, 30) for i in range(len(crowd))]
        objects = objects_table(rows, crowdedness=crowd, aspect_ratio=length, image_crowdedness=crowd)
        for method, gain in (("iou", 0.0), ("better", OFFSET + BY_CROWD * crowd + BY_LENGTH * length)):
            found = rng.random(len(crowd)) < BASE + gain
            detections = boxes_table([(*r, 0.9) for r, hit in zip(rows, found, strict=True) if hit], "score")
            write_cell(folder, method, seed, objects, detections)
    return study_of(
        folder,
        ("iou", "better"),
        (
            "better > iou on AP",
            "iou > better on AP",
            "gain of better grows with crowdedness",
            "gain grows with aspect_ratio",
            "AP75 gain > AP50 gain",
            "better > iou on AP_dense",
        ),
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The planted study, read once."""
    return planted_study(tmp_path_factory.mktemp("planted"))


def test_planted_gains_are_recovered_within_their_intervals(planted) -> None:
    study = planted
    by_crowd = single("crowdedness", study)
    ours = by_crowd[by_crowd.method == "better"].set_index("group")
    mean_length = np.mean([1.2, 2.0, 3.0, 5.0])
    for group, value in (("sparse", 0.05), ("medium", 0.3), ("dense", 0.7)):
        expected = OFFSET + BY_CROWD * value + BY_LENGTH * mean_length
        assert abs(ours.loc[group].gain - expected) < ours.loc[group].gain_half + STEP, group
        assert ours.loc[group].objects == PER_GROUP * GROUPS / 3
    slopes = single("factors", study).set_index("factor")
    # By image and over the baseline's AP for crowdedness, by object and in points for elongation.
    for factor, expected, step in (
        ("crowdedness", 100 * BY_CROWD / BASE, 100 * STEP / 0.65 / BASE),
        ("aspect_ratio", 100 * BY_LENGTH, 100 * STEP / 3.8),
    ):
        half = slopes.loc[factor].half
        assert 0 < half < expected and abs(slopes.loc[factor].slope - expected) < half + step, factor
        assert slopes.loc[factor].verdict == "higher"
    assert slopes.loc["occlusion"].verdict == "not testable"
    assert slopes.loc["occlusion"].reason == "the objects have no occlusion"
    assert slopes.loc["crowdedness"].by_group.startswith("sparse +")
    length = single("aspect_ratio", study)
    gains = length[length.method == "better"].set_index("group").gain
    assert gains.is_monotonic_increasing and len(gains) == 4


def test_verdicts_on_planted_claims(planted) -> None:
    table = single("claims", planted).set_index("claim").verdict
    assert table["better > iou on AP"] == "supported"
    assert table["iou > better on AP"] == "contradicted"
    assert table["gain of better grows with crowdedness"] == "supported"
    assert table["gain grows with aspect_ratio"] == "supported"
    assert table["better > iou on AP_dense"] == "supported"
    assert table["AP75 gain > AP50 gain"] == "not resolvable"  # boxes are exact: both gains are the same


def test_one_seed_resolves_nothing(tmp_path) -> None:
    objects = objects_table([(i, 0, 10.0, 10, 30, 30) for i in range(50)])
    everything = boxes_table([(i, 0, 10.0, 10, 30, 30, 0.9) for i in range(50)], "score")
    write_cell(tmp_path, "iou", 0, objects, everything[:10])
    write_cell(tmp_path, "better", 0, objects, everything)
    study = study_of(tmp_path, ("iou", "better"), ("better > iou on AP",))
    assert single("claims", study).verdict.tolist() == ["not resolvable"]
    differences = single("differences", study)
    assert set(differences.verdict) == {"not resolvable"} and (differences.difference > 0.7).all()


def test_divergence_by_rule_and_its_correlation_with_ap(tmp_path) -> None:
    """Six methods of growing Spearman that find one object to six: correlation 1 over methods, five say nothing."""
    objects = objects_table([(i, 0, 10.0, 10, 30, 30) for i in range(6)])
    iou = [0.45, 0.55, 0.65, 0.75]
    scores = {
        "low": [4, 3, 2, 1], "lower": [4, 3, 1, 2], "middle": [2, 4, 1, 3],
        "higher": [2, 1, 4, 3], "next": [1, 2, 4, 3], "high": [1, 2, 3, 4],
    }  # fmt: skip
    for seed in range(2):
        for count, (name, order) in enumerate(scores.items(), start=1):
            part = pd.DataFrame({"cls_score": 0.5, "ranking_score": np.array(order) / 10, "iou": iou})
            candidates = pd.concat([part.assign(object_id=i) for i in objects.object_id])
            candidates["in_jk"] = candidates.iou > 0.4
            candidates = candidates.assign(image_id=0, prior=0, level=0, quality_score=1.0)
            found = boxes_table([(i, 0, 10.0, 10, 30, 30, 0.9) for i in range(count)], "score")
            write_cell(tmp_path, name, seed, objects, found, candidates=candidates)
    study = study_of(tmp_path, tuple(scores), ("divergence predicts AP",))
    tables = tables_of("divergence", study)
    by_rule = tables["divergence"]
    jk = by_rule[by_rule.candidates == "J_k"].set_index("method").spearman_rank
    assert jk.loc[["low", "middle", "high"]].tolist() == pytest.approx([-1, 0, 1], abs=1e-12)
    strict = by_rule[by_rule.candidates == "IoU ≥ 0.5"].set_index("method")
    assert strict.loc["middle"].spearman_rank == pytest.approx(-0.5)  # ranks 3, 1, 2 against 1, 2, 3
    predicted = tables["divergence.predicts"].iloc[0]
    assert predicted.methods == 6 and predicted.correlation == pytest.approx(1.0)
    p = tables["divergence.p"].p.iloc[0]
    assert "p" not in predicted and 2 / 720 / 2 < p < 2 / 720 * 2  # two of the 720 orders are as far from 0
    assert single("claims", study).verdict.tolist() == ["supported"]
    for seed in range(2):
        shutil.rmtree(tmp_path / f"net-next-planted-seed{seed}")
    few = study_of(tmp_path, tuple(scores), ("divergence predicts AP",))
    told = tables_of("divergence", few)["divergence.predicts"].iloc[0]
    assert np.isnan(told.correlation) and told.untestable.startswith("5 methods with recorded candidates; 6 are")
    assert single("claims", few).verdict.tolist() == ["not testable"]


def test_iou_prediction_by_hand(tmp_path) -> None:
    """Two exact boxes predicted at 0.9 and 0.8, one of IoU 0.6 predicted at 0.8: error (.1 + .2 + .2) / 3."""
    objects = objects_table([(i, 0, 50.0, 50, 60, 60) for i in range(3)])
    rows = [(0, 0, 50.0, 50, 60, 60, 0.9), (1, 0, 50.0, 50, 60, 60, 0.8), (2, 0, 52.5, 50, 62.5, 60, 0.8)]
    boxes = boxes_table(rows, "quality_score").assign(cls_score=0.5)
    boxes["score"] = boxes.cls_score * boxes.quality_score
    write_cell(tmp_path, "paa", 0, objects, boxes, pre_nms=boxes, quality="iou")
    row = single("quality", study_of(tmp_path, ("paa",))).iloc[0]
    assert row.error_kept == pytest.approx(0.5 / 3) and row.bias_kept == pytest.approx(-0.1 / 3)
    rows = {r["bin"]: r for r in reliability(np.array([0.81, 0.89, 0.2]), np.array([0.7, 0.9, 0.1]))}
    assert rows["0.8-0.9"]["true"] == pytest.approx(0.8) and rows["0.2-0.3"]["boxes"] == 1


def test_reliability_rests_on_enough_boxes_of_every_seed() -> None:
    """A bin that one seed does not fill, or does not have, has no number; below three seeds there is no interval."""
    boxes = {"0.5-0.6": (50, 60, 70), "0.6-0.7": (49, 500, 500), "0.7-0.8": (900, 900, None)}
    rows = [
        {"seed": seed, "bin": name, "predicted": 0.1 * seed, "true": 0.1 * seed, "boxes": float(count)}
        for name, counts in boxes.items()
        for seed, count in enumerate(counts)
        if count is not None
    ]
    keys = {"data": "d", "detector": "net", "method": "paa"}
    table = mean_curves(pd.DataFrame(rows).assign(**keys)).set_index("bin")
    assert table.fewest.to_dict() == {"0.5-0.6": 50, "0.6-0.7": 49, "0.7-0.8": 0}
    assert table.true["0.5-0.6"] == pytest.approx(0.1) and table.true_half["0.5-0.6"] > 0
    assert table.loc[["0.6-0.7", "0.7-0.8"], ["predicted", "true", "true_half"]].isna().all(axis=None)
    two = mean_curves(pd.DataFrame([r for r in rows if r["seed"] < 2]).assign(**keys)).set_index("bin")
    assert two.true["0.7-0.8"] == pytest.approx(0.05) and two.true_half.isna().all() and (two.n == 2).all()


def test_oracle_iou_ranks_the_exact_box_first(tmp_path) -> None:
    objects = objects_table([(i, 0, 50.0, 50, 60, 60) for i in range(4)])
    poor = [(i, 0, 52.5, 50, 62.5, 60, 0.6, 0.9) for i in range(4)]
    good = [(i, 0, 50.0, 50, 60, 60, 0.6, 0.5) for i in range(4)]
    before = boxes_table(poor + good, "cls_score quality_score")
    before["score"] = before.cls_score * before.quality_score
    write_cell(tmp_path, "paa", 0, objects, before[:4], pre_nms=before, quality="iou")
    row = tables_of("quality", study_of(tmp_path, ("paa",)))["quality.oracle"].iloc[0]
    assert pytest.approx(0.3) == row.AP and row.AP_oracle == pytest.approx(1.0)  # IoU 0.6: three of ten thresholds


def test_size_uses_the_studys_areas_and_says_na(tmp_path) -> None:
    """Tiny objects on ten images are all found, those of the rest on ten others are not."""
    boxes = [(i, 0, 0.0, 0, 10, 10) for i in range(10)]
    objects = objects_table([*boxes, *((i + 10, 0, 0.0, 0, 50, 50) for i in range(10))])
    write_cell(tmp_path, "iou", 0, objects, boxes_table([(*box, 0.9) for box in boxes], "score"))
    study = study_of(tmp_path, ("iou",))
    study.about.update(
        least_objects=10, areas={"tiny": [0, 200], "rest": [200, 9000], "huge": [9000, 1e9]}, max_dets=[1, 300]
    )
    tables = tables_of("size", study)
    table = tables["size"].set_index("group")
    assert pytest.approx(1.0) == table.loc["tiny"].AP and table.loc["rest"].AP == 0.0
    assert np.isnan(table.loc["huge"].AP) and table.loc["huge"].objects == 0
    assert tables["size.recall"].AR300.tolist() == [0.5]


def test_lines_and_slopes_by_hand() -> None:
    assert slope([0, 1, 2], [1, 3, 5]) == pytest.approx(2.0)
    assert np.isnan(slope([1, 1], [0, 5]))
    line = fitted_line([0, 1, 2, 3], [0, 2, 1, 3])  # by hand: slope 0.8, intercept 0.3, leverages .7, .3, .3, .7
    assert (line.slope, line.intercept, line.freedom) == pytest.approx((0.8, 0.3, 2))
    left_out = np.array([-0.3 / 0.3, 0.9 / 0.7, -0.9 / 0.7, 0.3 / 0.3])
    assert line.error == pytest.approx(np.sqrt(np.array([1.5, 0.5, 0.5, 1.5]) ** 2 @ left_out**2) / 5)
    assert fitted_line([1, 1, 1, 2], [0, 0, 0, 1]).error < 1e-9 and np.isnan(fitted_line([1, 1], [0, 5]).error)


def test_a_cells_group_numbers_count_what_can_be_missed(tmp_path) -> None:
    objects = objects_table([(0, 0, 0.0, 0, 10, 10), (1, 0, 0.0, 0, 50, 50)])
    objects.loc[1, "difficult"] = True
    folder = write_cell(tmp_path, "iou", 0, objects, boxes_table([(0, 0, 0.0, 0, 10, 10, 0.9)], "score"))
    cell = CellData(CellRecord(folder))
    (part,) = object_groups(CROWDING, cell)
    assert part.about["objects"] == 1 and part.images == 1
    assert [p.about["objects"] for p in area_groups(STANDARD_AREAS, cell)] == [1, 0, 0]
    assert [(p.images, p.about["objects"]) for p in image_groups(PER_IMAGE, cell)] == [(1, 1)]


def test_an_import_without_candidates_has_no_jk(tmp_path) -> None:
    """Its boxes stand in for the predictions near an object, but nobody knows which priors were its candidates."""
    objects = objects_table([(i, 0, 50.0, 50, 60, 60) for i in range(3)])
    rows = [(i, 0, 50.0 + s, 50, 60 + s, 60, 0.9 - s / 10) for i in range(3) for s in (0, 1, 2)]
    before = boxes_table(rows, "score")
    write_cell(tmp_path, "iou", 0, objects, before, pre_nms=before)
    study = study_of(tmp_path, ("iou",), ("divergence predicts AP",))
    tables = tables_of("divergence", study)
    assert tables["divergence"].candidates.tolist() == ["IoU ≥ 0.5"]
    assert tables["divergence"].spearman_rank.tolist() == pytest.approx([1.0])
    assert tables["divergence.cells"].empty
    told = single("claims", study).iloc[0]
    assert told.verdict == "not testable" and told.reason.startswith("0 methods with recorded candidates")


def test_every_result_is_listed_once(planted) -> None:
    """Keys are the analysis' name or begin with it, no two are the same, and units name columns that are there."""
    study, keys = planted, []
    for name in ("size", "crowdedness", "aspect_ratio", "factors", "errors", "differences", "claims"):
        for result in ANALYSES[name].run(study):
            keys.append(result.key)
            assert result.key == name or result.key.startswith(f"{name}."), result.key
            assert result.frame.empty or set(result.units) <= set(result.frame.columns), result.key
    assert len(keys) == len(set(keys)) and len(keys) >= 12
