"""A table of boxes as SKU-110K has it, one row per object.

The columns are image_name, x1, y1, x2, y2, class, image_width, image_height: in this order without a header, in any
order under one. Boxes are corners in pixels from 0. A row whose box and class are empty stands for an image without
objects.
"""

from __future__ import annotations

import csv
import math
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np

from assignbench.config.data import DataSpec, Split
from assignbench.data.base import DetectionData, ImageRecord, PixelCache, Problem, settle, within
from assignbench.data.checks import box_problem, unsound_boxes
from assignbench.data.fields import Bools, Floats, Ints
from assignbench.data.images import Pictures, read_pixels
from assignbench.data.readers import one_pair, reads
from assignbench.errors import InputError, nearest

COLUMNS = ("image_name", "x1", "y1", "x2", "y2", "class", "image_width", "image_height")
_CORNERS = ("x1", "y1", "x2", "y2")
LARGEST = 1 << 30  # bytes of a table
MOST = 20_000_000  # rows
_NUMBER = frozenset("0123456789+-.eE ")
_DIGITS = frozenset("0123456789 ")


class _Refuse(Protocol):
    """Marks a row as unsound and says why."""

    def __call__(self, row: int, what: str, *, lost: bool = False, hint: str = "") -> None: ...


@dataclass(frozen=True)
class _Table:
    """The rows of a file by column, as texts, and the line of each."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]


@reads("csv")
def read(spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData:
    """A split of a study's CSV data: one table and its image folder. The training table sets the classes."""
    name, folder = one_pair(spec, split, root)
    table = _read_table(within(root, name, f"data.{split}"))
    problems: list[Problem] = []
    training = table if split == "train" else _read_table(within(root, one_pair(spec, "train", root)[0], "data.train"))
    classes = spec.classes or _classes(training)
    images, paths, files = _images(table, root, folder, classes, problems, given=bool(spec.classes))
    settle(problems, spec.on_bad, f"data set '{spec.name}', {table.path}")
    sizes = [(i.width, i.height) for i in images]
    pixels = PixelCache(lambda i: read_pixels(paths[i], sizes[i]))
    label = Path(name).stem
    return DetectionData(spec.name, label, tuple(classes), images, pixels, problems, (table.path,), tuple(files))


def classes_in(path: Path) -> list[str]:
    """The class names of a table, in order of the alphabet. Raises InputError for what is no such table."""
    return _classes(_read_table(path))


def _classes(table: _Table) -> list[str]:
    return sorted({k for c in table.columns["class"] if (k := c.strip()).isprintable() and k})


def _read_table(path: Path) -> _Table:
    """Raises InputError for a file that is not there, is no such table or is too large."""
    if not path.is_file():
        raise InputError(f"no annotation file {path}")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: has more than {LARGEST} bytes; split it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(path, file)
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not UTF-8 ({problem.reason}); save the table as UTF-8") from None


def _parse(path: Path, file: TextIO) -> _Table:
    reader = csv.reader(file, strict=True)
    order: list[int] | None = None
    values: list[list[str]] = [[] for _ in COLUMNS]
    lines: list[int] = []
    try:
        end = 0
        for row in reader:
            line, end = end + 1, reader.line_num
            if not row:
                continue
            if order is None:
                order = _order(path, row)
                if order is not None:
                    continue
                order = list(range(len(COLUMNS)))
            if len(row) != len(COLUMNS):
                raise InputError(
                    f"{path}: line {line} has {len(row)} fields, expected {len(COLUMNS)}: {', '.join(COLUMNS)}"
                )
            if len(lines) >= MOST:
                raise InputError(f"{path}: has more than {MOST} rows; split it")
            for column, place in zip(values, order, strict=True):
                column.append(row[place])
            lines.append(line)
    except csv.Error as problem:
        raise InputError(f"{path}: line {reader.line_num}: not CSV ({problem})") from None
    if not lines:
        raise InputError(f"{path}: has no row; expected {', '.join(COLUMNS)}")
    return _Table(path, dict(zip(COLUMNS, values, strict=True)), lines)


def _order(path: Path, row: Sequence[str]) -> list[int] | None:
    """Where each column stands if the row is a header, None if it is an object."""
    names = [field.strip() for field in row]
    if not set(names) & set(COLUMNS):
        return None
    for name in names:
        if name not in COLUMNS:
            raise InputError(f"{path}: line 1: unknown column {name!r:.60}{nearest(name, list(COLUMNS))}")
    for name in COLUMNS:
        if names.count(name) != 1:
            raise InputError(f"{path}: line 1: column '{name}' stands there {names.count(name)} times, expected once")
    return [names.index(name) for name in COLUMNS]


