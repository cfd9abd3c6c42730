"""AP on parts of a test split, class by class and measure by measure, with what seeds and images leave open."""

import shutil

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.base import StudyRecord
from assignbench.analysis.measures import LEAST_IMAGES, images_of_part, jackknife, whole
from assignbench.analysis.metrics import ALWAYS, ERRORS
from assignbench.analysis.pairs import estimated, pairs_of
from assignbench.analysis.parts import Part, too_few
from assignbench.config.evaluation import LEAST_OBJECTS
from assignbench.measure.matching import BOX
from assignbench.measure.precision import average_precision
from assignbench.records import write_json
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell

IMAGES = 24
MODEL, BOTH = "other images, these models", "other seeds and images"


def planted(folder, seeds: int, rare: int = 4, least: float = 20) -> StudyRecord:
    """Two methods on images of two classes, the second one ("rare") on a few images alone, its boxes `least` px wide
    and high; "better" finds more.
    """
    rng = np.random.default_rng(5)
    rows = [(i, 0, *_box(rng)) for i in range(IMAGES) for _ in range(3)]
    rows += [(i, 1, *_box(rng, least)) for i in range(rare)]
    objects = objects_table(rows)
    for seed in range(seeds):
        for method, lost in (("base", 0.5), ("better", 0.05)):
            draws = np.random.default_rng([seed, int(100 * lost)])
            kept = objects[draws.random(len(objects)) > lost]
            near = kept[BOX].to_numpy() + draws.normal(0, 2, (len(kept), 4))
            scored = zip(kept.image_id, kept.label, near.tolist(), draws.random(len(kept)), strict=True)
            found = [(image, label, *box, score) for image, label, box, score in scored]
            found += [(int(draws.integers(IMAGES)), 0, *_box(draws), float(draws.random())) for _ in range(20)]
            write_cell(folder, method, seed, objects, boxes_table(found, "score"), classes=("common", "rare"))
    return study_of(folder, ("base", "better"))


def _box(rng, least: float = 20):
    corner, size = rng.uniform(0, 100, 2), rng.uniform(least, least + 40, 2)
    return (*corner.tolist(), *(corner + size).tolist())


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> StudyRecord:
    return planted(tmp_path_factory.mktemp("single"), 1)


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> StudyRecord:
    return planted(tmp_path_factory.mktemp("three"), 3)


def table(study: StudyRecord, name: str) -> pd.DataFrame:
    return ANALYSES[name].run(study)[0].frame


def test_one_model_per_method_has_intervals_over_images_everywhere(single) -> None:
    (pair,) = pairs_of(single)
    ours, theirs = pair.ours[0], pair.theirs[0]
    both = [average_precision(c.matches, jackknife(IMAGES).rows)[:, :, 0].mean(axis=1) for c in (ours, theirs)]
    by_class = table(single, "classes").set_index(["method", "class"])
    row = by_class.loc[("better", "common")]
    t = 2.0686576  # 97.5 % of Student's t with 23 degrees of freedom: images less one
    reach = jackknife(IMAGES).reach * (25 / 23) ** 0.5
    assert row.AP_half == pytest.approx(reach * t * both[0].std(ddof=1), rel=1e-6)
    assert row.half == pytest.approx(reach * t * (both[0] - both[1]).std(ddof=1), rel=1e-6)
    exact = [average_precision(c.matches, whole(IMAGES).rows)[0, :, 0].mean() for c in (ours, theirs)]
    assert (row.AP, row.difference) == pytest.approx((exact[0], exact[0] - exact[1]))
    assert (row.population, row.verdict, row.n) == (MODEL, "not resolvable", 1)
    metrics = table(single, "metrics")
    assert set(metrics.measure) >= {*ALWAYS, *ERRORS} - {"APl", "ARl"}
    known = metrics[metrics.population == MODEL]
    assert (known.value_half > 0).all() and {"AP", "AP50", "AP75", "AR100", *ERRORS} <= set(known.measure)
    groups = table(single, "crowdedness")
    assert (groups.population == MODEL).any() and groups[groups.population == MODEL].AP_half.notna().all()
    whole_ap = table(single, "averages").set_index(["method", "metric"]).loc[("better", "AP")]
    same = metrics.set_index(["method", "measure"]).loc[("better", "AP")]
    assert (whole_ap["mean"], whole_ap.half) == pytest.approx((same.value, same.value_half))


