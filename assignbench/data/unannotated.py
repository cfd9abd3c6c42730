"""A split without annotations, such as COCO's test-dev: the images that its file lists, and its categories."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assignbench.data.base import DetectionData, ImageRecord, PixelCache, Problem, refusal, within
from assignbench.data.fields import Entries
from assignbench.data.images import Pictures, read_pixels
from assignbench.data.instances import LONGEST
from assignbench.errors import InputError
from assignbench.json_files import load


def read_unannotated(path: Path, folder: Path, classes: tuple[str, ...]) -> tuple[DetectionData, dict[str, int]]:
    """The images of an image_info file, whose pictures lie in `folder`, and the ids of its categories by name.

    Objects that the file may name are not looked at. Raises InputError naming file, entry, value and remedy for what
    cannot be read, and for a file or a folder that is not there.
    """
    content = load(path, what="image list")
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise InputError(f"{path}: has no list 'images'; name a file such as COCO's image_info_test-dev2017.json")
    if not folder.is_dir():
        raise InputError(f"--root {folder}: no such folder; name the one that holds the pictures of {path.name}")
    problems: list[Problem] = []
    entries = Entries(path.name, "images", content["images"], problems, lost=True)
    ids, names = entries.integers("id"), entries.texts("file_name")
    widths, heights = (entries.integers(side, least=1, most=LONGEST) for side in ("width", "height"))
    entries.unique("id", ids.tolist())
    listed = content.get("categories", [])
    groups = Entries(path.name, "categories", listed if isinstance(listed, list) else [], problems)
    titles, numbers = groups.texts("name"), groups.integers("id").tolist()
    groups.unique("id", numbers)  # two classes of one id would be one class to who reads the results
    groups.unique("name", [name.strip() for name in titles])
    categories = dict(zip(titles, numbers, strict=True))
    sizes = list(zip(widths.tolist(), heights.tolist(), strict=True))
    pictures, paths = Pictures(), list[Path]()
    for place in np.flatnonzero(entries.sound).tolist():
        file = within(folder, names[place], path.name)
        paths.append(file)
        wrong = pictures.problem(file, sizes[place], names[place], f"image {ids[place]} of {path.name}")
        problems += [] if wrong is None else [wrong]
    if problems:
        raise refusal(problems, str(path), "Mend the file or the pictures: every image of a split gets its detections.")
    if not paths:
        raise InputError(f"{path}: lists no image; name the file of the split")
    images = [_without_objects(*about) for about in zip(ids.tolist(), names, sizes, strict=True)]
    pixels = PixelCache(lambda i: read_pixels(paths[i], sizes[i]))
    return DetectionData(path.stem, folder.name, classes, images, pixels, [], (path,), tuple(paths)), categories


def _without_objects(number: int, name: str, size: tuple[int, int]) -> ImageRecord:
    none = np.zeros(0, np.bool_)
    return ImageRecord(
        id=number,
        name=name,
        width=size[0],
        height=size[1],
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        crowd=none,
        difficult=none,
        areas=np.zeros(0, np.float32),
        ids=np.zeros(0, np.int64),
    )
