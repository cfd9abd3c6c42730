"""COCO files, every field with every wrong value: what is wrong is named with file, entry, key and value."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.data.kinds.coco import read_coco
from assignbench.data.predictions import read_ground_truth, read_predictions
from assignbench.errors import InputError

MISSING = object()
NOT_INTEGERS = [1.5, 1.0, True, "1", "x", None, [], {}, [1], 2**70, -(2**60), MISSING]
NOT_NUMBERS = [True, "1", None, [], {}]
NOT_TEXTS = ["", "  ", 3, None, True, [], "a\nb", "a\u0000", "\ud800", MISSING]
NOT_BOXES = [
    [1, 2, 1e300, 4],
    [],
    [1, 2, 3],
    [1, 2, 3, 4, 5],
    [1, 2, 3, "4"],
    [1, 2, True, 4],
    [1, None, 3, 4],
    "1 2 3 4",
    5,
    None,
    {},
]
FIELDS = [
    *(("images", key, value) for key in ("id", "width", "height") for value in NOT_INTEGERS),
    *(("images", key, value) for key in ("width", "height") for value in (0, -5, 10**7)),
    *(("images", "file_name", value) for value in NOT_TEXTS),
    *(("annotations", key, value) for key in ("id", "image_id", "category_id") for value in NOT_INTEGERS),
    *(("annotations", "bbox", value) for value in (*NOT_BOXES, MISSING)),
    *(("annotations", "area", value) for value in (*NOT_NUMBERS, -1.0)),
    *(("annotations", "iscrowd", value) for value in ("0", 2, 0.0, False, None, -1, [])),
    *(("categories", "id", value) for value in NOT_INTEGERS),
    *(("categories", "name", value) for value in NOT_TEXTS),
    *((key, None, value) for key in ("images", "annotations", "categories") for value in ([], 3, "x", None)),
]


def spoilt(content: dict, where: str, key: str | None, value: object, place: int) -> dict:
    content = copy.deepcopy(content)
    rows = content[where]
    if key is None:
        rows[place] = value
    elif value is MISSING:
        rows[place].pop(key, None)
    else:
        rows[place][key] = value
    return content


@pytest.fixture
def content(coco_folder) -> dict:
    return json.loads((coco_folder / "instances.json").read_text())


@pytest.mark.parametrize(("where", "key", "value"), FIELDS)
@pytest.mark.parametrize("place", [0, 1])
def test_each_field_with_each_wrong_value(coco_folder, content, where, key, value, place) -> None:
    path = coco_folder / "instances.json"
    path.write_text(json.dumps(spoilt(content, where, key, value, place)))
    for read in (lambda: read_coco(coco_folder, path.name, "images", name="mine"), lambda: read_ground_truth(path)):
        with pytest.raises(InputError) as caught:
            read()
        line = next(text for text in str(caught.value).splitlines() if f"{where}[{place}]" in text)
        assert path.name in line and (key or "expected an object") in line
        if value is not MISSING and not isinstance(value, int | float) and value:
            assert repr(value)[:20] in line


def test_everything_at_once_and_in_groups(coco_folder, content) -> None:
    for place in range(30):
        content["annotations"].append(
            {"id": 100 + place, "image_id": 10, "category_id": 3, "bbox": [1, 1, 2, "2"], "iscrowd": 0}
        )
        content["images"].append({"id": 200 + place, "file_name": f"{place % 2}.jpg", "width": 50, "height": 40})
        content["images"][-1]["file_name"] = f"{place}.jpg"
    content["annotations"][0]["area"] = "big"
    (coco_folder / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_coco(coco_folder, "instances.json", "images", name="mine")
    message = str(caught.value)
    assert "30 × bbox is" in message and "area is 'big' (text)" in message
    assert "27 × image file is missing, e.g. images/3.jpg" in message
    assert "3 × image file is missing" in message and ".png files of those names exist" in message
    assert len(message.splitlines()) < 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][1].update(id=10), r"images\[1\] \(id 10\): id 10 is that of images\[0\] too"),
        (lambda c: c["images"][1].update(file_name="0.png"), "file_name '0.png' is that of images\\[0\\] too"),
        (
            lambda c: c["annotations"][1].update(id=1),
            r"annotations\[1\] \(id 1\): id 1 is that of annotations\[0\] too",
        ),
        (
            lambda c: c["categories"][1].update(id=90),
            r"categories\[1\] \(id 90\): id 90 is that of categories\[0\] too",
        ),
        (lambda c: c["categories"][1].update(name="kite"), "name 'kite' is that of categories"),
    ],
)
@pytest.mark.parametrize("on_bad", ["error", "skip"])
def test_what_stands_there_twice(coco_folder, content, change, message, on_bad) -> None:
    change(content)
    (coco_folder / "instances.json").write_text(json.dumps(content))
    if on_bad == "skip" and ("file_name" in message or "annotations" in message):
        data = read_coco(coco_folder, "instances.json", "images", name="mine", on_bad=on_bad)
        assert len(data.skipped) == 1
        return
    with pytest.raises(InputError, match=message):
        read_coco(coco_folder, "instances.json", "images", name="mine", on_bad=on_bad)


def spec_of(content: dict, folder, test: dict, **more) -> DataSpec:
    (folder / "instances.json").write_text(json.dumps(content))
    (folder / "test.json").write_text(json.dumps(test))
    pairs = {"train": [("instances.json", "images")], "test": [("test.json", "images")]}
    return DataSpec(name="mine", kind="coco", root=str(folder), **pairs, **more)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations([0, 1]), ids=st.lists(st.integers(0, 10**6), min_size=2, max_size=2, unique=True))
def test_categories_are_matched_by_name(coco_folder, order, ids) -> None:
    content = json.loads((coco_folder / "instances.json").read_text())
    content["categories"] = [{"id": 90, "name": "kite"}, {"id": 3, "name": "car"}]
    test = copy.deepcopy(content)
    new = {old["id"]: number for old, number in zip(content["categories"], ids, strict=True)}
    test["categories"] = [{"id": new[c["id"]], "name": c["name"]} for c in (content["categories"][i] for i in order)]
    for item in test["annotations"]:
        item["category_id"] = new[item["category_id"]]
    spec = spec_of(content, coco_folder, test)
    train, found = (load(spec, split, coco_folder) for split in ("train", "test"))
    assert found.classes == train.classes == ("car", "kite")
    assert [i.labels.tolist() for i in found.images] == [i.labels.tolist() for i in train.images]
    (coco_folder / "instances.json").write_text(json.dumps(content))


def test_other_categories_are_refused_with_both_sides_and_classes_selects(coco_folder, content) -> None:
    test = copy.deepcopy(content)
    test["categories"].append({"id": 7, "name": "boat"})
    content["categories"].append({"id": 8, "name": "dog"})
    spec = spec_of(content, coco_folder, test)
    assert load(spec, "train", coco_folder).classes == ("car", "dog", "kite")
    with pytest.raises(InputError, match=r"data\.classes") as caught:
        load(spec, "test", coco_folder)
    assert "instances.json: dog" in str(caught.value) and "test.json: boat" in str(caught.value)
    chosen = spec_of(content, coco_folder, test, classes=["kite", "car"])
    assert load(chosen, "test", coco_folder).classes == load(chosen, "train", coco_folder).classes == ("car", "kite")
    wrong = spec_of(content, coco_folder, test, classes=["kit"])
    with pytest.raises(InputError, match=r"'kit', which is no category .* did you mean 'kite'"):
        load(wrong, "train", coco_folder)


def test_splits_without_images_or_objects_are_refused(coco_folder, content) -> None:
    for key, message in (("annotations", "no object in the 3 images"), ("images", "no usable image")):
        broken = {**content, "annotations": [], key: []}
        spec = spec_of(broken, coco_folder, broken)
        with pytest.raises(InputError, match=message):
            load(spec, "train", coco_folder)


ENTRY = {"image_id": 10, "category_id": 90, "bbox": [1, 2, 3, 4], "score": 0.5, "cls_score": 0.5, "iou_score": 0.5}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("image_id", "category_id") for value in ("1", "1.5", 1.5, 1.0, True, None, [], {})),
        *(("bbox", value) for value in (*NOT_BOXES, MISSING, [1, 2, -3, 4])),
        *((key, value) for key in ("score", "cls_score", "iou_score") for value in NOT_NUMBERS),
    ],
)
def test_each_field_of_a_prediction(coco_folder, tmp_path, key, value) -> None:
    truth = read_ground_truth(coco_folder / "instances.json")
    path = tmp_path / "found.json"
    path.write_text(json.dumps(spoilt({"predictions": [dict(ENTRY) for _ in range(3)]}, "predictions", key, value, 1)))
    with pytest.raises(InputError) as caught:
        read_predictions(path, truth)
    line = next(text for text in str(caught.value).splitlines() if "entry[1]" in text)
    assert path.name in line and key in line and "1 annotation problem" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, b: r.update(bbox=[b[0], b[1], b[0] + b[2], b[1] + b[3]]), "are they corners"),
        (lambda r, b: r.update(bbox=(np.array(b) / 200).tolist()), "normalised to 0..1"),
        (lambda r, b: r.update(bbox=(np.array(b) * 3).tolist()), "px of another image size"),
        (lambda r, b: r.update(category_id=r["category_id"] - 1), "count from 0"),
        (lambda r, b: r.update(score=100 * r["score"]), "percentages or logits"),
        (lambda r, b: r.update(score=8 * r["score"] - 4), "are they logits"),
        (lambda r, b: r.update(score=1), "every score is 1"),
        (
            lambda r, b: r.update(image_id=0, category_id=1, bbox=[5, 5, 20, 20], score=0.5 + 0.1 * (b[0] > 90)),
            "are there twice",
        ),
        (lambda r, b: None, ""),
    ],
)
def test_what_looks_wrong_gets_a_warning_that_says_so(tmp_path, change, message) -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(60, 130, (60, 2)), rng.uniform(15, 65, (60, 2))], axis=1).round(2).tolist()
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 200, "height": 200} for i in range(20)],
        "annotations": [
            {"id": i, "image_id": i % 20, "category_id": 1 + i % 3, "bbox": b, "iscrowd": 0}
            for i, b in enumerate(boxes)
        ],
        "categories": [{"id": i, "name": f"kind{i}"} for i in (1, 2, 3)],
    }
    rows = [
        {"image_id": i % 20, "category_id": 1 + i % 3, "bbox": b, "score": rng.random()} for i, b in enumerate(boxes)
    ]
    for row, box in zip(rows, boxes, strict=True):
        change(row, box)
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(rows))
    known = read_ground_truth(tmp_path / "gt.json")
    read_predictions(tmp_path / "found.json", known)
    assert [message in w for w in known.warnings] == ([True] if message else [])
