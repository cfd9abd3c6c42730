"""Results of other frameworks: one set of detections, written as each of them writes it, is read as one table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assignbench.data.predictions import read_ground_truth, read_predictions
from assignbench.errors import InputError

NAMES = ["7.jpg", "sub/street.png", "000012.jpg"]
SIZES = [(64, 48), (100, 80), (50, 50)]
BOX = {"xmin": 1, "ymin": 1, "xmax": 2, "ymax": 2}
Found = list[tuple[int, int, list[float], float]]  # image, class, box x1 y1 x2 y2, score


@pytest.fixture(params=[(1, 2, 3), (0, 1, 2), (3, 17, 90)], ids=str)
def ids(request) -> tuple[int, ...]:
    """Category ids: from 1, from 0, sparse as COCO's."""
    return request.param


def ground_truth(folder: Path, ids: tuple[int, ...]) -> Path:
    """Three images whose ids are none of their names, three categories, an object in each image."""
    content = {
        "images": [
            {"id": 100 + i, "file_name": n, "width": w, "height": h}
            for i, (n, (w, h)) in enumerate(zip(NAMES, SIZES, strict=True))
        ],
        "annotations": [
            {"id": i + 1, "image_id": 100 + i, "category_id": c, "bbox": [4, 4, 10, 10], "area": 100, "iscrowd": 0}
            for i, c in enumerate(ids)
        ],
        "categories": [{"id": c, "name": f"class {k}"} for k, c in enumerate(ids)],
    }
    path = folder / "gt.json"
    path.write_text(json.dumps(content))
    return path


def detections() -> Found:
    """Some of every image and class, the first class of all among them."""
    rng = np.random.default_rng(3)
    rows: Found = []
    for k in range(12):
        corner, side = rng.integers(0, 20, 2).tolist(), rng.integers(4, 25, 2).tolist()
        box = [float(v) for v in (*corner, corner[0] + side[0], corner[1] + side[1])]
        rows.append((k % 3, (k // 3) % 3, box, round(float(rng.uniform(0.1, 0.9)), 3)))
    return rows


def xywh(box: list[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def stem(image: int) -> str:
    return Path(NAMES[image]).stem


def by_image(found: Found, make: Callable[[Any], Any]) -> dict[int, list[Any]]:
    return {i: [make(row) for row in found if row[0] == i] for i in range(len(NAMES))}


def write_folder(path: Path, contents: dict[int, Any]) -> Path:
    path.mkdir()
    for image, content in contents.items():
        (path / f"{stem(image)}.json").write_text(json.dumps(content))
    return path


def mmdet(folder: Path, found: Found, ids: tuple[int, ...]) -> Path:
    parts = by_image(found, lambda row: row)
    keys = {"labels": 1, "scores": 3, "bboxes": 2}
    return write_folder(
        folder / "x", {i: {k: [r[n] for r in rows] for k, n in keys.items()} for i, rows in parts.items()}
    )


def yolo_labels(folder: Path, found: Found, ids: tuple[int, ...]) -> Path:
    path = folder / "x"
    path.mkdir()
    for image, label, (x1, y1, x2, y2), score in found:
        width, height = SIZES[image]
        line = (label, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height, score)
        with (path / f"{stem(image)}.txt").open("a") as file:
            file.write(" ".join(str(v) for v in line) + "\n")
    return path


def yolo_to_json(folder: Path, found: Found, ids: tuple[int, ...]) -> Path:
    def one(row: Any) -> dict[str, Any]:
        box = dict(zip(("x1", "y1", "x2", "y2"), row[2], strict=True))
        return {"name": f"class {row[1]}", "class": row[1], "confidence": row[3], "box": box}

    return write_folder(folder / "x", by_image(found, one))


def yolo_predictions(folder: Path, found: Found, ids: tuple[int, ...], first: int, named: bool) -> Path:
    rows = []
    for image, label, box, score in found:
        name = stem(image)
        row = {"image_id": int(name) if name.isdecimal() else name, "category_id": label + first}
        row |= {"file_name": Path(NAMES[image]).name} if named else {}
        rows.append({**row, "bbox": xywh(box), "score": score})
    path = folder / "predictions.json"
    path.write_text(json.dumps(rows))
    return path


def hf_entry(row: Any) -> dict[str, Any]:
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), row[2], strict=True))
    return {"score": row[3], "label": f"class {row[1]}", "box": box}


def hf_by_image(folder: Path, found: Found, ids: tuple[int, ...]) -> Path:
    path = folder / "x.json"
    path.write_text(json.dumps({NAMES[i]: rows for i, rows in by_image(found, hf_entry).items()}))
    return path


def hf_folder(folder: Path, found: Found, ids: tuple[int, ...]) -> Path:
    return write_folder(folder / "x", by_image(found, hf_entry))


def hf_lists(folder: Path, found: Found, ids: tuple[int, ...]) -> Path:
    parts = by_image(found, lambda row: row)
    content = {
        stem(i): {"scores": [r[3] for r in rows], "labels": [ids[r[1]] for r in rows], "boxes": [r[2] for r in rows]}
        for i, rows in parts.items()
    }
    path = folder / "x.json"
    path.write_text(json.dumps(content))
    return path


def hf_flat(folder: Path, found: Found, ids: tuple[int, ...]) -> Path:
    path = folder / "x.json"
    path.write_text(json.dumps([{**hf_entry(row), "image": NAMES[row[0]]} for row in found]))
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, Found, tuple[int, ...]], Path]]] = {
    "mmdet": ("mmdet", mmdet),
    "labels": ("ultralytics", yolo_labels),
    "to_json": ("ultralytics", yolo_to_json),
    "predictions from 0": ("ultralytics", lambda f, d, i: yolo_predictions(f, d, i, 0, False)),
    "predictions from 1": ("ultralytics", lambda f, d, i: yolo_predictions(f, d, i, 1, True)),
    "pipeline by image": ("huggingface", hf_by_image),
    "pipeline in a folder": ("huggingface", hf_folder),
    "post-processed": ("huggingface", hf_lists),
    "flat": ("huggingface", hf_flat),
}


