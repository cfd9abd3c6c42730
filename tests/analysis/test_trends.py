"""Groups of a factor: which hold enough, which say nothing, and the gains that make a slope."""

from dataclasses import replace

import numpy as np
import pytest

from assignbench.analysis import ANALYSES
from assignbench.analysis.groups import gains_behind
from assignbench.analysis.pairs import pairs_of
from assignbench.analysis.trends import groups_of, trend_sample
from assignbench.report.wide import wide_tables
from tests.analysis.planted import boxes_table, objects_table, study_of, write_cell

EACH = 40


def made(folder, values: dict[str, object], found: dict[str, np.ndarray], seeds: int = 1):
    """A study on images with one object each, of which every method finds those that `found` says."""
    count = len(next(iter(found.values())))
    rows = [(i, 0, 10.0, 10, 30, 30) for i in range(count)]
    objects = objects_table(rows, **values)
    for method, hit in found.items():
        for seed in range(seeds):
            boxes = boxes_table([(*rows[i], 0.9) for i in np.flatnonzero(hit)], "score")
            write_cell(folder, method, seed, objects, boxes)
    return study_of(folder, tuple(found))


def share(*of_group: float) -> np.ndarray:
    """So much of the objects of each group of EACH is found."""
    return np.concatenate([np.arange(EACH) < round(s * EACH) for s in of_group])


def sample(study, factor):
    return trend_sample(pairs_of(study)[0], factor)


def test_a_trend_shows_the_gains_that_make_it_and_what_goes_against_it(tmp_path) -> None:
    """Compact objects lose, the longest gain less than those before: a growing slope all the same."""
    length = np.repeat([1.2, 2.0, 3.0, 5.0], EACH)
    study = made(
        tmp_path, {"aspect_ratio": length}, {"iou": share(0.5, 0.5, 0.5, 0.5), "ltm": share(0.4, 0.6, 0.9, 0.8)}
    )
    found = sample(study, "aspect_ratio")
    assert found.groups.names == ("1-1.5", "1.5-2.5", "2.5-4", "4 and more") and found.slopes.mean > 0
    assert found.detail.startswith("1-1.5 -") and found.detail.endswith("; against the slope at 4 and more")
    assert found.gains.shape == (1, 4) and found.replicates.shape == (200, 1, 4)
    assert found.of_group(0).mean == found.gains[0, 0] < 0


def test_groups_by_image_gain_relative_to_the_baseline(tmp_path) -> None:
    """From .2 to .4 and from .4 to .8: twice as much in both, so no trend, though the points differ."""
    crowd = np.repeat([0.1, 0.7], EACH)
    study = made(tmp_path, {"image_crowdedness": crowd}, {"iou": share(0.2, 0.4), "ltm": share(0.4, 0.8)})
    found = sample(study, "crowdedness")
    assert found.groups.names == ("sparse", "dense") and found.gains[0].tolist() == pytest.approx([1.0, 1.0], abs=0.06)


def test_a_group_of_too_few_objects_is_left_out(tmp_path) -> None:
    length = np.r_[np.full(60, 1.2), np.full(31, 2.0), np.full(29, 5.0)]
    study = made(tmp_path, {"aspect_ratio": length}, {"iou": np.ones(120, bool), "ltm": np.ones(120, bool)})
    groups = groups_of(study.data()[0], "aspect_ratio")
    assert groups.names == ("1-1.5", "1.5-2.5") and groups.objects.tolist() == [60, 31] and not groups.untestable
    assert set(groups.place[-29:]) == {-1} and groups.middles.tolist() == pytest.approx([1.2, 2.0])


