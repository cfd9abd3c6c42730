"""Kinds of error: one of each by hand, and TIDE's own package where it is installed."""

import numpy as np
import pandas as pd
import pytest

from assignbench.analysis import errors
from assignbench.analysis.errors import KINDS, find_errors
from assignbench.measure.matching import BOX
from tests.analysis.planted import boxes_table, images_of, objects_table
from tests.measure.test_matching import scene

OBJECTS = [
    (0, 0, 0.0, 0, 10, 10),  # found
    (0, 1, 40.0, 0, 50, 10),  # found as class 0 only
    (0, 1, 80.0, 0, 90, 10),  # found in a wrong place only
    (1, 0, 0.0, 0, 10, 10),  # missed
]
DETECTIONS = [
    (0, 0, 0.0, 0, 10, 10, 0.9),  # right
    (0, 0, 0.0, 0, 10, 9, 0.8),  # duplicate
    (0, 0, 40.0, 0, 50, 10, 0.7),  # classification
    (0, 1, 80.0, 0, 90, 4, 0.6),  # localization: IoU 0.4
    (0, 0, 80.0, 0, 90, 3, 0.5),  # both: IoU 0.3 with an object of class 1
    (0, 0, 150.0, 0, 160, 10, 0.4),  # background
]


def test_one_of_each_by_hand() -> None:
    objects, detections = objects_table(OBJECTS), boxes_table(DETECTIONS, "score")
    found = find_errors(images_of(objects), objects, detections, 2)
    told = {round(float(s), 1): KINDS[k] if k >= 0 else "right" for s, k in zip(found.score, found.kind, strict=True)}
    assert told == {
        0.9: "right",
        0.8: "duplicate",
        0.7: "classification",
        0.6: "localization",
        0.5: "both",
        0.4: "background",
    }
    assert found.missed.tolist() == [False, False, False, True]
    # Class 0: two objects, one found first: precision 1 up to recall 1/2. Class 1: two objects, none found.
    assert found.average_precision() == pytest.approx((51 / 101 + 0) / 2)
    # The box at 0.7 becomes class 1 and right: its first of two.
    assert found.average_precision("classification") == pytest.approx((51 / 101 + 51 / 101) / 2)
    assert found.average_precision("localization") == pytest.approx((51 / 101 + 51 / 101) / 2)
    assert found.average_precision("missed") == pytest.approx((1.0 + 0) / 2)
    for harmless in ("duplicate", "both", "background"):  # all of them rank below the only right one
        assert found.average_precision(harmless) == pytest.approx(found.average_precision())


def test_the_best_scored_of_several_mendable_ones_counts() -> None:
    objects = objects_table([(0, 0, 0.0, 0, 10, 10)])
    detections = boxes_table([(0, 0, 0.0, 0, 10, 3, 0.5), (0, 0, 0.0, 0, 10, 4, 0.9)], "score")
    found = find_errors(images_of(objects), objects, detections, 1)
    assert found.target.tolist() == [0, -1] and found.score.tolist() == [0.9, 0.5]
    assert found.average_precision("localization") == pytest.approx(1.0)


def test_difficult_objects_and_what_matches_them_are_no_errors() -> None:
    objects = objects_table([(0, 0, 0.0, 0, 10, 10), (0, 0, 40.0, 0, 50, 10)])
    objects["difficult"] = [False, True]
    detections = boxes_table([(0, 0, 40.0, 0, 50, 10, 0.9), (0, 0, 0.0, 0, 10, 10, 0.8)], "score")
    found = find_errors(images_of(objects), objects, detections, 1)
    assert found.kind.tolist() == [-2, -1] and not found.missed.any()
    assert found.average_precision() == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(6))
def test_equals_tidecv(seed, monkeypatch) -> None:
    """On random scenes without crowds or ties, of classes that all have objects (tidecv counts empty ones as 0).

    tidecv reads precision off at i / 100, COCO at linspace's neighbours of these, which matters at recalls like 7 / 20.
    """
    monkeypatch.setattr(errors, "RECALLS", np.arange(101) / 100)
    tidecv = pytest.importorskip("tidecv", reason="tidecv is not installed")
    images, objects, detections = scene(seed, images=25, crowd=0.0, difficult=0.0, ties=False)
    detections = detections[detections.label < 2].reset_index(drop=True)
    truth, found = tidecv.Data("truth"), tidecv.Data("found")
    for data in (truth, found):
        for c in range(2):
            data.add_class(c, str(c))
    for image in images.image_id:
        for data in (truth, found):
            data.add_image(int(image), str(image))

    def xywh(table: pd.DataFrame) -> np.ndarray:
        boxes = table[BOX].to_numpy(float, copy=True)
        boxes[:, 2:] -= boxes[:, :2]
        return boxes

    for row, box in zip(objects.itertuples(), xywh(objects), strict=True):
        truth.add_ground_truth(int(row.image_id), int(row.label), list(box))
    for row, box in zip(detections.itertuples(), xywh(detections), strict=True):
        found.add_detection(int(row.image_id), int(row.label), float(row.score), list(box))
    tide = tidecv.TIDE()
    run = tide.evaluate(truth, found, mode=tidecv.TIDE.BOX)
    theirs = {k.short_name: v / 100 for k, v in run.fix_main_errors().items()}
    ours = find_errors(images, objects, detections, 2)
    own = ours.average_precision()
    assert own == pytest.approx(run.ap / 100, abs=1e-6)
    names = dict(zip(KINDS, ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), strict=True))
    for kind, name in names.items():
        assert max(ours.average_precision(kind) - own, 0) == pytest.approx(theirs[name], abs=1e-6), kind


def test_without_an_object_all_is_background() -> None:
    objects, detections = objects_table(OBJECTS), boxes_table(DETECTIONS, "score")
    found = find_errors(images_of(objects), objects[:0], detections, 2)
    assert {KINDS[k] for k in found.kind} == {"background"} and not len(found.missed)
    assert np.isnan(found.average_precision())
