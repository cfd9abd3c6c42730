"""Ground truth and detections of any detector, from COCO-style JSON files: a lenient reader with exact errors.

Ground truth is an instances file (images, annotations, categories); the pictures are not needed. Predictions are a
list of entries, or an object that holds one under `annotations`, `predictions` or `detections`:

    image_id or file_name · category_id or category (its name) · bbox [x, y, width, height] px · score

and, where the detector has them, `cls_score` and `iou_score` apart (`score` may then be left out: their product).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.data.kinds.coco import load_instances
from assignbench.errors import InputError, nearest

LISTS = ("annotations", "predictions", "detections")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GroundTruth:
    """Tables of images and objects as records hold them; labels follow rising category id."""

    name: str
    images: pd.DataFrame
    objects: pd.DataFrame
    classes: tuple[str, ...]
    label_of: dict[int, int]
    notes: list[str] = field(default_factory=list)


def read_ground_truth(path: Path) -> GroundTruth:
    """An instances file without its pictures. Objects without area are left out and noted.

    Raises InputError naming file, entry and remedy for what is missing or malformed.
    """
    content = load_instances(path)
    categories = sorted(content["categories"], key=lambda c: int(c["id"]))
    label_of = {int(c["id"]): i for i, c in enumerate(categories)}
    entries = content["images"]
    images = pd.DataFrame(
        {
            "image_id": np.asarray([int(i["id"]) for i in entries], np.int64),
            "name": [str(i["file_name"]) for i in entries],
            "width": np.asarray([int(i["width"]) for i in entries], np.int64),
            "height": np.asarray([int(i["height"]) for i in entries], np.int64),
        }
    )
    items = content["annotations"]
    boxes = _boxes([a["bbox"] for a in items], path, "annotations")
    for place, a in enumerate(items):
        if int(a["category_id"]) not in label_of:
            raise InputError(f"{path}: annotations[{place}] (id {a['id']}): unknown category_id {a['category_id']}")
    known = np.isin([int(a["image_id"]) for a in items], images.image_id)
    if len(items) and not known.all():
        place = int(np.flatnonzero(~known)[0])
        raise InputError(
            f"{path}: annotations[{place}] (id {items[place]['id']}) names image {items[place]['image_id']}, "
            "which is not under images"
        )
    objects = pd.DataFrame(
        {
            "image_id": np.asarray([int(a["image_id"]) for a in items], np.int64),
            "object_id": np.asarray([int(a["id"]) for a in items], np.int64),
            "label": np.asarray([label_of[int(a["category_id"])] for a in items], np.int64),
            "x1": boxes[:, 0],
            "y1": boxes[:, 1],
            "x2": boxes[:, 0] + boxes[:, 2],
            "y2": boxes[:, 1] + boxes[:, 3],
            "area": np.asarray([float(a.get("area", b[2] * b[3])) for a, b in zip(items, boxes, strict=True)]),
            "crowd": np.asarray([bool(a.get("iscrowd", 0)) for a in items], np.bool_),
            "difficult": np.asarray([bool(a.get("difficult", a.get("ignore", 0))) for a in items], np.bool_),
        }
    )
    flat = (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    notes = [f"{path.name}: annotation {i} has no area and is left out" for i in objects.object_id[flat]]
    objects = objects[~flat].reset_index(drop=True)
    return GroundTruth(path.stem, images, objects, tuple(str(c["name"]) for c in categories), label_of, notes)


def read_predictions(path: Path, truth: GroundTruth) -> pd.DataFrame:
    """The detections table of a result file: image_id, label, score, cls_score, quality_score, x1, y1, x2, y2.

    Entries on images or categories that the ground truth does not have are an error if all are, and are left out
    otherwise (noted in `truth.notes`). Raises InputError naming file, entry, value and remedy.
    """
    rows = _entries(path)
    if not rows:
        return _table(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0), np.zeros(0))
    for key in ("bbox",):
        _required(rows, key, path)
    boxes = _boxes([r["bbox"] for r in rows], path, "entry ")
    image, where = _images(rows, truth, path)
    label, which = _labels(rows, truth, path)
    cls, quality, score = _scores(rows, path)
    usable = where & which
    for what, mask in (("images", where), ("categories", which)):
        lost = int((~mask).sum())
        if lost == len(rows):
            raise InputError(
                f"{path}: none of its {len(rows)} entries names one of the {what} of the ground truth "
                f"(first: {rows[0].get('image_id', rows[0].get('file_name'))!r}, "
                f"category {rows[0].get('category_id', rows[0].get('category'))!r}); do the two files belong together?"
            )
        if lost:
            truth.notes.append(f"{path.name}: {lost} of {len(rows)} entries are on {what} not in the ground truth")
    flat = (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    if flat.any():
        truth.notes.append(f"{path.name}: {int(flat.sum())} boxes without area are left out")
    usable &= ~flat
    return _table(boxes[usable], image[usable], label[usable], score[usable], cls[usable], quality[usable])


def _table(boxes: Floats, image: Any, label: Any, score: Floats, cls: Floats, quality: Floats) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": image,
            "label": label,
            "score": score,
            "cls_score": cls,
            "quality_score": quality,
            "x1": boxes[:, 0],
            "y1": boxes[:, 1],
            "x2": boxes[:, 0] + boxes[:, 2],
            "y2": boxes[:, 1] + boxes[:, 3],
        }
    )


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"no prediction file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: not JSON ({problem})") from problem
    if isinstance(content, dict):
        found = [k for k in LISTS if isinstance(content.get(k), list)]
        if not found:
            raise InputError(f"{path}: expected a list of detections, or an object with one under {', '.join(LISTS)}")
        content = content[found[0]]
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of detections, found a {type(content).__name__}")
    for place, row in enumerate(content):
        if not isinstance(row, dict):
            raise InputError(f"{path}: entry {place} is a {type(row).__name__}, expected an object with bbox and score")
    return content


def _required(rows: Sequence[dict[str, Any]], key: str, path: Path) -> None:
    for place, row in enumerate(rows):
        if key not in row:
            raise InputError(f"{path}: entry {place} has no '{key}'{nearest(key, list(row))}")


def _boxes(values: Sequence[Any], path: Path, what: str) -> Floats:
    """[N, 4] x, y, width, height."""
    try:
        boxes = np.asarray(values, np.float64).reshape(len(values), 4)
    except (TypeError, ValueError):
        for place, value in enumerate(values):
            numbers = isinstance(value, list) and len(value) == 4 and all(isinstance(v, int | float) for v in value)
            if not numbers:
                raise InputError(
                    f"{path}: {what}[{place}]: bbox must be [x, y, width, height], got {value!r}"
                ) from None
        raise
    bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1)
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}: {what}[{place}]: bbox {values[place]!r} is not finite or has a negative side; "
            "COCO's boxes are [x, y, width, height], not corners"
        )
    return boxes


def _images(rows: Sequence[dict[str, Any]], truth: GroundTruth, path: Path) -> tuple[Any, npt.NDArray[np.bool_]]:
    """The image id of every entry, and whether the ground truth has it."""
    by_name = dict(zip(truth.images.name, truth.images.image_id.tolist(), strict=True))
    found = []
    for place, row in enumerate(rows):
        value: Any = row.get("image_id", row.get("file_name"))
        if value is None:
            raise InputError(f"{path}: entry {place} has neither 'image_id' nor 'file_name'")
        if isinstance(value, str) and not value.lstrip("-").isdigit():
            value = by_name.get(value, by_name.get(Path(value).name, -1))
        found.append(int(value))
    ids = np.asarray(found, np.int64)
    return ids, np.isin(ids, truth.images.image_id.to_numpy())


def _labels(rows: Sequence[dict[str, Any]], truth: GroundTruth, path: Path) -> tuple[Any, npt.NDArray[np.bool_]]:
    """The label of every entry (-1 where the ground truth has no such category)."""
    by_name = {name: i for i, name in enumerate(truth.classes)}
    found = []
    for place, row in enumerate(rows):
        value: Any = row.get("category_id", row.get("category"))
        if value is None:
            raise InputError(f"{path}: entry {place} has neither 'category_id' nor 'category'")
        if isinstance(value, str) and not value.isdigit():
            if value not in by_name:
                raise InputError(f"{path}: entry {place}: unknown category '{value}'{nearest(value, list(by_name))}")
            found.append(by_name[value])
        else:
            found.append(truth.label_of.get(int(value), -1))
    labels = np.asarray(found, np.int64)
    return labels, labels >= 0


def _scores(rows: Sequence[dict[str, Any]], path: Path) -> tuple[Floats, Floats, Floats]:
    """Class score, IoU score (1 where there is none) and final score of every entry."""
    columns = []
    for key in ("cls_score", "iou_score", "score"):
        values = [row.get(key) for row in rows]
        try:
            columns.append(np.asarray([np.nan if v is None else v for v in values], np.float64))
        except (TypeError, ValueError):
            place = next(i for i, v in enumerate(values) if v is not None and not isinstance(v, int | float))
            raise InputError(f"{path}: entry {place}: {key} must be a number, got {values[place]!r}") from None
        wrong = ~np.isfinite(columns[-1]) & np.asarray([v is not None for v in values])
        if wrong.any():
            raise InputError(f"{path}: entry {int(np.flatnonzero(wrong)[0])}: {key} is not finite")
    cls, quality, score = columns
    none = np.isnan(score) & np.isnan(cls)
    if none.any():
        raise InputError(f"{path}: entry {int(np.flatnonzero(none)[0])} has neither 'score' nor 'cls_score'")
    quality = np.where(np.isnan(quality), 1.0, quality)
    cls = np.where(np.isnan(cls), score, cls)
    return cls, quality, np.where(np.isnan(score), cls * quality, score)