@pytest.mark.parametrize(
    ("factor", "values", "why"),
    [
        ("aspect_ratio", {"aspect_ratio": 1.2}, "only 1-1.5 holds 30 objects in 10 images, and a trend needs two"),
        ("aspect_ratio", {"aspect_ratio": np.repeat([1.45, 1.55], EACH)}, "lie 0.10 apart, less than 0.5"),
        ("contrast", {"contrast": 3.0}, "contrast is the same for all objects"),
        ("contrast", {}, "the objects have no contrast"),
        ("objects_in_image", {"difficult": True}, "of the groups of objects_in_image none holds 30 objects"),
    ],
)
def test_why_no_trend_can_be_seen(tmp_path, factor, values, why) -> None:
    hit = np.ones(2 * EACH, bool)
    study = made(tmp_path, values, {"iou": hit, "ltm": ~hit}, seeds=3)
    found = sample(study, factor)
    assert why in found.untestable and found.detail == "" and np.isnan(found.slopes.values).all()
    table = ANALYSES["factors"].run(study)[0].frame.set_index("factor")
    assert table.loc[factor].verdict == "not testable" and why in table.loc[factor].reason
    assert table.loc[factor].by_group == "–" and np.isnan(table.loc[factor].slope)


def test_a_baseline_that_finds_nothing_in_a_group_has_no_relative_gain(tmp_path) -> None:
    crowd = np.repeat([0.1, 0.7], EACH)
    study = made(tmp_path, {"image_crowdedness": crowd}, {"iou": share(0.5, 0.0), "ltm": share(0.5, 0.5)}, seeds=3)
    assert "the baseline's AP is below 5 points in dense" in sample(study, "crowdedness").untestable
    table = ANALYSES["factors"].run(study)[0].frame.set_index("factor")
    assert table.loc["crowdedness"].verdict == "not testable"


@pytest.mark.parametrize(("objects", "groups"), [(240, 4), (100, 3), (60, 2), (59, 0)])
def test_equal_groups_are_as_many_as_hold_enough(tmp_path, objects, groups) -> None:
    hit = np.ones(objects, bool)
    study = made(tmp_path, {"contrast": np.linspace(0, 3, objects)}, {"iou": hit, "ltm": hit})
    found = groups_of(study.data()[0], "contrast")
    assert (len(found.names) if not found.untestable else 0) == groups


@pytest.mark.parametrize(("least", "groups"), [(30, 0), (20, 2), (15, 3), (1, 4)])
def test_a_study_says_what_is_enough(tmp_path, least, groups) -> None:
    values = {"contrast": np.linspace(0, 3, 59), "aspect_ratio": np.repeat([1.2, 2.0, 5.0], [29, 15, 15])}
    hit = np.ones(59, bool)
    asked = made(tmp_path, values, {"iou": hit, "ltm": hit})
    study = replace(asked, about={**asked.about, "least_objects": least})
    found = sample(study, "contrast")
    assert (len(found.groups.names) if not found.untestable else 0) == groups
    assert f"{least} objects" in found.untestable or groups
    assert bool(sample(study, "aspect_ratio").untestable) == (least > 15)


def test_the_gains_behind_a_resolved_slope_stand_below_its_table(tmp_path) -> None:
    """Compact objects lose much while the gain grows: the page says it, and announces no column that it lacks."""
    length, many = np.repeat([1.2, 2.0, 3.0, 5.0], EACH), {"iou": share(0.5, 0.5, 0.5, 0.5)}
    study = made(tmp_path, {"aspect_ratio": length}, {**many, "ltm": share(0.1, 0.4, 0.6, 0.9)}, seeds=3)
    result = ANALYSES["factors"].run(study)[0]
    row = result.frame.set_index("factor").loc["aspect_ratio"]
    assert row.verdict == "higher" and row.by_group.startswith("1-1.5 -")
    told = f"aspect ratio, ltm to iou: {row.by_group} (points)."
    (table,) = wide_tables(result, study.places)
    assert told in table.notes and [n for n in result.notes if n.startswith("aspect ratio")] == [told]
    assert "by_group" not in ANALYSES["factors"].definition
    several = result.frame.assign(detector=["net", "wide"] * (len(result.frame) // 2))
    assert any("ltm to iou at " in n for n in gains_behind(several))
