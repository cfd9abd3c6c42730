"""COCO instances JSON: sparse category ids, crowd regions, images without objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from assignbench.config.data import DataSpec
from assignbench.data.base import DetectionData, ImageRecord, PixelCache, Problem, settle, within
from assignbench.data.checks import box_problem, image_problem, missing_root, read_pixels
from assignbench.data.readers import Split, listed, reads
from assignbench.errors import InputError


@reads("coco")
def read(spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData:
    """A split of a study's COCO data: one annotation file and its image folder."""
    pairs = listed(spec, split, root)
    if len(pairs) != 1:
        raise InputError(
            f"data set '{spec.name}': coco needs one (annotations, folder) pair for {split}, got {len(pairs)}; "
            f"give data.{split} one pair"
        )
    annotations, folder = pairs[0]
    return read_coco(root, annotations, folder, name=spec.name, classes=spec.classes or None, on_bad=spec.on_bad)


def read_coco(
    root: Path, annotations: str, folder: str, *, name: str, classes: list[str] | None = None, on_bad: str = "error"
) -> DetectionData:
    """The images of an instances file under `root`, with pictures in `folder`; labels follow rising category id.

    Raises InputError for missing files and malformed JSON, and for annotation problems if `on_bad` is "error".
    """
    if not root.is_dir():
        raise missing_root(root, f"data set '{name}'")
    source = within(root, annotations, "data.annotations")
    content = load_instances(source)
    categories = sorted(content["categories"], key=lambda c: int(c["id"]))
    if classes:
        categories = [c for c in categories if c["name"] in classes]
    label_of = {int(c["id"]): i for i, c in enumerate(categories)}
    known = {int(c["id"]) for c in content["categories"]}
    of_image: dict[int, list[dict[str, Any]]] = {int(i["id"]): [] for i in content["images"]}
    problems: list[Problem] = []
    for item in content["annotations"]:
        where = f"annotation {item.get('id')}"
        if int(item["image_id"]) not in of_image:
            problems.append(Problem(source.name, f"names image {item['image_id']}, which is not in the file", where))
        elif int(item["category_id"]) not in known:
            problems.append(Problem(source.name, f"unknown category id {item['category_id']}", where))
        elif int(item["category_id"]) in label_of:
            of_image[int(item["image_id"])].append(item)
    images: list[ImageRecord] = []
    paths: list[Path] = []
    files: list[Path] = []
    for entry in content["images"]:
        path = within(root, f"{folder}/{entry['file_name']}", source.name)
        files.append(path)
        wrong = image_problem(path, (int(entry["width"]), int(entry["height"])))
        if wrong:
            problems.append(Problem(f"{folder}/{entry['file_name']}", wrong, f"image {entry['id']}", image_lost=True))
            continue
        images.append(_record(entry, of_image[int(entry["id"])], label_of, source.name, problems))
        paths.append(path)
    settle(problems, on_bad, f"data set '{name}', {source}")
    names = tuple(str(c["name"]) for c in categories)
    pixels = PixelCache(lambda i: read_pixels(paths[i]))
    return DetectionData(name, Path(folder).name, names, images, pixels, problems, (source,), tuple(files))


def load_instances(path: Path) -> dict[str, Any]:
    """The parsed instances file with its three lists. Raises InputError for what is missing or malformed."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"no annotation file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: not JSON ({problem})") from problem
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object with images, annotations and categories, found a list")
    for key, fields in (("images", ("id", "file_name", "width", "height")), ("categories", ("id", "name"))):
        _check_rows(path, content, key, fields)
    _check_rows(path, content, "annotations", ("id", "image_id", "category_id", "bbox"))
    return content


def _check_rows(path: Path, content: dict[str, Any], key: str, fields: tuple[str, ...]) -> None:
    rows = content.get(key)
    if not isinstance(rows, list):
        raise InputError(f"{path}: has no list '{key}'")
    for number, row in enumerate(rows):
        missing = [f for f in fields if not isinstance(row, dict) or f not in row]
        if missing:
            raise InputError(f"{path}: {key}[{number}] has no '{missing[0]}'")


def _record(
    entry: dict[str, Any], items: list[dict[str, Any]], label_of: dict[int, int], source: str, problems: list[Problem]
) -> ImageRecord:
    width, height = int(entry["width"]), int(entry["height"])
    kept, boxes = [], []
    for item in items:
        x, y, w, h = (float(v) for v in item["bbox"])
        wrong = box_problem((x, y, x + w, y + h), width, height)
        if wrong and not item.get("iscrowd"):
            problems.append(Problem(source, wrong, f"annotation {item['id']} of image {entry['id']}"))
            continue
        kept.append(item)
        boxes.append((max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)))
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    return ImageRecord(
        id=int(entry["id"]),
        name=str(entry["file_name"]),
        width=width,
        height=height,
        boxes=array,
        labels=np.asarray([label_of[int(i["category_id"])] for i in kept], np.int64),
        crowd=np.asarray([bool(i.get("iscrowd", 0)) for i in kept], np.bool_),
        difficult=np.zeros(len(kept), np.bool_),
        areas=np.asarray([float(i.get("area", i["bbox"][2] * i["bbox"][3])) for i in kept], np.float32),
        ids=np.asarray([int(i["id"]) for i in kept], np.int64),
    )