def test_too_few_images_say_nothing_about_others(single, three) -> None:
    assert LEAST_IMAGES > 4
    row = table(single, "classes").set_index(["method", "class"]).loc[("better", "rare")]
    assert np.isnan(row.AP_half) and np.isnan(row.half)
    assert (row.population, row.verdict) == ("these models and images", "not testable")
    assert row.reason == f"fewer than {LEAST_IMAGES} images hold it"
    row = table(three, "classes").set_index(["method", "class"]).loc[("better", "rare")]
    assert row.AP_half > 0 and (row.population, row.verdict) == ("other seeds, these images", "not testable")


def test_several_seeds_have_verdicts_and_both_sources(three) -> None:
    by_class = table(three, "classes")
    row = by_class.set_index(["method", "class"]).loc[("better", "common")]
    assert row.verdict == "higher" and row.population == BOTH and row.n == 3
    assert set(by_class[by_class.method == "base"].verdict) == {""}
    (behind,) = ANALYSES["classes"].run(three)[1:]
    assert behind.role == "appendix" and behind.frame["class"].tolist() == ["common"]
    metrics = table(three, "metrics").set_index(["method", "measure"])
    difference = table(three, "differences").set_index("metric").loc["AP"]
    same = metrics.loc[("better", "AP")]
    assert (same.difference, same.difference_half) == pytest.approx((difference.difference, difference.half))
    assert metrics.loc[("better", "oLRP")].difference < 0 and metrics.loc[("better", "oLRP")].better == "less"


def test_groups_gain_what_their_differences_say(three) -> None:
    groups = table(three, "crowdedness")
    wide = groups.pivot(index="group", columns="method", values="AP")
    ours = groups[groups.method == "better"].set_index("group")
    assert (ours.gain - (wide.better - wide.base)).abs().max() < 1e-12
    assert (ours.relative_gain - ours.gain / wide.base).abs().max() < 1e-12
    assert "gain_n" not in groups


def test_a_part_has_one_interval_in_every_table(tmp_path) -> None:
    """As many images as hold the part tell its variance, whichever table asks: not all images in one of them."""
    study = planted(tmp_path, 3, rare=LEAST_IMAGES + 1, least=100)
    (pair,) = pairs_of(study)
    study.about["least_objects"] = LEAST_IMAGES
    assert images_of_part(pair.ours[0], "APl") == LEAST_IMAGES + 1 < IMAGES
    for name, measure, group in (("size", "APl", "large"), ("crowdedness", "AP_sparse", "sparse")):
        row = table(study, name).set_index(["method", "group"]).loc["better", group]
        assert estimated([pair], measure)[0].half == pytest.approx(row.gain_half, rel=1e-9)
        if name == "size":
            same = table(study, "metrics").set_index(["method", "measure"]).loc["better", measure]
            assert (row.AP_half, row.gain_half) == pytest.approx((same.value_half, same.difference_half), rel=1e-9)
    rare = table(study, "classes").set_index(["method", "class"]).loc["better", "rare"]
    assert estimated([pair], "AP[rare]")[0].half == pytest.approx(rare.half, rel=1e-9)