def _images(
    table: _Table, root: Path, folder: str, classes: Sequence[str], problems: list[Problem], *, given: bool
) -> tuple[list[ImageRecord], list[Path], list[Path]]:
    """The usable images, their files, and the files of all images that the table names."""
    columns, index = table.columns, {c: i for i, c in enumerate(classes)}
    labels = np.asarray([index.get(c.strip(), -1) for c in columns["class"]], np.int64)
    sound = np.ones(len(table.lines), np.bool_)
    empty = _empty_rows(columns)

    def refuse(row: int, what: str, *, lost: bool = False, hint: str = "") -> None:
        sound[row] = False
        problems.append(Problem(table.path.name, what, f"line {table.lines[row]}", image_lost=lost, hint=hint))

    sizes = np.stack([_whole(columns[c], c, refuse) for c in ("image_width", "image_height")], axis=1)
    boxes = np.stack([_numbers(columns[c], c, empty, refuse) for c in _CORNERS], axis=1)
    _check_classes(columns["class"], (labels < 0) & ~empty, classes, refuse, given=given)
    bad = sound & ~empty & unsound_boxes(boxes, sizes[:, 0], sizes[:, 1])
    for row in np.flatnonzero(bad).tolist():
        x1, y1, x2, y2 = boxes[row].tolist()
        refuse(row, str(box_problem((x1, y1, x2, y2), int(sizes[row, 0]), int(sizes[row, 1]))))
    # "./a.png" is a.png
    path_of = {
        name: posixpath.normpath(name) if name.strip() else name for name in dict.fromkeys(columns["image_name"])
    }
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(columns["image_name"]):
        rows_of.setdefault(path_of[name], []).append(row)
    starts = np.asarray([rows_of[path_of[name]][0] for name in columns["image_name"]])
    for row in np.flatnonzero((sizes != sizes[starts]).any(axis=1) & sizes.all(axis=1)).tolist():
        (width, height), (first_width, first_height) = sizes[row].tolist(), sizes[starts[row]].tolist()
        said = f"line {table.lines[starts[row]]} says {first_width}x{first_height}"
        refuse(row, f"says that '{columns['image_name'][row]}' is {width}x{height}, {said}")
    images: list[ImageRecord] = []
    paths: list[Path] = []
    files: list[Path] = []
    pictures = Pictures()
    for rows in rows_of.values():
        start = rows[0]
        name = columns["image_name"][start]
        if not name.strip() or not name.isprintable():
            refuse(start, f"image_name is {name!r:.60}, expected a file name", lost=True)
            continue
        path = within(root, f"{folder}/{name}", table.path.name)
        files.append(path)
        size = (int(sizes[start, 0]), int(sizes[start, 1]))
        if not all(size):  # which was said
            continue
        wrong = pictures.problem(path, size, f"{folder}/{name}", f"line {table.lines[start]}")
        if wrong:
            problems.append(wrong)
            continue
        kept = np.asarray(rows, np.int64)
        kept = kept[sound[kept] & ~empty[kept]]
        images.append(_record(len(images), name, size, boxes[kept], labels[kept], kept))
        paths.append(path)
    return images, paths, files


def _check_classes(
    kinds: Sequence[str], unknown: Bools, classes: Sequence[str], refuse: _Refuse, *, given: bool
) -> None:
    """Refuses the rows whose class is unknown; `given` says whether the classes were written by the user."""
    for row in np.flatnonzero(unknown).tolist():
        kind = kinds[row].strip()
        if not kind or not kind.isprintable():
            refuse(row, f"class is {kind!r:.60}, expected a name")
        elif given:
            refuse(row, f"unknown class '{kind}' {nearest(kind, classes).strip('; ')}")
        else:
            refuse(row, f"class '{kind}' is not in the training table", hint="see data.classes")


def _record(place: int, name: str, size: tuple[int, int], boxes: Floats, labels: Ints, rows: Ints) -> ImageRecord:
    limits = np.asarray([*size, *size], np.float64)
    array = np.clip(boxes, 0.0, limits).astype(np.float32)
    return ImageRecord(
        id=place,
        name=name,
        width=size[0],
        height=size[1],
        boxes=array,
        labels=labels,
        crowd=np.zeros(len(array), np.bool_),
        difficult=np.zeros(len(array), np.bool_),
        areas=(array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1]),
        ids=rows + 1,
    )


def _numbers(texts: Sequence[str], column: str, empty: Bools, refuse: _Refuse) -> Floats:
    """Finite numbers [N]; NaN stands in for others, and in rows without a box."""
    if set("".join(texts)) <= _NUMBER and not empty.any():
        try:
            values = np.fromiter(map(float, texts), np.float64, len(texts))
            if np.isfinite(values).all():
                return values
        except ValueError:
            pass
    found = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if empty[row]:
            continue
        value = _finite(text)
        if value is None:
            refuse(row, f"{column} is {text!r:.60}, expected a finite number")
        else:
            found[row] = value
    return found


def _finite(text: str) -> float | None:
    if not set(text) <= _NUMBER:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _whole(texts: Sequence[str], column: str, refuse: _Refuse) -> Ints:
    """Whole numbers of pixels [N]; 0 stands in for others."""
    found = np.zeros(len(texts), np.int64)
    known: dict[str, int] = {}
    for row, text in enumerate(texts):
        if text not in known:
            sound = set(text) <= _DIGITS and len(text) < 10 and text.strip().isdigit()
            known[text] = int(text) if sound else 0
        found[row] = known[text]
        if not found[row]:
            refuse(row, f"{column} is {text!r:.60}, expected a whole number of pixels", lost=True)
    return found


def _empty_rows(columns: dict[str, list[str]]) -> Bools:
    rows = zip(*(columns[c] for c in (*_CORNERS, "class")), strict=True)
    return np.asarray([not any(row) for row in rows], np.bool_)
