"""COCO's instances file, the one reader of it: for training with pictures, and for ground truth without them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assignbench.data.base import Problem, refusal
from assignbench.data.fields import Bools, Entries, Floats, Ints
from assignbench.errors import InputError
from assignbench.json_files import load

LONGEST = 1_000_000  # px: no image file has a longer side


@dataclass(frozen=True)
class Instances:
    """The sound entries of an instances file, column by column, and what is wrong with the others.

    `categories` are names by id, in rising id. `images` [N] are ids, with `names`, `widths` and `heights`. Of the
    objects [M], `owners` are places in `images` and `boxes` [M, 4] are x, y, width, height; `places` is where an object
    stands in the file.
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

    def name_of(self, number: int) -> str:
        """How a message names an object."""
        return f"annotation {self.ids[number]} of image {self.images[self.owners[number]]}"


def read_instances(path: Path) -> Instances:
    """The file's images, objects and categories; problems of single images and objects come with them.

    Raises InputError for a file that is not there or no such file, and, with all its problems, for one whose
    categories or image ids cannot be told apart.
    """
    content = _content(path)
    fatal: list[Problem] = []
    problems: list[Problem] = []
    categories = _categories(path, content, fatal)
    images = Entries(path.name, "images", content["images"], problems, lost=True)
    ids = images.integers("id")
    names = images.texts("file_name")
    widths, heights = (images.integers(side, least=1, most=LONGEST) for side in ("width", "height"))
    before = len(problems)
    images.unique("id", ids.tolist())
    fatal += problems[before:]
    images.unique("file_name", [posixpath.normpath(n) for n in names])  # "./a.png" is a.png
    kept = np.flatnonzero(images.sound)
    found = _objects(path, content, ids, np.asarray(list(categories), np.int64), problems)
    if fatal:
        others = [p for p in problems if p not in fatal]
        raise refusal([*fatal, *others], str(path), "Mend the file: without these its entries cannot be told apart.")
    place_of = np.full(len(ids), -1)
    place_of[kept] = np.arange(len(kept))
    order = np.argsort(ids, kind="stable")
    owners = np.full(len(found.rows), -1)
    if len(ids):
        owners = place_of[order[np.searchsorted(ids[order], found.image_ids).clip(0, len(ids) - 1)]]
    rows = np.flatnonzero(found.entries.sound & (owners >= 0))
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
    )


@dataclass(frozen=True)
class _Columns:
    entries: Entries
    ids: Ints
    image_ids: Ints
    category_ids: Ints
    boxes: Floats
    areas: Floats
    crowd: Bools
    ignored: Bools

    @property
    def rows(self) -> Any:
        return self.entries.rows


def _content(path: Path) -> dict[str, Any]:
    content = load(path, what="annotation file")
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        raise InputError(f"{path}: expected an object with images, annotations and categories, found {kind}")
    for key in ("images", "annotations", "categories"):
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


def _objects(path: Path, content: dict[str, Any], images: Ints, categories: Ints, problems: list[Problem]) -> _Columns:
    entries = Entries(path.name, "annotations", content["annotations"], problems)
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
    return _Columns(entries, ids, image_ids, category_ids, boxes, areas, crowd, ignored)
