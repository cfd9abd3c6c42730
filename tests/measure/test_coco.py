"""AP against the published numbers, pycocotools on known files, and hand-worked curves."""

import json

import numpy as np
import pandas as pd
import pytest

from assignbench.measure.coco import COCO_NAMES, coco_evaluate, coco_ground_truth, coco_results
from assignbench.measure.matching import interpolated
from assignbench.measure.voc import voc_evaluate
from tests.conftest import golden


def curve_area(recall: np.ndarray, precision: np.ndarray, kind: str) -> float:
    return float(interpolated(recall[None], precision[None], kind)[0])


def test_interpolations_by_hand() -> None:
    recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    # Eleven points: recall 0-.5 has precision 1 (six levels), .6-1 has 2/3 (five).
    assert curve_area(recall, precision, "voc07") == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert curve_area(recall, precision, "area") == pytest.approx(0.5 + 0.5 * 2 / 3)
    # 101 points: 0-.50 are 51 levels, .51-1 are 50.
    assert curve_area(recall, precision, "coco") == pytest.approx((51 + 50 * 2 / 3) / 101)


BOXES = ["image_id", "x1", "y1", "x2", "y2"]


def test_no_detection_and_no_object() -> None:
    empty = pd.DataFrame(columns=[*BOXES, "score", "label"])
    one = pd.DataFrame([[0, 0, 0, 10, 10, False]], columns=[*BOXES, "difficult"])
    one = one.assign(label=0, area=100.0, crowd=False)
    assert set(voc_evaluate(one, empty, ["a"]).values()) == {0.0}
    assert set(voc_evaluate(one.iloc[:0], empty, ["a"]).values()) == {0.0}


def test_difficult_objects_are_left_out() -> None:
    objects = pd.DataFrame([[0, 0, 0, 10, 10, False], [0, 50, 50, 60, 60, True]], columns=[*BOXES, "difficult"])
    found = pd.DataFrame([[0, 50, 50, 60, 60, 0.9], [0, 0, 0, 10, 10, 0.8]], columns=[*BOXES, "score"])
    tables, found = objects.assign(label=0, area=100.0, crowd=False), found.assign(label=0)
    assert voc_evaluate(tables, found, ["thing"])["AP50_area"] == pytest.approx(1.0)
    images = pd.DataFrame([[0, 100, 100]], columns=["image_id", "width", "height"])
    truth = coco_ground_truth(images, tables, ["thing"])
    assert coco_evaluate(truth, coco_results(found))["AP50"] == pytest.approx(1.0)


def test_known_coco_result(shared_data) -> None:
    folder = shared_data / "results-json"
    known = json.loads((folder / "known_ap.json").read_text())["cocoapi_val2014_100"]
    truth = json.loads((folder / known["gt"]).read_text())
    found = coco_evaluate(truth, json.loads((folder / known["dt"]).read_text()))
    for name in COCO_NAMES:
        assert found[name] == pytest.approx(known[name], abs=1e-6), name


@pytest.mark.parametrize("path", golden("mutual_guidance/mg_primitives.npz"))
def test_official_interpolations(path) -> None:
    case = np.load(path, allow_pickle=False)
    recall, precision = case["ap_recall"].astype(float), case["ap_precision"].astype(float)
    assert curve_area(recall, precision, "voc07") == pytest.approx(float(case["ap_11point"]), abs=1e-9)
    assert curve_area(recall, precision, "area") == pytest.approx(float(case["ap_allpoint"]), abs=1e-9)


def test_an_empty_result_is_zero_where_objects_are_and_nothing_elsewhere() -> None:
    objects = pd.DataFrame([[0, 0, 0, 0, 10, 10, 100.0, False, False]])
    objects.columns = ["image_id", "label", "x1", "y1", "x2", "y2", "area", "crowd", "difficult"]
    images = pd.DataFrame([[0, 100, 100]], columns=["image_id", "width", "height"])
    found = coco_evaluate(coco_ground_truth(images, objects, ["a", "b"]), [])
    assert found["AP"] == found["APs"] == 0.0
    assert found["APm"] is None and found["APl"] is None
    assert found["per_class"] == {"a": 0.0, "b": None}
