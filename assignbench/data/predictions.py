"""Ground truth and detections of any detector, from COCO-style JSON files.

Ground truth is an instances file (images, annotations, categories); the pictures are not needed. Predictions are a
list of entries, or an object that holds one under `annotations`, `predictions` or `detections`:

    image_id or file_name · category_id or category (its name) · bbox [x, y, width, height] px · score

and, where the detector has them, `cls_score` and `iou_score` apart (`score` may then be left out: their product). Other
frameworks' files are brought into this form first (result_formats).
A wrong type or value refuses the file; values that are sound and look wrong are noted. What no number counts is said,
and so is where numbers follow a peculiarity of pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assignbench.data.base import Problem, refusal
from assignbench.data.fields import Bools, Entries, Floats, Ints, shown
from assignbench.data.image_names import ImageNames
from assignbench.data.instances import read_instances
from assignbench.data.result_formats import AUTO, Known, read_rows
from assignbench.data.suspicion import (
    sizes_of,
    stray_boxes,
    suspicious_areas,
    suspicious_boxes,
    suspicious_categories,
    suspicious_mixture,
    suspicious_rows,
    suspicious_scores,
)
from assignbench.errors import InputError, nearest

_REMEDY = "Mend the file, or write it again."
_ID_ZERO = (
    "annotation 0 can never be found: pycocotools keeps matches by the annotation's id and reads 0 as none, and the "
    "numbers here follow it; number the annotations from 1"
)
MOST = 100  # detections of an image and class that COCO's AP counts
_ONE = "leave out the one that is wrong"
_NOT_CORNERS = "COCO's boxes are [x, y, width, height], not corners"


@dataclass(frozen=True)
class GroundTruth:
    """Tables of images and objects as records hold them; labels follow rising category id.

    Of this file and of the predictions on it: `left_out` says what counts in no number, `notes` where numbers follow a
    peculiarity of pycocotools, `warnings` what looks wrong.
    """

    name: str
    images: pd.DataFrame
    objects: pd.DataFrame
    classes: tuple[str, ...]
    label_of: dict[int, int]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_ground_truth(path: Path) -> GroundTruth:
    """An instances file without its pictures. Objects without area are left out and noted.

    Raises InputError naming file, entry, key, value and remedy for everything that is missing or malformed.
    """
    found = read_instances(path)
    boxes = found.boxes
    problems = list(found.problems)
    negative = (boxes[:, 2:] < 0).any(axis=1)
    for number in np.flatnonzero(negative).tolist():
        what = f"bbox {boxes[number].tolist()} has a negative side"
        where = f"annotations[{found.places[number]}] (id {found.ids[number]})"
        problems.append(Problem(path.name, what, where, hint=_NOT_CORNERS))
    widths, heights = found.widths[found.owners], found.heights[found.owners]
    beyond = (boxes[:, 0] >= widths) | (boxes[:, 1] >= heights) | (boxes[:, :2] + boxes[:, 2:] <= 0).any(axis=1)
    for number in np.flatnonzero(beyond & ~negative & (boxes[:, 2:] > 0).all(axis=1)).tolist():
        what = f"bbox {boxes[number].tolist()} lies outside its image of {widths[number]}x{heights[number]}"
        where = f"annotations[{found.places[number]}] (id {found.ids[number]})"
        problems.append(Problem(path.name, what, where))
    if problems:
        raise refusal(problems, str(path), _REMEDY)
    flat = _flat(boxes)
    if not (~found.crowd & ~found.ignored & ~flat).any():
        what = "object that counts" if len(found.images) else "image"
        left = f" (of {len(boxes)}, {int(found.crowd.sum())} are crowd, {int(found.ignored.sum())} ignored)"
        raise InputError(
            f"{path}: holds no {what}{left if len(boxes) else ''}, so there is nothing to measure; "
            "name the ground truth's file"
        )
    images = pd.DataFrame(
        {"image_id": found.images, "name": found.names, "width": found.widths, "height": found.heights}
    )
    label_of = {category: label for label, category in enumerate(found.categories)}
    objects = pd.DataFrame(
        {
            "image_id": found.images[found.owners],
            "object_id": found.ids,
            "label": np.asarray([label_of[c] for c in found.category_ids.tolist()], np.int64),
            **_corners(boxes),
            "area": found.areas,
            "crowd": found.crowd,
            "difficult": found.ignored,
        }
    )
    left_out = _flat_objects(path, objects.object_id[flat].tolist())
    notes = []
    if (found.ids[~flat] == 0).any():
        objects["never_found"] = found.ids == 0
        notes = [f"{path.name}: {_ID_ZERO}"]
    named = [f"annotation {i}" for i in found.ids.tolist()]
    said = suspicious_boxes(boxes, widths, heights) + stray_boxes(boxes, widths, heights, named, room=1.0)
    said += suspicious_areas(found.areas, boxes, named)
    warnings = [f"{path.name}: {warning}" for warning in said]
    objects = objects[~flat].reset_index(drop=True)
    classes = tuple(found.categories.values())
    return GroundTruth(path.stem, images, objects, classes, label_of, left_out, notes, warnings)


def _flat_objects(path: Path, ids: list[int]) -> list[str]:
    if not ids:
        return []
    which = f"annotation{'s' * (len(ids) > 1)} {_few([str(i) for i in ids])}"
    has = "have" if len(ids) > 1 else "has"
    return [f"{path.name}: {which} {has} no area and count in no number (pycocotools counts such an object as missed)"]


def read_predictions(
    path: Path, truth: GroundTruth, *, before_nms: bool = False, form: str = AUTO, classes: Sequence[str] = ()
) -> pd.DataFrame:
    """The detections table of a result file: image_id, label, score, cls_score, quality_score, x1, y1, x2, y2.

    `form` is one of `result_formats.FORMATS`, `classes` the classes in the order of the detector's own numbers.
    Entries on images or categories that the ground truth does not have are an error if all are, and are left out
    otherwise; this is said in `truth.left_out`. Detections without area stay, as in pycocotools, where they find
    nothing; boxes `before_nms` without area are left out. What looks wrong is said in `truth.warnings`. Raises
    InputError naming file, entry, key, value and remedy, for all entries at once.
    """
    names = {number: truth.classes[label] for number, label in truth.label_of.items()}
    read = read_rows(path, Known(truth.images, names, classes), form)
    truth.notes.extend(read.told)
    rows, problems = read.rows, list[Problem]()
    entries = Entries(path.name, "entry", rows, problems)
    boxes = entries.boxes("bbox")
    for place in np.flatnonzero((boxes[:, 2:] < 0).any(axis=1)).tolist():
        entries.refuse(place, f"bbox is {rows[place]['bbox']}: it has a negative side", hint=_NOT_CORNERS)
    image, where = _images(entries, truth)
    label, which = _labels(entries, truth)
    cls, quality, score = _scores(entries)
    if problems:
        raise refusal(problems, str(path), _REMEDY)
    usable = where & which
    for what, mask in (("images", where), ("categories", which)):
        lost = int((~mask).sum())
        if lost and lost == len(rows):
            raise InputError(
                f"{path}: none of its {len(rows)} entries names one of the {what} of the ground truth "
                f"(first: {rows[0].get('image_id', rows[0].get('file_name'))!r}, "
                f"category {rows[0].get('category_id', rows[0].get('category'))!r}); do the two files belong together?"
            )
        if lost:
            truth.left_out.append(f"{path.name}: {_unknown(rows, mask, what)}")
    flat = _flat(boxes)
    if (flat & usable).any():
        told = f"{int((flat & usable).sum())} boxes without area"
        if before_nms:
            truth.left_out.append(f"{path.name}: {told} are left out")
        else:
            truth.notes.append(f"{path.name}: {told} find no object and count as false alarms, as in pycocotools")
    used = {r["category_id"] for r in rows if type(r.get("category_id")) is int}
    said = suspicious_categories(used, truth.label_of)
    sizes = sizes_of(truth.images, image[where])
    said += suspicious_boxes(boxes[where], *sizes)
    said += stray_boxes(boxes[where], *sizes, [entries.name_of(i) for i in np.flatnonzero(where).tolist()])
    said += suspicious_mixture({key: entries.has(key) for key in ("score", "cls_score", "iou_score")})
    said += suspicious_scores(cls, quality, score)
    truth.warnings.extend(f"{path.name}: {warning}" for warning in said)
    usable &= ~flat | (not before_nms)
    table = pd.DataFrame(
        {
            "image_id": image[usable],
            "label": label[usable],
            "score": score[usable],
            "cls_score": cls[usable],
            "quality_score": quality[usable],
            **_corners(boxes[usable]),
        }
    )
    truth.warnings.extend(f"{path.name}: {warning}" for warning in suspicious_rows(table))
    if not before_nms:
        truth.left_out.extend(f"{path.name}: {one}" for one in (*_beyond(table), *_of_empty_classes(table, truth)))
    return table


def _unknown(rows: list[Any], known: Bools, what: str) -> str:
    """How many entries are on images or categories that the ground truth does not have, and which these are."""
    lost = np.flatnonzero(~known).tolist()
    keys = ("image_id", "file_name") if what == "images" else ("category_id", "category")
    named = (rows[place].get(keys[0], rows[place].get(keys[1])) for place in lost)
    which = _few(list(dict.fromkeys(shown(value) for value in named)))
    told = f"{len(lost)} of {len(rows)} entries are on {what} not in the ground truth ({keys[0]} {which})"
    return f"{told} and count in no number"


def _few(names: list[str]) -> str:
    """The first three of them, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _beyond(table: pd.DataFrame) -> list[str]:
    """How many detections lie beyond those that AP counts of an image and class."""
    sizes = table.groupby(["image_id", "label"]).size()
    late = int((sizes - MOST).clip(lower=0).sum())
    told = f"detections lie beyond the best {MOST} of their image and class and count in no AP, as in pycocotools"
    return [f"{late} of {len(table)} {told}"] if late else []


