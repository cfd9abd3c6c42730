"""AP of groups by hand and against a slow transcription of the rule."""

import numpy as np
import pandas as pd
import pytest

from assignbench.measure.groups import CROWDING, PER_IMAGE, counted, group_precision, quantile_grouping
from assignbench.measure.matching import match, overlaps_of
from assignbench.measure.precision import RECALLS, average_precision
from tests.measure.test_matching import CLASSES, scene


def tables(objects: list[tuple], found: list[tuple]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    names = ["image_id", "label", "x1", "y1", "x2", "y2"]
    truth = pd.DataFrame(objects, columns=names).assign(crowd=False, difficult=False)
    truth["area"] = (truth.x2 - truth.x1) * (truth.y2 - truth.y1)
    boxes = pd.DataFrame(found, columns=[*names, "score"])
    return pd.DataFrame({"image_id": sorted(set(truth.image_id))}), truth, boxes


def test_an_unmatched_detection_counts_with_the_groups_share() -> None:
    """Four objects, one of them in the group; the one false positive comes first and weighs 1/4.

    The group's object is found: precision 1 / (1 + 1/4) = 0.8 at every recall. Counted fully it would be 1/2, and for
    the other three it is 3 / (3 + 3/4) = 0.8 as well: the group's size changes nothing.
    """
    objects = [(i, 0, 0.0, 0, 10, 10) for i in range(4)]
    found = [(0, 0, 50.0, 50, 60, 60, 0.9), *((i, 0, 0.0, 0, 10, 10, 0.5) for i in range(4))]
    overlaps = overlaps_of(*tables(objects, found), 1)
    one = np.array([True, False, False, False])
    assert group_precision(overlaps, one)[0] == pytest.approx(0.8)
    assert group_precision(overlaps, ~one)[0] == pytest.approx(0.8)
    assert group_precision(overlaps, one, rule="all")[0] == pytest.approx(0.5)
    assert group_precision(overlaps, ~one, rule="all")[0] == pytest.approx(0.75)
    assert np.isnan(group_precision(overlaps, np.zeros(4, bool))).all()


def slow(matches, inside: np.ndarray, t: int, c: int) -> float:
    """The definition, detection by detection."""
    o = matches.overlaps
    mine = matches.counted & (o.object_label == c)
    total, size = mine.sum(), (mine & inside).sum()
    if not size:
        return float("nan")
    right, wrong, curve = 0, 0.0, []
    for d in np.flatnonzero(o.label == c):
        target = matches.found[d, t]
        if matches.ignored[d, t] or (target >= 0 and not inside[target]):
            continue
        right, wrong = (right + 1, wrong) if target >= 0 else (right, wrong + size / total)
        curve.append((right / size, right / (right + wrong)))
    values = [max((p for r, p in curve if r >= level - 1e-12), default=0.0) for level in RECALLS]
    return float(np.mean(values))


@pytest.mark.parametrize("seed", range(4))
def test_the_rule_is_its_definition(seed: int) -> None:
    images, objects, detections = scene(seed)
    overlaps = overlaps_of(images, objects, detections, CLASSES)
    matches = match(overlaps)
    inside = np.random.default_rng(seed).random(len(objects)) < 0.4
    ours = average_precision(matches, group=inside)[0]
    for t in (0, 4, 9):
        for c in range(CLASSES):
            assert ours[t, c] == pytest.approx(slow(matches, inside, t, c), abs=1e-9, nan_ok=True), (t, c)


def test_weights_are_copies_of_images() -> None:
    """AP of a group on weighted images equals AP of the copies, whose shares change with them."""
    images, objects, detections = scene(9, images=6)
    inside = np.random.default_rng(9).random(len(objects)) < 0.5
    weight = np.array([[2.0, 0, 1, 3, 1, 0]])
    overlaps = overlaps_of(images, objects, detections, CLASSES)
    ours = group_precision(overlaps, inside, weights=weight)[0]
    copies, parts, boxes, kept = [], [], [], []
    for place, times in zip(sorted(images.image_id), weight[0].astype(int), strict=True):
        for _ in range(times):
            number = len(copies)
            copies.append(number)
            mine = (objects.image_id == place).to_numpy()
            parts.append(objects[mine].assign(image_id=number))
            kept.append(inside[mine])
            boxes.append(detections[detections.image_id == place].assign(image_id=number))
    again = overlaps_of(
        pd.DataFrame({"image_id": copies}),
        pd.concat(parts, ignore_index=True),
        pd.concat(boxes, ignore_index=True),
        CLASSES,
    )
    np.testing.assert_allclose(ours, group_precision(again, np.concatenate(kept))[0], atol=1e-9)


def test_bins_are_named_as_they_are() -> None:
    assert PER_IMAGE.names == ("1-3", "4-7", "8-15", "16-31", "32 and more")
    assert PER_IMAGE.place(pd.Series([1, 3, 4, 31, 32, 100])).tolist() == [0, 0, 1, 3, 4, 4]
    assert counted("n", (1, 2, 5)).names == ("1", "2-4", "5 and more")
    assert CROWDING.place(pd.Series([0.0, 0.2, np.float32(0.5)])).tolist() == [0, 1, 2]


def test_quantile_groups() -> None:
    found = quantile_grouping("x", np.arange(100.0), 4)
    assert found is not None and np.bincount(found.place(pd.Series(np.arange(100.0)))).tolist() == [25, 25, 25, 25]
    assert quantile_grouping("x", np.full(5, 2.0), 4) is None
    assert quantile_grouping("x", np.full(5, np.nan), 4) is None
    mostly = quantile_grouping("x", np.r_[np.zeros(90), np.linspace(0.1, 1, 10)], 4)
    assert mostly is not None and mostly.edges == (0.0, 0.1)
    assert found.names == ("0-24", "25-49", "50-74", "75 and more")
    thirds = quantile_grouping("x", np.linspace(0, 1, 100), 3)
    assert thirds is not None and thirds.names == ("0-0.333", "0.333-0.667", "0.667 and more")
