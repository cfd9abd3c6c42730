"""AP against the published numbers, pycocotools on known files, and hand-worked curves."""

import json

import numpy as np
import pandas as pd
import pytest

from assignbench.data.predictions import read_ground_truth, read_predictions
from assignbench.measure.coco import COCO_NAMES, coco_ground_truth, coco_results, coco_summary, recall_limits
from assignbench.measure.matching import overlaps_of
from assignbench.measure.precision import interpolated
from assignbench.measure.voc import voc_evaluate
from tests.conftest import golden
from tests.measure.reference import coco_evaluate


def curve_area(recall: np.ndarray, precision: np.ndarray, kind: str) -> float:
    return float(interpolated(recall[None], precision[None], kind)[0])


def test_interpolations_by_hand() -> None:
    recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    # Eleven points: recall 0-.5 has precision 1 (six levels), .6-1 has 2/3 (five).
    assert curve_area(recall, precision, "voc07") == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert curve_area(recall, precision, "area") == pytest.approx(0.5 + 0.5 * 2 / 3)
    # 101 points: 0-.50 are 51 levels, .51-1 are 50.
    assert curve_area(recall, precision, "coco") == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_curves_are_left_as_they_are() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 300):
        recall, precision = np.sort(rng.random((count, 200))), rng.random((count, 200))
        given = precision.copy()
        for kind in ("coco", "voc07", "area"):
            interpolated(recall, precision, kind)
            np.testing.assert_array_equal(precision, given)


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
    assert coco_summary(overlaps_of(images, tables, found, 1), ["thing"], 100)["AP50"] == pytest.approx(1.0)


def test_known_coco_result(shared_data) -> None:
    folder = shared_data / "results-json"
    known = json.loads((folder / "known_ap.json").read_text())["cocoapi_val2014_100"]
    truth = read_ground_truth(folder / known["gt"])
    table = read_predictions(folder / known["dt"], truth)
    overlaps = overlaps_of(truth.images, truth.objects, table, len(truth.classes))
    found = coco_summary(overlaps, truth.classes, 100)
    exact = coco_evaluate(
        json.loads((folder / known["gt"]).read_text()), json.loads((folder / known["dt"]).read_text())
    )
    for name in COCO_NAMES:
        assert found[name] == pytest.approx(known[name], abs=1e-6), name
        assert found[name] == pytest.approx(exact[name], abs=1e-9), name


def crowded(seed: int, objects: int, detections: int):
    """Three images of many small objects of three classes, and detections on most of them and beside them."""
    rng = np.random.default_rng(seed)

    def boxes(count: int, label: np.ndarray, at: np.ndarray) -> pd.DataFrame:
        side = rng.uniform(6, 14, (count, 2))
        table = pd.DataFrame(np.concatenate([at, at + side], axis=1), columns=["x1", "y1", "x2", "y2"])
        return table.assign(image_id=rng.integers(1, 4, count), label=label)

    truth = boxes(objects, rng.integers(0, 2, objects), rng.uniform(0, 600, (objects, 2)))
    truth["area"] = (truth.x2 - truth.x1) * (truth.y2 - truth.y1)
    truth["crowd"], truth["difficult"] = rng.random(objects) < 0.02, rng.random(objects) < 0.05
    chosen = rng.integers(0, objects, detections)
    found = boxes(detections, rng.integers(0, 2, detections), rng.uniform(0, 600, (detections, 2)))
    near = rng.random(detections) < 0.6
    corners = ["x1", "y1", "x2", "y2"]
    moved = truth[corners].to_numpy()[chosen] + rng.normal(0, 0.8, (detections, 4))
    found.loc[near, corners] = moved[near]
    found.loc[near, ["image_id", "label"]] = truth[["image_id", "label"]].to_numpy()[chosen][near]
    found["score"] = rng.random(detections).round(2)
    found = found[(found.x2 > found.x1) & (found.y2 > found.y1)].reset_index(drop=True)
    images = pd.DataFrame({"image_id": [1, 2, 3], "name": "", "width": 700, "height": 700})
    return images, truth, found


@pytest.mark.parametrize("most", [100, 137, 300, 1000])
def test_more_than_a_hundred_detections_count_as_pycocotools_counts_them(most) -> None:
    images, objects, detections = crowded(most, 900, 3000)
    names = ["a", "b", "c"]  # the last has no object
    found = coco_summary(overlaps_of(images, objects, detections, 3), names, most)
    limits = recall_limits(most)
    exact = coco_evaluate(coco_ground_truth(images, objects, names), coco_results(detections), limits)
    assert found.keys() == exact.keys() and limits[-1] == most
    for name, value in exact.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    hundred = coco_summary(overlaps_of(images, objects, detections, 3), names, 100)
    assert found["AR100"] == hundred["AR100"]
    assert (found["AP"] > hundred["AP"] + 0.01) == (most > 100)


def test_at_which_limits_recall_is_measured() -> None:
    assert recall_limits(100) == (1, 10, 100)
    assert recall_limits(50) == (1, 10, 50, 100) and recall_limits(1) == (1, 10, 100)
    assert recall_limits(299) == (1, 10, 100, 299)
    assert recall_limits(300) == (1, 10, 100, 300)
    assert recall_limits(2000) == (1, 10, 100, 300, 1000, 2000)


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
    nothing = pd.DataFrame(columns=["image_id", "label", "score", "x1", "y1", "x2", "y2"]).astype(float)
    found = coco_summary(overlaps_of(images, objects, nothing, 2), ["a", "b"], 300)
    assert found["AP"] == found["APs"] == found["AR300"] == 0.0
    assert found["APm"] is None and found["APl"] is None
    assert found["per_class"] == {"a": 0.0, "b": None}


def odd_files(folder, seed: int):
    """Ground truth with an annotation 0, and results with boxes without area; what pycocotools makes of them."""
    rng = np.random.default_rng(seed)
    items, results = [], []
    for i in range(24):
        box = [*rng.uniform(0, 150, 2).tolist(), *rng.uniform(10, 120, 2).tolist()]
        where = {"image_id": i % 5 + 1, "category_id": i % 2 + 1}
        crowd = int(rng.random() < (0.5 if i == 0 else 0.1))
        items.append({"id": i, **where, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd})
        for _ in range(int(rng.integers(1, 3))):
            near = (np.array(box) + rng.normal(0, 4, 4)).tolist()
            results.append({**where, "bbox": near, "score": float(rng.random())})
        results.append({**where, "bbox": [*box[:2], 0.0, box[3]], "score": float(rng.random())})
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 300, "height": 300} for i in range(1, 6)],
        "annotations": items,
        "categories": [{"id": c, "name": f"kind{c}"} for c in (1, 2)],
    }
    for name, content in (("gt", truth), ("found", results)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return truth, results


@pytest.mark.parametrize("seed", range(8))
def test_annotation_0_and_boxes_without_area_count_as_in_pycocotools(tmp_path, seed) -> None:
    exact = coco_evaluate(*odd_files(tmp_path, seed))
    truth = read_ground_truth(tmp_path / "gt.json")
    table = read_predictions(tmp_path / "found.json", truth)
    assert any("annotation 0 can never be found" in n for n in truth.notes)
    found = coco_summary(overlaps_of(truth.images, truth.objects, table, 2), truth.classes, 100)
    for name in COCO_NAMES:
        assert found[name] == pytest.approx(exact[name], abs=1e-9), name
    plain = truth.objects.drop(columns="never_found")
    other = coco_summary(overlaps_of(truth.images, plain, table, 2), truth.classes, 100)["AP"]
    assert other >= found["AP"]
