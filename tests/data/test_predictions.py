"""The reader of other detectors' predictions: what it takes, what it says about the rest."""

import json

import numpy as np
import pytest

from assignbench.data.predictions import read_ground_truth, read_predictions
from assignbench.errors import InputError


@pytest.fixture
def truth(coco_folder):
    return read_ground_truth(coco_folder / "instances.json")


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def entry(**more) -> dict:
    return {"image_id": 10, "category_id": 90, "bbox": [1, 2, 3, 4], "score": 0.5, **more}


def test_ground_truth_without_pictures(truth) -> None:
    assert truth.classes == ("car", "kite") and truth.objects.label.tolist() == [1, 0, 0]
    assert truth.objects.crowd.tolist() == [False, False, True]
    assert truth.objects[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == [5, 5, 15, 15]
    assert len(truth.images) == 3


def test_what_is_taken(truth, tmp_path) -> None:
    rows = [
        entry(),
        {"file_name": "1.png", "category": "car", "bbox": [0.5, 0, 10, 10], "cls_score": 0.8, "iou_score": 0.5},
        {"image_id": "1.png", "category_id": 3, "bbox": [0, 0, 5, 5], "score": 1, "segmentation": []},
    ]
    for content in (rows, {"predictions": rows}, {"info": {}, "annotations": rows}):
        table = read_predictions(write(tmp_path / "a.json", content), truth)
        assert table.image_id.tolist() == [10, 11, 11] and table.label.tolist() == [1, 0, 0]
        assert table.score.tolist() == [0.5, 0.4, 1.0] and table.cls_score.tolist() == [0.5, 0.8, 1.0]
        assert table.quality_score.tolist() == [1.0, 0.5, 1.0]
        assert table[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == [1, 2, 4, 6]
    assert not truth.notes


def test_what_is_left_out_is_said(truth, tmp_path) -> None:
    rows = [entry(), entry(image_id=999), entry(category_id=7), entry(bbox=[1, 1, 0, 5]), *[entry(category_id=8)] * 2]
    table = read_predictions(write(tmp_path / "a.json", rows), truth)
    assert truth.left_out == [
        "a.json: 1 of 6 entries are on images not in the ground truth (image_id 999) and count in no number",
        "a.json: 3 of 6 entries are on categories not in the ground truth (category_id 7, 8) and count in no number",
    ]
    assert len(table) == 2 and (table.x1 == table.x2).tolist() == [False, True]
    assert truth.notes == ["a.json: 1 boxes without area find no object and count as false alarms, as in pycocotools"]
    assert len(read_predictions(tmp_path / "a.json", truth, before_nms=True)) == 1
    assert truth.left_out[-1] == "a.json: 1 boxes without area are left out" and len(truth.notes) == 1


def test_more_than_ap_counts_is_said(truth, tmp_path) -> None:
    rows = [entry(score=k / 200) for k in range(103)] + [entry(category_id=3)] * 2
    assert len(read_predictions(write(tmp_path / "a.json", rows), truth)) == 105
    (told,) = truth.left_out
    assert told.startswith("a.json: 3 of 105 detections lie beyond the best 100 of their image and class")


def test_an_empty_list_is_a_result(truth, tmp_path) -> None:
    assert not len(read_predictions(write(tmp_path / "a.json", []), truth))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not JSON"),
        ({"boxes": []}, "expected a list of detections"),
        ([1], r"entry\[0\]: is 1, expected an object"),
        ([entry(), {"image_id": 10, "category_id": 90, "score": 1}], r"entry\[1\]: has no 'bbox'"),
        ([entry(), entry(bbox=[1, 2, 3])], r"\[1\]: bbox is \[1, 2, 3\], expected \[x, y, width, height\]"),
        ([entry(bbox=[5, 5, -1, 3])], "negative side; COCO's boxes are"),
        ([entry(score="high")], r"entry\[0\]: score is 'high' \(text\), expected a finite number"),
        ([entry(score=float("nan"))], "line 1, column 69: NaN is not a JSON number"),
        (
            [{"image_id": 10, "category_id": 90, "bbox": [1, 2, 3, 4]}],
            r"entry\[0\]: has neither 'score' nor 'cls_score'",
        ),
        (
            [{"category_id": 90, "bbox": [1, 2, 3, 4], "score": 1}],
            r"entry\[0\]: has neither 'image_id' nor 'file_name'",
        ),
        ([{"image_id": 10, "bbox": [1, 2, 3, 4], "score": 1}], r"entry\[0\]: has neither 'category_id' nor 'category'"),
        ([entry(category_id="kyte")], "unknown category 'kyte'; did you mean 'kite'"),
        ([entry(image_id=5), entry(image_id=6)], "none of its 2 entries names one of the images"),
    ],
)
def test_mistakes(truth, tmp_path, content, message) -> None:
    with pytest.raises(InputError, match=message.replace("?", "[?]")):
        read_predictions(write(tmp_path / "a.json", content), truth)


def test_missing_files_and_broken_ground_truth(coco_folder, truth, tmp_path) -> None:
    with pytest.raises(InputError, match="no prediction file"):
        read_predictions(tmp_path / "none.json", truth)
    content = json.loads((coco_folder / "instances.json").read_text())
    content["annotations"][0]["image_id"] = 77
    with pytest.raises(InputError, match=r"annotations\[0\] \(id 1\): image_id 77 is not the id of one of the images"):
        read_ground_truth(write(tmp_path / "gt.json", content))
    content["annotations"][0].update(image_id=10, category_id=5)
    with pytest.raises(InputError, match="category_id 5 is not the id of one of the categories"):
        read_ground_truth(write(tmp_path / "gt.json", content))
    content["annotations"][0].update(category_id=90, bbox=[1, 1, 0, 5])
    found = read_ground_truth(write(tmp_path / "gt.json", content))
    assert len(found.objects) == 2 and "no area" in found.left_out[0] and not found.notes
    assert np.isfinite(found.objects.area).all()