def _of_empty_classes(table: pd.DataFrame, truth: GroundTruth) -> list[str]:
    """How many detections are of classes that have no object to find, for which there is no AP."""
    counted = truth.objects.label[~truth.objects.crowd & ~truth.objects.difficult]
    lost = table.label[~table.label.isin(counted)]
    if lost.empty:
        return []
    which = _few([truth.classes[label] for label in sorted(set(lost))])
    told = f"{len(lost)} of {len(table)} detections are of classes without an object that counts ({which})"
    return [f"{told} and count in no AP"]


def _flat(boxes: Floats) -> Bools:
    """Whether a box has no area as tables hold it: a side far below the precision of its place is none."""
    low, high = boxes[:, :2].astype(np.float32), (boxes[:, :2] + boxes[:, 2:]).astype(np.float32)
    return np.asarray((high <= low).any(axis=1), np.bool_)


def _corners(boxes: Floats) -> dict[str, Floats]:
    x, y, width, height = boxes.T
    return {"x1": x, "y1": y, "x2": x + width, "y2": y + height}


def _images(entries: Entries, truth: GroundTruth) -> tuple[Ints, Bools]:
    """The image id [N] of every entry, and whether the ground truth has it."""
    both = entries.has("image_id") & entries.has("file_name")
    if not both.any() and entries.has("image_id").all() and {type(r["image_id"]) for r in entries.rows} <= {int}:
        ids = entries.integers("image_id")
        return ids, np.isin(ids, truth.images.image_id.to_numpy())
    known = set(truth.images.image_id.tolist())
    by_name = ImageNames(truth.images)
    ids, found = np.zeros(len(entries), np.int64), np.zeros(len(entries), np.bool_)
    owner: dict[int, str] = {}
    for place, row in enumerate(entries.rows):
        key = "image_id" if "image_id" in row else "file_name"
        value = row.get(key)
        if key not in row:
            _refuse_once(entries, place, "has neither 'image_id' nor 'file_name'")
        elif key == "image_id" and type(value) is int:
            found[place] = value in known
            ids[place] = value if found[place] else 0
        elif type(value) is not str or (key == "image_id" and _is_numeral(value)):
            expected = "an integer; names go under file_name" if key == "image_id" else "a text"
            entries.refuse(place, f"{key} is {shown(value)}, expected {expected}")
        else:
            image = by_name.find(value)
            if image is None and by_name.several(value):
                entries.refuse(place, f"{key} '{value:.80}' may be several images; write its folder too")
            elif image is not None and owner.setdefault(image, value) != value:
                entries.refuse(place, f"{key} '{value:.80}' and '{owner[image]:.80}' of another entry mean one image")
            elif image is not None:
                ids[place], found[place] = image, True
        said = row.get("file_name")
        meant = by_name.find(said) if both[place] and type(said) is str else None
        if meant is not None and not (found[place] and ids[place] == meant) and entries.sound[place]:
            entries.refuse(place, f"image_id is {shown(value)}, but file_name '{said:.80}' is image {meant}", _ONE)
    return ids, found