def expected(found: Found) -> list[tuple[Any, ...]]:
    return sorted((100 + i, k, round(s, 3), *(round(v, 3) for v in b)) for i, k, b, s in found)


def told(folder: Path, path: Path, ids: tuple[int, ...], **more: Any) -> tuple[list[tuple[Any, ...]], list[str]]:
    truth = read_ground_truth(ground_truth(folder, ids))
    table = read_predictions(path, truth, **more)
    rows = zip(table.image_id, table.label, table.score, table.x1, table.y1, table.x2, table.y2, strict=True)
    assert not truth.left_out
    return sorted((int(i), int(k), *(round(float(v), 3) for v in rest)) for i, k, *rest in rows), truth.notes


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_gives_the_same_table(tmp_path, ids, writer) -> None:
    form, write = WRITERS[writer]
    path = write(tmp_path, detections(), ids)
    found, _ = told(tmp_path, path, ids)
    assert found == expected(detections())
    assert told(tmp_path, path, ids, form=form)[0] == found


@pytest.mark.parametrize("writer", ["mmdet", "labels", "predictions from 1"])
def test_classes_name_the_detector_s_own_order(tmp_path, writer) -> None:
    ids, order = (3, 17, 90), [2, 0, 1]
    swapped = [(i, order.index(k), b, s) for i, k, b, s in detections()]
    path = WRITERS[writer][1](tmp_path, swapped, ids)
    found, notes = told(tmp_path, path, ids, classes=[f"class {k}" for k in order])
    assert found == expected(detections()) and not any("rising id" in n for n in notes)


def test_what_was_guessed_is_said(tmp_path) -> None:
    path = mmdet(tmp_path, detections(), (3, 17, 90))
    assert "0 is 'class 0'" in told(tmp_path, path, (3, 17, 90))[1][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"7.json": {"labels": [9], "scores": [0.5], "bboxes": [[1, 2, 3, 4]]}}, "label is 9, expected 0 to 2"),
        ({"7.json": {"labels": [0, 1], "scores": [0.5], "bboxes": [[1, 2, 3, 4]]}}, "lists of one length"),
        ({"7.json": {"labels": [0], "scores": ["x"], "bboxes": [[1, 2, 3, 4]]}}, "7.json, entry 0: score is 'x'"),
        ({"7.json": {"labels": [0], "scores": [0.5], "bboxes": [[1, 2, 3]]}}, r"box is \[1, 2, 3\]"),
        ({"7.json": {"boxes": 3}}, "hold no results that are known"),
        ({"7.txt": "0 0.5 0.5 0.1 0.1"}, "has no confidence; write the labels with save_conf=True"),
        ({"7.txt": "0 0.5 0.5 0.1 x 0.5"}, "7.txt, line 1: expected class, x, y"),
        ({"7.txt": "nan 0.5 0.5 0.1 0.1 0.5"}, "7.txt, line 1: class is nan, not a whole number"),
        ({"7.txt": "-inf 0.5 0.5 0.1 0.1 0.5"}, "7.txt, line 1: class is -inf, not a whole number"),
        ({"7.txt": "0.7 0.5 0.5 0.1 0.1 0.5"}, "7.txt, line 1: class is 0.7, not a whole number"),
        ({"7.txt": "", "8.json": []}, "JSON files as well as label files"),
        ({"a.csv": ""}, "neither JSON files nor label files"),
        ({"7.json": [{"label": "clas 0", "score": 0.5, "box": BOX}]}, "did you mean 'class 0'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    for name, value in content.items():
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(InputError, match=message):
        told(tmp_path, folder, (1, 2, 3))


def test_pickles_and_unknown_classes_are_refused(tmp_path) -> None:
    path = tmp_path / "results.pkl"
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(InputError, match="is a pickle, which can run code and is never read"):
        told(tmp_path, path, (1, 2, 3))
    with pytest.raises(InputError, match=r"--classes: 'clas 1' .* did you mean 'class 1'"):
        told(tmp_path, mmdet(tmp_path, detections(), (1, 2, 3)), (1, 2, 3), classes=["clas 1"])


def test_a_coco_list_stays_one(tmp_path) -> None:
    """Also where its image ids happen to be numbers of files, and where it names images by their files."""
    for key, value in (("image_id", 100), ("file_name", "7.jpg")):
        row = {key: value, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}
        path = tmp_path / "coco.json"
        path.write_text(json.dumps([row]))
        assert told(tmp_path, path, (1, 2, 3)) == ([(100, 1, 0.5, 1.0, 2.0, 4.0, 6.0)], [])
