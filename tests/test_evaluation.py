"""AP against the published numbers, pycocotools on known files, and hand-worked curves."""

import json

import numpy as np
import pandas as pd
import pytest

from assignbench.evaluation import COCO_NAMES, coco_evaluate, coco_ground_truth, coco_results, voc_ap, voc_class_ap
from tests.conftest import golden


def test_interpolations_by_hand() -> None:
    recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    # Eleven points: recall 0-.5 has precision 1 (six levels), .6-1 has 2/3 (five).
    assert voc_ap(recall, precision, eleven_point=True) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert voc_ap(recall, precision, eleven_point=False) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_no_detection_and_no_object() -> None:
    columns = ["image_id", "x1", "y1", "x2", "y2"]
    empty = pd.DataFrame(columns=[*columns, "score"])
    one = pd.DataFrame([[0, 0, 0, 10, 10, False]], columns=[*columns, "difficult"])
    assert voc_class_ap(one, empty, 0.5, eleven_point=True) == 0.0
    assert voc_class_ap(one.iloc[:0], empty, 0.5, eleven_point=True) is None


def test_difficult_objects_are_left_out() -> None:
    columns = ["image_id", "x1", "y1", "x2", "y2"]
    objects = pd.DataFrame([[0, 0, 0, 10, 10, False], [0, 50, 50, 60, 60, True]], columns=[*columns, "difficult"])
    found = pd.DataFrame([[0, 50, 50, 60, 60, 0.9], [0, 0, 0, 10, 10, 0.8]], columns=[*columns, "score"])
    assert voc_class_ap(objects, found, 0.5, eleven_point=False) == 1.0
    tables = objects.assign(label=0, area=100.0, crowd=False)
    images = pd.DataFrame([[0, 100, 100]], columns=["image_id", "width", "height"])
    truth = coco_ground_truth(images, tables, ["thing"])
    assert coco_evaluate(truth, coco_results(found.assign(label=0)))["AP50"] == pytest.approx(1.0)


def test_known_coco_result(shared_data) -> None:
    folder = shared_data / "results-json"
    known = json.loads((folder / "known_ap.json").read_text())["cocoapi_val2014_100"]
    truth = json.loads((folder / known["gt"]).read_text())
    found = coco_evaluate(truth, json.loads((folder / known["dt"]).read_text()))
    for name in COCO_NAMES:
        assert found[name] == pytest.approx(known[name], abs=1e-6), name


def _padilla(folder, columns: list[str]) -> pd.DataFrame:
    rows = []
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text().splitlines():
            _, *numbers = line.split()
            rows.append([int(path.stem), *map(float, numbers)])
    table = pd.DataFrame(rows, columns=["image_id", *columns, "x1", "y1", "w", "h"])
    return table.assign(x2=table.x1 + table.w, y2=table.y1 + table.h)


def test_known_voc_result(shared_data) -> None:
    folder = shared_data / "results-json"
    known = json.loads((folder / "known_ap.json").read_text())["padilla_voc_testcase1"]
    objects = _padilla(folder / "padilla_voc_testcase1" / "gts", []).assign(difficult=False)
    found = _padilla(folder / "padilla_voc_testcase1" / "dets", ["score"])
    for rule, eleven in (("eleven_point", True), ("every_point", False)):
        for threshold, value in known[rule].items():
            ours = voc_class_ap(objects, found, float(threshold), eleven_point=eleven, plus_one=True)
            assert ours == pytest.approx(value, abs=1e-9), (rule, threshold)


@pytest.mark.parametrize("path", golden("mutual_guidance/mg_primitives.npz"))
def test_official_interpolations(path) -> None:
    case = np.load(path, allow_pickle=False)
    recall, precision = case["ap_recall"].astype(float), case["ap_precision"].astype(float)
    assert voc_ap(recall, precision, eleven_point=True) == pytest.approx(float(case["ap_11point"]), abs=1e-9)
    assert voc_ap(recall, precision, eleven_point=False) == pytest.approx(float(case["ap_allpoint"]), abs=1e-9)


def test_an_empty_result_is_zero_where_objects_are_and_nothing_elsewhere() -> None:
    objects = pd.DataFrame([[0, 0, 0, 0, 10, 10, 100.0, False, False]])
    objects.columns = ["image_id", "label", "x1", "y1", "x2", "y2", "area", "crowd", "difficult"]
    images = pd.DataFrame([[0, 100, 100]], columns=["image_id", "width", "height"])
    found = coco_evaluate(coco_ground_truth(images, objects, ["a", "b"]), [])
    assert found["AP"] == found["APs"] == 0.0
    assert found["APm"] is None and found["APl"] is None
    assert found["per_class"] == {"a": 0.0, "b": None}