@pytest.mark.parametrize("name", ["size", "crowdedness"])
def test_a_group_of_few_objects_has_no_number_and_no_test(three, name) -> None:
    """It is in no family either: the other groups are corrected for each other alone."""
    found = ANALYSES[name].run(three)
    groups, behind = found[0].frame, {r.key: r.frame for r in found}[f"{name}.p"]
    few = groups[(groups.objects > 0) & (groups.objects < LEAST_OBJECTS)]
    assert len(few) and few[["AP", "AP_half", "gain", "gain_half", "relative_gain"]].isna().all(axis=None)
    assert (few.too_few == few.objects.astype(str) + " objects").all()
    told = few[few.method == "better"]
    assert (told.verdict == "not testable").all() and (told.reason == told.too_few).all()
    assert not set(few.group) & set(behind.group) and (behind.p_holm <= len(behind) * behind.p + 1e-12).all()
    others = groups[groups.objects >= LEAST_OBJECTS]
    assert len(others) and others[["AP", "AP_half"]].notna().all(axis=None) and (others.too_few == "").all()


def test_what_a_part_holds_too_little_of() -> None:
    """Objects first where the group is of objects, images first where it is of images; nothing is not too little."""

    def told(held: int, **about: int) -> str:
        return too_few(Part("g", about, held, curve=None), LEAST_OBJECTS)  # type: ignore[arg-type]

    assert [told(9, objects=5), told(2, objects=1), told(9, objects=90)] == ["5 objects", "1 object", "9 images"]
    assert [told(3, images=3, objects=16), told(40, images=40, objects=20)] == ["3 images", "20 objects"]
    assert [told(0, objects=0), told(30, objects=30)] == ["", ""]


def test_a_seed_that_the_baseline_lacks_shows_in_the_gain(tmp_path) -> None:
    planted(tmp_path, 2)
    shutil.rmtree(tmp_path / "net-base-planted-seed1")
    groups = table(study_of(tmp_path, ("base", "better")), "crowdedness")
    ours = groups[groups.method == "better"]
    assert (ours.n == 2).all() and (ours.gain_n[ours.too_few == ""] == "1").all()
    for name in ("classes", "metrics"):
        mine = table(study_of(tmp_path, ("base", "better")), name).query("method == 'better'")
        assert (mine.n == 2).all() and (mine.difference_n == "1").all()
        assert not mine.difference_population.str.startswith("other seeds").any()


def test_one_method_alone_has_no_columns_of_comparison(tmp_path) -> None:
    planted(tmp_path, 1)
    shutil.rmtree(tmp_path / "net-better-planted-seed0")
    study = study_of(tmp_path, ("base",))
    for name in ("classes", "metrics", "crowdedness"):
        told = set(table(study, name))
        assert {"n", "population"} <= told and not told & {"baseline", "pair", "verdict", "reason", "gain_n"}


def test_a_baseline_without_cells_is_named_and_its_reason_told(tmp_path) -> None:
    planted(tmp_path, 1)
    failed = tmp_path / "net-base-planted-seed0"
    (failed / "manifest.json").unlink()
    write_json(failed / "status.json", {"state": "failed", "reason": "no memory"})
    study = study_of(tmp_path, ("base", "better"))
    for name in ("classes", "metrics", "crowdedness"):
        told = table(study, name)
        assert set(told.method) == {"better"} and set(told.baseline) == {"base"}
    told = table(study, "classes")
    assert set(told.verdict) == {"not testable"} and told.reason.str.contains("no finished cell of base").all()
    assert len(ANALYSES["classes"].run(study)) == 1


def test_one_class_and_no_finished_cell_have_no_table(tmp_path) -> None:
    write_cell(tmp_path, "iou", 0, objects_table([(0, 0, 0, 0, 9, 9)]), boxes_table([(0, 0, 0, 0, 9, 9, 0.5)], "score"))
    assert ANALYSES["classes"].run(study_of(tmp_path, ("iou",))) == []
    nothing = StudyRecord(tmp_path, {}, ())
    assert all(r.frame.empty for name in ("classes", "metrics", "size") for r in ANALYSES[name].run(nothing))
