"""LRP and the calibration error: worked by hand, and by brute force over every score."""

import numpy as np
import pytest

from assignbench.measure.calibration import calibration_error
from assignbench.measure.lrp import lrp
from assignbench.measure.matching import match, overlaps_of
from tests.analysis.planted import boxes_table, images_of, objects_table


def matched(objects, rows, classes=1, more=()):
    detections = boxes_table(rows, "score")
    return match(overlaps_of(images_of(objects, more=more), objects, detections, classes))


TWO = objects_table([(0, 0, 0, 0, 100, 100), (1, 0, 0, 0, 100, 100)])


def test_by_hand() -> None:
    # Found with IoU 1 and IoU 0.8; between them in score one false alarm, below both another.
    rows = [(0, 0, 0, 0, 100, 100, 0.9), (0, 0, 150, 150, 180, 180, 0.8)]
    rows += [(1, 0, 0, 0, 100, 80, 0.7), (1, 0, 150, 150, 180, 180, 0.1)]
    found = lrp(matched(TWO, rows))
    # s = 0.9: (0 + 0 + 1) / 2 = 0.5; s = 0.7: (0 + 0.2 / 0.5 + 1 + 0) / 3 = 1.4 / 3; s = 0.1: 2.4 / 4.
    assert found.optimal[0, 0] == pytest.approx(1.4 / 3)
    assert found.localization[0, 0] == pytest.approx(0.1)
    assert found.false_alarms[0, 0] == pytest.approx(1 / 3)
    assert found.missed[0, 0] == 0


def test_perfect_nothing_and_no_object() -> None:
    perfect = lrp(matched(TWO, [(i, 0, 0, 0, 100, 100, 0.5) for i in (0, 1)]))
    assert [float(v[0, 0]) for v in (perfect.optimal, perfect.localization, perfect.false_alarms)] == [0, 0, 0]
    for rows in ([], [(0, 0, 150, 150, 180, 180, 0.5)]):
        nothing = lrp(matched(TWO, rows))
        assert nothing.optimal[0, 0] == 1 and nothing.missed[0, 0] == 1
        assert np.isnan(nothing.localization[0, 0]) and np.isnan(nothing.false_alarms[0, 0])
    assert np.isnan(lrp(matched(TWO, [], classes=2)).optimal[0, 1])


def test_equal_scores_are_one_threshold() -> None:
    rows = [(0, 0, 0, 0, 100, 100, 0.5), *((1, 0, 150, 150, 180, 180, 0.5) for _ in range(2))]
    assert lrp(matched(TWO, rows)).optimal[0, 0] == pytest.approx(3 / 4)  # never the right one alone


def test_another_first_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.75"):
        lrp(match(overlaps_of(images_of(TWO), TWO, boxes_table([], "score"), 1), thresholds=(0.75,)))


def random_case(seed: int):
    """Objects and noisy detections of two classes on a few images; some objects are difficult, scores repeat."""
    rng = np.random.default_rng(seed)
    rows = [(int(rng.integers(4)), int(rng.integers(2)), *_box(rng)) for _ in range(12)]
    objects = objects_table(rows, difficult=rng.random(12) < 0.2)
    found = []
    for row in objects.itertuples():
        for _ in range(int(rng.integers(3))):
            box = np.array([row.x1, row.y1, row.x2, row.y2]) + rng.normal(0, 6, 4)
            found.append((row.image_id, row.label, *box, round(float(rng.random()), 1)))
    found += [(int(rng.integers(4)), int(rng.integers(2)), *_box(rng), round(float(rng.random()), 1)) for _ in "12345"]
    return matched(objects, found, 2, more=(0, 1, 2, 3))


def _box(rng):
    corner, size = rng.uniform(0, 100, 2), rng.uniform(30, 80, 2)
    return (*corner, *(corner + size))


def by_force(m, c: int, copies: np.ndarray) -> float:
    """oLRP of a class by its definition: every score tried, every detection looked at, images copied."""
    o = m.overlaps
    iou = {(d, g): v for d, g, v in zip(o.pair_detection, o.pair_object, o.pair_iou, strict=True)}
    objects = sum(
        copies[o.object_image[g]] for g in range(len(o.object_label)) if m.counted[g] and o.object_label[g] == c
    )
    if not objects:
        return float("nan")
    best = 1.0
    for s in np.unique(o.score[o.label == c]):
        tp = fp = error = 0.0
        for d in np.flatnonzero((o.label == c) & (o.score >= s) & ~m.ignored[:, 0]):
            times = copies[o.image[d]]
            if m.found[d, 0] >= 0:
                tp, error = tp + times, error + times * (1 - iou[d, m.found[d, 0]]) / 0.5
            else:
                fp += times
        best = min(best, (error + fp + objects - tp) / (fp + objects))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_brute_force(seed) -> None:
    m = random_case(seed)
    weights = np.concatenate([np.ones((1, 4)), np.random.default_rng(seed).integers(0, 4, (5, 4))]).astype(float)
    found = lrp(m, weights)
    expected = [[by_force(m, c, row) for c in range(2)] for row in weights]
    assert found.optimal == pytest.approx(np.array(expected), nan_ok=True)


def test_calibration_by_hand() -> None:
    # Bin 0.9: two boxes of score 0.92, one right: gap 0.42. Bin 0.5: one of 0.5, right: gap 0.5. Below 0.3: not seen.
    rows = [(0, 0, 0, 0, 100, 100, 0.92), (0, 0, 150, 150, 180, 180, 0.92)]
    rows += [(1, 0, 0, 0, 100, 100, 0.5), (1, 0, 150, 150, 180, 180, 0.29)]
    m = matched(TWO, rows)
    assert calibration_error(m)[0] == pytest.approx((2 * 0.42 + 0.5) / 3)
    assert calibration_error(m, least=0.0)[0] == pytest.approx((2 * 0.42 + 0.5 + 0.29) / 4)
    # Without the second image only the first bin is there; twice the first image changes its weight.
    assert calibration_error(m, np.array([[1.0, 0.0], [2.0, 1.0]])) == pytest.approx([0.42, (4 * 0.42 + 0.5) / 5])
    assert calibration_error(m, bins=1)[0] == pytest.approx(abs(2 / 3 - (0.92 + 0.92 + 0.5) / 3))


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    for score in (1.5, -0.1, 0.2):
        assert np.isnan(calibration_error(matched(TWO, [(0, 0, 0, 0, 100, 100, score)]))[0])
    assert np.isnan(calibration_error(matched(TWO, []))[0])


def test_ignored_detections_do_not_count() -> None:
    objects = objects_table([(0, 0, 0, 0, 100, 100), (0, 0, 120, 120, 200, 200)], difficult=[False, True])
    rows = [(0, 0, 0, 0, 100, 100, 0.8), (0, 0, 120, 120, 200, 200, 0.9)]
    m = matched(objects, rows)
    assert lrp(m).optimal[0, 0] == 0
    assert calibration_error(m)[0] == pytest.approx(0.2)