def _labels(entries: Entries, truth: GroundTruth) -> tuple[Ints, Bools]:
    """The label [N] of every entry (-1 where the ground truth has no such category), and whether it has one."""
    by_name = {name: i for i, name in enumerate(truth.classes)}
    labels = np.full(len(entries), -1)
    for place, row in enumerate(entries.rows):
        key = "category_id" if "category_id" in row else "category"
        value = row.get(key)
        if key not in row:
            _refuse_once(entries, place, "has neither 'category_id' nor 'category'")
        elif key == "category_id" and type(value) is int:
            labels[place] = truth.label_of.get(value, -1)
        elif type(value) is not str or (key == "category_id" and _is_numeral(value)):
            expected = "an integer; names go under category" if key == "category_id" else "a text"
            entries.refuse(place, f"{key} is {shown(value)}, expected {expected}")
        elif value in by_name:
            labels[place] = by_name[value]
        else:
            entries.refuse(place, f"unknown category '{value:.80}'{nearest(value, list(by_name))}")
        said = row.get("category")
        if key == "category_id" and type(said) is str and by_name.get(said, labels[place]) != labels[place]:
            entries.refuse(place, f"category_id is {shown(value)}, but category '{said:.80}' is another one", _ONE)
    return labels, labels >= 0


def _scores(entries: Entries) -> tuple[Floats, Floats, Floats]:
    """Class score, IoU score (1 where there is none) and final score [N] of every entry."""
    cls, quality, score = (entries.numbers(key, default=np.nan) for key in ("cls_score", "iou_score", "score"))
    for place in np.flatnonzero(np.isnan(score) & np.isnan(cls) & entries.sound).tolist():
        entries.refuse(place, "has neither 'score' nor 'cls_score'")
    quality = np.where(np.isnan(quality), 1.0, quality)
    cls = np.where(np.isnan(cls), score, cls)
    return cls, quality, np.where(np.isnan(score), cls * quality, score)


def _refuse_once(entries: Entries, place: int, what: str) -> None:
    """Refuses an entry for what it lacks, unless it is no object at all, which was said."""
    if entries.rows[place] or entries.sound[place]:
        entries.refuse(place, what)


def _is_numeral(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
