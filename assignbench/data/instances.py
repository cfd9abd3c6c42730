"""COCO's instances file, the one reader of it: for training with pictures, and for ground truth without them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assignbench.data.base import Problem, refusal
from assignbench.data.entry_columns import Columns, Doubt, read_columns
from assignbench.data.fields import Bools, Entries, Floats, Ints
from assignbench.data.kept import KeptInstances
from assignbench.errors import InputError
from assignbench.json_files import parse, read_bytes

LONGEST = 1_000_000  # px: no image file has a longer side
_WANTED = {
    "images": pa.schema([*((n, pa.int64()) for n in ("id", "width", "height")), ("file_name", pa.string())]),
    "annotations": pa.schema(
        [
            *((n, pa.int64()) for n in ("id", "image_id", "category_id", "iscrowd", "difficult", "ignore")),
            ("area", pa.float64()),
            ("bbox", pa.list_(pa.float64())),
        ]
    ),
}
# The entries of a list by its key; what is wrong with them goes into the list of problems.
_Lists = Callable[[str, list[Problem]], Entries | Columns]


@dataclass(frozen=True)
class Instances:
    """The sound entries of an instances file, column by column, and what is wrong with the others.

    `categories` are names by id, in rising id. `images` [N] are ids, with `names`, `widths` and `heights`. Of the
    objects [M], `owners` are places in `images` and `boxes` [M, 4] are x, y, width, height; `places` is where an object
    stands in the file. `annotated` is False where the file has no list of objects at all (COCO's image_info files).
    """

    path: Path
    categories: dict[int, str]
    images: Ints
    names: list[str]
    widths: Ints
    heights: Ints
    ids: Ints
    owners: Ints
    category_ids: Ints
    boxes: Floats
    areas: Floats
    crowd: Bools
    ignored: Bools
    places: Ints
    problems: list[Problem]
    annotated: bool = True

    def name_of(self, number: int) -> str:
        """How a message names an object."""
        return f"annotation {self.ids[number]} of image {self.images[self.owners[number]]}"


def read_instances(path: Path, *, bare: bool = False, cache: Path | None = None) -> Instances:
    """The file's images, objects and categories; problems of single images and objects come with them.

    A `bare` file may lack the list of objects. What a large file holds is kept in the folder `cache`. Raises InputError
    for a file that is not there or no such file, and, with all its problems, for one whose categories or image ids
    cannot be told apart.
    """
    store = KeptInstances(cache, path)
    known = store.read(Instances)
    if known is not None and (bare or known.annotated):
        return known
    raw = read_bytes(path, what="annotation file")
    try:
        content, lists = read_columns(path, raw, _WANTED)
        found = _instances(path, _checked(path, content, bare=bare), lambda key, problems: lists[key])
    except (Doubt, InputError):
        content = _checked(path, parse(path, raw), bare=bare)
        found = _instances(path, content, lambda key, problems: _entries(path, content, key, problems))
    store.write(found)
    return found


def _entries(path: Path, content: dict[str, Any], key: str, problems: list[Problem]) -> Entries:
    return Entries(path.name, key, content[key], problems, lost=key == "images")


def _instances(path: Path, content: dict[str, Any], entries_of: _Lists) -> Instances:
    """An instances file from the entries of its images and objects."""
    fatal: list[Problem] = []
    problems: list[Problem] = []
    categories = _categories(path, content, fatal)
    images = entries_of("images", problems)
    ids = images.integers("id")
    names = images.texts("file_name")
    widths, heights = (images.integers(side, least=1, most=LONGEST) for side in ("width", "height"))
    before = len(problems)
    images.unique("id", ids.tolist())
    fatal += problems[before:]
    images.unique("file_name", [posixpath.normpath(n) for n in names])  # "./a.png" is a.png
    kept = np.flatnonzero(images.sound)
    annotated = "annotations" in content
    objects = entries_of("annotations", problems) if annotated else Entries(path.name, "annotations", [], problems)
    found = _objects(objects, ids, np.asarray(list(categories), np.int64))
    if fatal:
        others = [p for p in problems if p not in fatal]
        raise refusal([*fatal, *others], str(path), "Mend the file: without these its entries cannot be told apart.")
    place_of = np.full(len(ids), -1)
    place_of[kept] = np.arange(len(kept))
    order = np.argsort(ids, kind="stable")
    owners = np.full(len(objects), -1)
    if len(ids):
        owners = place_of[order[np.searchsorted(ids[order], found.image_ids).clip(0, len(ids) - 1)]]
    rows = np.flatnonzero(objects.sound & (owners >= 0))
    return Instances(
        path=path,
        categories=categories,
        images=ids[kept],
        names=[names[i] for i in kept.tolist()],
        widths=widths[kept],
        heights=heights[kept],
        ids=found.ids[rows],
        owners=owners[rows],
        category_ids=found.category_ids[rows],
        boxes=found.boxes[rows],
        areas=found.areas[rows],
        crowd=found.crowd[rows],
        ignored=found.ignored[rows],
        places=rows,
        problems=problems,
        annotated=annotated,
    )


@dataclass(frozen=True)
class _Columns:
    ids: Ints
    image_ids: Ints
    category_ids: Ints
    boxes: Floats
    areas: Floats
    crowd: Bools
    ignored: Bools


def _checked(path: Path, content: Any, *, bare: bool) -> dict[str, Any]:
    """The content of an instances file. Raises InputError for what is none."""
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        raise InputError(f"{path}: expected an object with images, annotations and categories, found {kind}")
    for key in ("images", "annotations", "categories"):
        if bare and key == "annotations" and key not in content:
            continue
        if not isinstance(content.get(key), list):
            raise InputError(
                f"{path}: has no list '{key}'; COCO's instances files hold images, annotations, categories"
            )
    return content


def _categories(path: Path, content: dict[str, Any], fatal: list[Problem]) -> dict[int, str]:
    entries = Entries(path.name, "categories", content["categories"], fatal)
    ids, names = entries.integers("id"), entries.texts("name")
    entries.unique("id", ids.tolist())
    entries.unique("name", [n.strip() for n in names])
    return dict(sorted(zip(ids.tolist(), names, strict=True)))


def _objects(entries: Entries | Columns, images: Ints, categories: Ints) -> _Columns:
    ids = entries.integers("id")
    image_ids, category_ids = entries.integers("image_id"), entries.integers("category_id")
    boxes = entries.boxes("bbox")
    areas = entries.numbers("area", least=0.0, default=np.nan)
    crowd = entries.flags("iscrowd")
    ignored = entries.flags("difficult") | entries.flags("ignore")
    entries.unique("id", ids.tolist())
    entries.known("image_id", image_ids, images, "images")
    entries.known("category_id", category_ids, categories, "categories")
    areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas)
    return _Columns(ids, image_ids, category_ids, boxes, areas, crowd, ignored)
