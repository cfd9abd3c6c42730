"""Result files of other frameworks as COCO-like entries: mmdet, Ultralytics and Hugging Face, from files alone.

The format is found by what a file holds, or named. None of the frameworks is imported, and no pickle is ever read.

    coco         a list of entries with image_id (or file_name), category_id (or category), bbox [x, y, w, h], score
    mmdet        a folder of JSON files, one per image: {"labels": [...], "scores": [...], "bboxes": [[x1, y1, x2, y2]]}
    ultralytics  predictions.json of `val save_json=True`; a folder of label files of `predict save_txt save_conf`; a
                 folder of JSON files, one per image, of `result.to_json()`
    huggingface  {"image": [{"score", "label", "box": {"xmin", ...}}]}, or {"image": {"scores", "labels", "boxes"}}; a
                 folder of such files, one per image; a list whose entries name their image
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from assignbench.data.base import Problem, refusal
from assignbench.data.fields import shown
from assignbench.errors import InputError, nearest
from assignbench.json_files import load

LISTS = ("annotations", "predictions", "detections")
AUTO = "auto"
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin")
_SIDES = {"xmin": ("xmin", "ymin", "xmax", "ymax"), "x1": ("x1", "y1", "x2", "y2")}
_COLUMNS = 6  # of a line of a label file: class, centre, sides, confidence
_REMEDY = "Mend the file, or write it again."


@dataclass(frozen=True)
class Known:
    """What entries refer to: the images (image_id, name, width, height), category ids and names by rising id.

    `classes` names the classes in the order of the detector's own numbers; without it the order of the ids is taken.
    """

    images: pd.DataFrame
    categories: Mapping[int, str]
    classes: Sequence[str] = ()


@dataclass
class Read:
    """COCO-like entries of a file, with sentences on how it was understood."""

    format: str
    rows: list[Any]
    told: list[str] = field(default_factory=list)


def read_rows(path: Path, known: Known, asked: str = AUTO) -> Read:
    """The entries of a result file or folder, in the format that is asked for or that its content has.

    Raises InputError naming the file, and what it holds, for other content.
    """
    if path.suffix.lower() in _PICKLES:
        raise InputError(
            f"{path}: is a pickle, which can run code and is never read; write JSON, e.g. mmdet's CocoMetric with "
            "outfile_prefix, or a COCO list of entries"
        )
    wrong = [c for c in known.classes if c not in known.categories.values()]
    if wrong:
        names = list(known.categories.values())
        raise InputError(f"--classes: '{wrong[0]:.80}' is no category of the ground truth{nearest(wrong[0], names)}")
    parts = list(_folder(path)) if _is_folder(path) else [(path, load(path, what="prediction file"))]
    found = asked if asked != AUTO else _format_of(path, [content for _, content in parts], known)
    reader = _Reader(path, known)
    rows = _READERS[found](reader, parts)
    if reader.problems:
        raise refusal(reader.problems, str(path), _REMEDY)
    return Read(found, rows, reader.told)


def _is_folder(path: Path) -> bool:
    """Whether there is a folder; not so for what can be no path."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _folder(path: Path) -> Iterator[tuple[Path, Any]]:
    """The files of a folder of results, one per image, with their content: a tuple of lines, or what JSON says."""
    files = sorted(p for p in path.iterdir() if p.suffix in (".json", ".txt") and p.is_file())
    kinds = {p.suffix for p in files}
    if len(kinds) != 1:
        told = "JSON files as well as label files (.txt)" if files else "neither JSON files nor label files (.txt)"
        raise InputError(f"{path}: holds {told}; name the folder with one file per image")
    for file in files:
        if file.suffix == ".json":
            yield file, load(file, what="prediction file")
            continue
        try:
            yield file, tuple(file.read_text("utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as problem:
            raise InputError(f"{file}: cannot be read ({problem}); save it as UTF-8") from None


def _format_of(path: Path, contents: Sequence[Any], known: Known) -> str:
    """The format that content has, by its first entry. Raises InputError for a folder that has none of them."""
    content = next((c for c in contents if c), contents[0] if contents else [])
    found = _of_object(content) if isinstance(content, dict) else _of_list(content, known)
    if _is_folder(path) and found == "coco" and content:
        raise InputError(f"{path}: its files hold no results that are known; write one COCO list of entries")
    return found


def _of_object(content: Mapping[str, Any]) -> str:
    if {"labels", "scores"} <= set(content):
        return "mmdet" if "bboxes" in content else "huggingface"
    return "huggingface" if not set(LISTS) & set(content) and _by_image(content) else "coco"


def _of_list(content: Any, known: Known) -> str:
    if isinstance(content, tuple):  # the lines of a label file
        return "ultralytics"
    first = content[0] if isinstance(content, list) and content else None
    box = first.get("box") if isinstance(first, dict) else None
    if isinstance(box, dict):
        return "ultralytics" if "x1" in box else "huggingface"
    return "ultralytics" if first is not None and _of_ultralytics(content, known) else "coco"


def _by_image(content: Mapping[str, Any]) -> bool:
    """Whether an object holds results by image: lists of entries with a box, or lists of boxes, scores and labels."""
    values = list(content.values())[:20]
    entries = [v[0] for v in values if isinstance(v, list) and v]
    boxed = all(isinstance(e, dict) and "box" in e for e in entries)
    lists = [v for v in values if isinstance(v, dict) and "boxes" in v]
    return bool(entries or lists) and boxed and all(isinstance(v, list) or v in lists for v in values)


def _of_ultralytics(rows: Sequence[Any], known: Known) -> bool:
    """Whether image ids are what Ultralytics makes of file names, their stem, and are not the ground truth's own."""
    ids = dict(zip(known.images.name, known.images.image_id.tolist(), strict=True))
    stems = {Path(name).stem for name in ids}
    first = [r for r in rows[:50] if isinstance(r, dict) and "bbox" in r]
    for row in first:
        image, name = row.get("image_id"), row.get("file_name")
        if isinstance(image, str) and name is None and image in stems - set(ids) and not image.isdecimal():
            return True
        stem = Path(name).stem if isinstance(name, str) else ""
        if stem in stems and str(image) == _stem_id(stem) and image != ids.get(name):
            return True
    return False


def _stem_id(stem: str) -> str:
    return str(int(stem)) if stem.isdecimal() else stem


class _Reader:
    """Turns parts of a result into entries; what is wrong is collected, with file and entry."""

    def __init__(self, path: Path, known: Known) -> None:
        self.path, self.known = path, known
        self.problems: list[Problem] = []
        self.told: list[str] = []
        self.names = list(known.classes) or list(known.categories.values())
        self._stems: dict[str, list[str]] = {}
        for name in known.images.name:
            self._stems.setdefault(Path(name).stem, []).append(name)

    def image(self, name: str) -> dict[str, Any]:
        """How an entry names an image, of whose file it may have the stem alone; what is not known is told later."""
        there = self._stems.get(name, [])
        return {"file_name": there[0] if len(there) == 1 else name}

    def entry(
        self, where: Mapping[str, Any], what: Mapping[str, Any], box: Any, score: Any, place: str
    ) -> dict[str, Any]:
        """An entry from a box of corners; a placeholder where the box is none, which is told."""
        sound = isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box)
        if not sound:
            self.problems.append(Problem(self.path.name, f"box is {shown(box)}, expected four numbers of px", place))
            box = [0.0, 0.0, 1.0, 1.0]
        if type(score) not in (int, float):
            self.problems.append(Problem(self.path.name, f"score is {shown(score)}, expected a number", place))
        x1, y1, x2, y2 = box
        return {**where, **what, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}

    def numbered(self, label: Any, place: str) -> dict[str, Any]:
        """The class of a detector's own number, counted from 0."""
        if type(label) is int and 0 <= label < len(self.names):
            return {"category": self.names[label]}
        told = f"label is {shown(label)}, expected 0 to {len(self.names) - 1}"
        self.problems.append(Problem(self.path.name, told, place, hint="name the detector's classes with --classes"))
        return {"category": self.names[0]}

    def columns(self, content: Mapping[str, Any], keys: Sequence[str], file: Path) -> Iterator[tuple[Any, Any, Any]]:
        """Labels, scores and boxes of an image, entry by entry."""
        lists = [content.get(key) for key in keys]
        if not all(isinstance(v, list) for v in lists) or len({len(v) for v in lists if isinstance(v, list)}) != 1:
            raise InputError(f"{file}: expected lists of one length under {', '.join(keys)}; write the file again")
        yield from zip(*(v for v in lists if v is not None), strict=True)

    def say_numbers(self) -> None:
        """How numbers were understood, where nobody said it."""
        if not self.known.classes:
            self.told.append(
                f"{self.path.name}: its labels are taken as places of the categories by rising id, 0 is "
                f"'{self.names[0]}'; if the detector has another order, name it with --classes A,B,..."
            )


Parts = Sequence[tuple[Path, Any]]


def _coco(reader: _Reader, parts: Parts) -> list[Any]:
    path, content = parts[0]
    if isinstance(content, dict):
        found = [k for k in LISTS if content.get(k) is not None]
        if len(found) > 1:
            told = " and ".join(f"'{k}'" for k in found)
            raise InputError(f"{path}: holds {told}, of which one can be the detections; leave the others out")
        if not found:
            raise InputError(f"{path}: expected a list of detections, or an object with one under {', '.join(LISTS)}")
        content = content[found[0]]
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of detections, found {shown(content)}")
    return content


def _mmdet(reader: _Reader, parts: Parts) -> list[Any]:
    rows = []
    for file, content in parts:
        if not isinstance(content, dict):
            raise InputError(f"{file}: expected an object with labels, scores and bboxes, found {shown(content)}")
        where = reader.image(file.stem)
        for number, (label, score, box) in enumerate(reader.columns(content, ("labels", "scores", "bboxes"), file)):
            place = f"{file.name}, entry {number}"
            rows.append(reader.entry(where, reader.numbered(label, place), box, score, place))
    reader.say_numbers()
    return rows


def _ultralytics(reader: _Reader, parts: Parts) -> list[Any]:
    first: Any = next((content for _, content in parts if content), parts[0][1] if parts else [])
    if isinstance(first, tuple):
        return _label_files(reader, parts)
    if isinstance(first, list) and first and isinstance(first[0], dict) and "bbox" in first[0]:
        return _ultralytics_json(reader, first)
    rows = []
    for file, content in parts:
        for number, one in enumerate(_listed(content, file)):
            place, box = f"{file.name}, entry {number}", one.get("box")
            corners = [box.get(side) for side in _SIDES["x1"]] if isinstance(box, dict) else box
            what = {"category": one["name"]} if "name" in one else reader.numbered(one.get("class"), place)
            rows.append(reader.entry(reader.image(file.stem), what, corners, one.get("confidence"), place))
    return rows


def _ultralytics_json(reader: _Reader, content: Sequence[Any]) -> list[Any]:
    """predictions.json: image ids are stems of file names; categories are COCO's ids, or count from 0 or from 1."""
    by_number: dict[int, list[str]] = {}
    for name in reader.known.images.name:
        if Path(name).stem.isdecimal():
            by_number.setdefault(int(Path(name).stem), []).append(name)
    used = {r.get("category_id") for r in content if isinstance(r, dict)}
    number = _first_class(used, reader)
    rows = []
    for place, row in enumerate(content):
        if not isinstance(row, dict):
            rows.append(row)  # refused with the other entries
            continue
        image, kept = row.get("image_id"), {k: v for k, v in row.items() if k not in ("image_id", "category_id")}
        there = by_number.get(image, []) if type(image) is int else []
        if "file_name" in kept:
            pass
        elif isinstance(image, str):
            kept |= reader.image(image)
        else:
            kept |= {"file_name": there[0]} if len(there) == 1 else {"image_id": image}
        category = row.get("category_id")
        own = {"category_id": category}
        if number is not None and type(category) is int:
            own = reader.numbered(category - number, f"entry[{place}]")
        rows.append({**kept, **own})
    return rows


def _first_class(used: set[Any], reader: _Reader) -> int | None:
    """The number of the first class where numbers count classes; None where they are the ground truth's ids."""
    ids = set(reader.known.categories)
    numbers = {n for n in used if type(n) is int}
    others = bool(numbers) and not numbers <= ids and max(numbers) <= len(reader.names)
    if reader.known.classes or others or (0 in ids and 0 not in numbers):  # newer versions count from 1
        first = 0 if 0 in numbers else 1
        said = "" if reader.known.classes else ", in the order of the ground truth's ids; --classes A,B names another"
        reader.told.append(f"{reader.path.name}: its categories are taken as numbers of classes from {first} on{said}")
        return first
    return None


def _label_files(reader: _Reader, parts: Parts) -> list[Any]:
    """Label files: class, centre and sides as shares of the image, confidence."""
    sizes = {n: (w, h) for n, w, h in reader.known.images[["name", "width", "height"]].itertuples(index=False)}
    rows = []
    for file, lines in parts:
        where = reader.image(file.stem)
        width, height = sizes.get(where["file_name"], (1, 1))
        for number, line in enumerate(lines, start=1):
            words, place = line.split(), f"{file.name}, line {number}"
            values = _numbers(words)
            if len(words) == _COLUMNS - 1:
                raise InputError(f"{file}: line {number}: has no confidence; write the labels with save_conf=True")
            if values is None or len(words) != _COLUMNS:
                told = f"expected class, x, y, width, height and confidence, got '{line:.80}'"
                reader.problems.append(Problem(reader.path.name, told, place))
                continue
            label, x, y, w, h, score = values
            if not label.is_integer():  # neither are nan and inf
                reader.problems.append(Problem(reader.path.name, f"class is {words[0]:.80}, not a whole number", place))
                continue
            box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            rows.append(reader.entry(where, reader.numbered(int(label), place), box, score, place))
    reader.say_numbers()
    return rows


def _numbers(words: Sequence[str]) -> list[float] | None:
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _huggingface(reader: _Reader, parts: Parts) -> list[Any]:
    rows: list[Any] = []
    labels: set[int] = set()
    for file, content in parts:
        by_image = content if isinstance(content, dict) and "scores" not in content else {file.stem: content}
        for image, results in by_image.items():
            where = reader.image(image)
            for number, (label, score, box, own) in enumerate(_results(reader, results, file)):
                place = f"{file.name}, {image!s:.60}, entry {number}"
                if type(label) is int:
                    labels.add(label)
                what = {"category": label} if isinstance(label, str) else {"label": label}
                rows.append(reader.entry(own or where, what, box, score, place))
    as_ids = not reader.known.classes and labels <= set(reader.known.categories)
    for number, row in enumerate(rows):
        if "label" in row:
            label = row.pop("label")
            row |= {"category_id": label} if as_ids else reader.numbered(label, f"entry[{number}]")
    if labels and as_ids:
        reader.told.append(f"{reader.path.name}: its labels are taken as category ids of the ground truth")
    elif labels:
        reader.say_numbers()
    return rows


def _results(reader: _Reader, results: Any, file: Path) -> Iterator[tuple[Any, Any, Any, dict[str, Any]]]:
    """Label, score, corners and (where it says so itself) the image of every entry of an image's results."""
    if isinstance(results, dict):
        for label, score, box in reader.columns(results, ("labels", "scores", "boxes"), file):
            yield label, score, box, {}
        return
    for one in _listed(results, file):
        box = one.get("box")
        corners = [box.get(side) for side in _SIDES["xmin"]] if isinstance(box, dict) else box
        own: dict[str, Any] = {key: one[key] for key in ("image_id", "file_name") if key in one}
        if "image" in one and not own:
            own = {"file_name": one["image"]}
        yield one.get("label"), one.get("score"), corners, own


def _listed(content: Any, file: Path) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise InputError(f"{file}: expected a list of objects, found {shown(content)}; write the file again")
    return content


_READERS: dict[str, Callable[[_Reader, Parts], list[Any]]] = {
    "coco": _coco,
    "mmdet": _mmdet,
    "ultralytics": _ultralytics,
    "huggingface": _huggingface,
}
FORMATS = (AUTO, *_READERS)
