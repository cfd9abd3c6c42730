"""What a stranger's annotations are, as entries of a study: where pictures lie, which part is trained and tested on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from assignbench.data.base import Problem, grouped, is_file, refusal
from assignbench.data.instances import read_instances
from assignbench.data.voc_xml import read_annotation
from assignbench.errors import InputError
from assignbench.json_files import load

PART = 5  # every fifth image is tested on where the data has no split
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG")
_TRYING = 3  # pictures that a folder has to have
# What a test file beside a training file is called, the one that is preferred first.
_TESTS = (("train", "val"), ("train", "valid"), ("train", "test"), ("Train", "Val"), ("Train", "Test"))


@dataclass(frozen=True)
class Layout:
    """Entries of a study's data: `kind`, `root`, and pairs for its splits; sentences on what was found.

    `files` are annotation files that have to be written before the data can be read, with their content.
    """

    kind: Literal["coco", "voc"]
    root: Path
    train: list[tuple[str, str]]
    test: list[tuple[str, str]]
    told: list[str] = field(default_factory=list)
    files: Mapping[Path, dict[str, Any]] = field(default_factory=dict)


def coco_layout(
    training: Path, *, testing: Path | None, pictures: Path | None, test_pictures: Path | None, beside: Path, name: str
) -> Layout:
    """The layout of an instances file, of the one to test on (found beside it if none is named) and their pictures.

    Without a file to test on, the images are parted and two files written into the folder `beside`, called after
    `name`. Raises InputError for files that are no instances files, and for pictures that are in no folder nearby.
    """
    training = absolute(training)
    folder, lacking = _pictures_of(training, read_instances(training).names, pictures, "--images")
    told = [f"pictures: {folder}{lacking}"]
    if testing is None:
        testing = _test_beside(training)
        told += [f"tested on {testing}, which lies beside it"] if testing else []
    if testing is None:
        content = load(training, what="annotation file")
        files = parted(content, beside, name, str(training))
        told.append(_parted_told(training, files))
        first, second = files
        return _coco((first, folder), (second, folder), told, files)
    testing = absolute(testing)
    if testing == training:
        raise InputError(f"--test {testing}: is the file that is trained on; name another one, or leave --test out")
    names = read_instances(testing).names
    other, lacking = _pictures_of(testing, names, test_pictures or pictures, "--test-images")
    told += [f"pictures to test on: {other}{lacking}"] if lacking else []
    return _coco((training, folder), (testing, other), told, {})


def voc_layout(folder: Path, *, beside: Path, name: str) -> Layout:
    """The layout of a VOC folder: by its lists of images where it has some, else its files as two instances files.

    Raises InputError where there are no annotation files, and for broken ones.
    """
    folder = absolute(folder)
    if not folder.is_dir():
        raise InputError(f"--voc {folder}: no such folder")
    bases = [p for p in (folder, *_below(folder, 2)) if (p / "Annotations").is_dir()]
    sets = {base: {p.stem for p in (base / "ImageSets" / "Main").glob("*.txt")} for base in bases}
    train, test = _listed(sets)
    if train and test:
        root = folder.parent if folder in sets else folder
        pairs = [[(b.relative_to(root).as_posix(), s) for b, s in part] for part in (train, test)]
        told = [f"trained on {_shown(pairs[0])}, tested on {_shown(pairs[1])}"]
        return Layout("voc", root, pairs[0], pairs[1], told)
    base = bases[0] if bases else folder
    content, pictures, lost = _instances_of(base)
    files = parted(content, beside, name, str(base))
    told = [f"{base}: has no lists of images to train and to test on, so its files became instances files of COCO"]
    told += [f"{base}: left out: {line}" for line in lost]
    told.append(_parted_told(base, files))
    if any(o["ignore"] for o in content["annotations"]):
        told.append(
            "objects that are marked as difficult count as ordinary ones; name lists of images to keep the mark"
        )
    first, second = files
    return _coco((first, pictures), (second, pictures), told, files)


def parted(content: Mapping[str, Any], beside: Path, name: str, source: str) -> dict[Path, dict[str, Any]]:
    """An instances file as two, one to train and one to test on, by the path that each gets in the folder `beside`.

    Every fifth image with objects and every fifth without is tested on, in the order of a hash of their names, so that
    neighbours are not told apart by it, and adding images moves few. Raises InputError for fewer than two images with
    objects, and for files that are there already.
    """
    owners = {_value(a, "image_id") for a in content["annotations"]} - {None}
    order = sorted(content["images"], key=lambda i: sha256(str(_value(i, "file_name")).encode()).hexdigest())
    full = [i for i in order if _value(i, "id") in owners]
    empty = [i for i in order if _value(i, "id") not in owners]
    if len(full) < 2:
        raise InputError(
            f"{source}: has {len(full)} image(s) with objects, too few to part them; name a file with --test"
        )
    kept = {_value(i, "id") for images in (full, empty) for i in images[::PART]} - {None}
    found = {}
    for part, wanted in (("train", False), ("test", True)):
        path = beside / f"{name}_{part}.json"
        if os.path.lexists(path):
            raise InputError(f"{path}: is there already, and nothing is replaced; remove it, or take another --name")
        found[path] = {
            **{k: v for k, v in content.items() if k not in ("images", "annotations")},
            "images": [i for i in content["images"] if (_value(i, "id") in kept) == wanted],
            "annotations": [a for a in content["annotations"] if (_value(a, "image_id") in kept) == wanted],
        }
    return found


def _value(entry: Any, key: str) -> int | str | None:
    """The id or name of an entry; None for one that has none, which a reader of its part tells."""
    found = entry.get(key) if isinstance(entry, dict) else None
    return found if isinstance(found, int | str) else None


def _parted_told(source: Path, files: Mapping[Path, dict[str, Any]]) -> str:
    first, second = (len(content["images"]) for content in files.values())
    return (
        f"{source}: parted at random, {first} images to train and {second} to test on; where images belong together "
        "(frames of a video, patients), part them yourself and name the other file with --test"
    )


def _coco(
    train: tuple[Path, Path], test: tuple[Path, Path], told: list[str], files: Mapping[Path, dict[str, Any]]
) -> Layout:
    """The layout of two pairs of annotation file and folder of pictures, under the folder that holds all of them."""
    folders = [train[0].parent, train[1], test[0].parent, test[1]]
    root = Path(os.path.commonpath(folders))
    if root in (train[1], test[1]) and root != root.parent:
        root = root.parent  # so that the folder of the pictures has a name, which reports show
    pairs = [(a.relative_to(root).as_posix(), b.relative_to(root).as_posix()) for a, b in (train, test)]
    return Layout("coco", root, [pairs[0]], [pairs[1]], told, files)


def _pictures_of(annotations: Path, names: Sequence[str], given: Path | None, option: str) -> tuple[Path, str]:
    """The folder below which the pictures of an annotation file lie, and how many of them are not there, in words.

    Raises InputError where most of them are nowhere, and naming the folders of which nobody knows whose they are.
    """
    wanted = list(dict.fromkeys((*names[:_TRYING], *names[-1:])))
    if not wanted:
        raise InputError(f"{annotations}: holds no image; name the file of the annotations")

    def fits(place: Path) -> bool:
        return all(is_file(place / name) for name in wanted)

    def holds_most(place: Path) -> bool:  # for lack of one that has those that are tried
        return 2 * _absent(place, names)[0] < len(names)

    places = [absolute(given)] if given is not None else list(_nearby(annotations))
    others = [] if given is not None else _around(annotations)
    for right in (fits, holds_most):
        first = next(filter(right, places), None)
        fitting = [first] if first is not None else list(filter(right, others))
        if len(fitting) > 1:
            told = f"{annotations}: {fitting[0]} and {fitting[1]} both have pictures of these names"
            raise InputError(f"{told}; name the folder with {option} DIR")
        if fitting:
            break
    where = f"{option} {given}" if given is not None else f"{annotations}"
    remedy = "name the folder of the pictures" if given is not None else f"name their folder with {option} DIR"
    if not fitting:
        missing = next((n for n in wanted if not any(is_file(p / n) for p in (*places, *others))), wanted[0])
        raise InputError(f"{where}: picture '{missing:.200}' is not there; {remedy}")
    lost, missing = _absent(fitting[0], names)
    told = f"{lost} of {len(names)} pictures {'is' if lost == 1 else 'are'} not in {fitting[0]}, e.g. '{missing:.200}'"
    if 2 * lost >= len(names):
        raise InputError(f"{where}: {told}; {remedy}")
    return fitting[0], f"; {told}: left out" if lost else ""


def _absent(folder: Path, names: Sequence[str]) -> tuple[int, str]:
    """How many of the pictures a folder lacks, and the first of them."""
    lost = [name for name in names if not is_file(folder / name)]
    return len(lost), lost[0] if lost else ""


def _nearby(annotations: Path) -> Iterator[Path]:
    """Where the pictures of an annotation file lie by custom: beside it, in "images" or its own name, or above."""
    own, above = annotations.parent, annotations.parent.parent
    yield own
    split = annotations.stem.removeprefix("instances_")
    for base in (own, above):
        yield from (base / split, base / "images" / split, base / "images")
    yield above


def _around(annotations: Path) -> list[Path]:
    """All other folders beside an annotation file and its folder, but for those of other data sets: pictures of all
    data sets are called 000001.jpg.
    """
    own, above = annotations.parent, annotations.parent.parent
    found = [path for base in (own, above) for path in _below(base, 1) if path != own]
    return [path for path in found if not any(path.glob("*.json"))]


def _test_beside(training: Path) -> Path | None:
    """The file to test on that lies beside a training file, by its name or that of its folder."""
    for ours, theirs in _TESTS:
        for path in (
            training.with_name(training.name.replace(ours, theirs)),
            training.parent.with_name(training.parent.name.replace(ours, theirs)) / training.name,
        ):
            if path != training and is_file(path):
                return path
    return None


def _listed(sets: Mapping[Path, set[str]]) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    """Folders with the lists to train and to test on: trainval and test if there is a test list, else train and val."""
    test = [(base, "test") for base, there in sets.items() if "test" in there]
    order = ("trainval", "train") if test else ("train",)
    train = [(base, next(s for s in order if s in there)) for base, there in sets.items() if set(order) & there]
    return train, test or [(base, "val") for base, there in sets.items() if "val" in there]


def _instances_of(base: Path) -> tuple[dict[str, Any], Path, list[str]]:
    """The annotation files of a folder as the content of an instances file, the folder of their pictures, and what is
    left out, in lines. Raises InputError where that is more than what is kept.
    """
    annotations = base / "Annotations" if (base / "Annotations").is_dir() else base
    paths = sorted(annotations.rglob("*.xml"))
    if not paths:
        raise InputError(f"--voc {base}: holds no annotation files (*.xml), nor a folder Annotations with some")
    problems: list[Problem] = []
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    classes: dict[str, int] = {}
    read = [(path, read_annotation(path, path.relative_to(base).as_posix(), problems)) for path in paths]
    for name in sorted({n for _, one in read if one is not None for n in one.names}):
        classes[name] = len(classes) + 1
    folder = _voc_pictures(base, [path.relative_to(annotations) for path in paths])
    for path, one in read:
        if one is None:
            continue
        image, (width, height) = len(images) + 1, one.size
        stem = path.relative_to(annotations).with_suffix("")
        picture = _picture(folder, stem)
        if picture is None:
            short = path.relative_to(base).as_posix()
            problems.append(
                Problem(short, f"its picture is missing ({folder.name}/{stem}.jpg or .png)", image_lost=True)
            )
            continue
        images.append({"id": image, "file_name": picture.as_posix(), "width": width, "height": height})
        for label, (x1, y1, x2, y2), difficult in zip(one.names, one.boxes, one.difficult, strict=True):
            objects.append({
                "id": len(objects) + 1, "image_id": image, "category_id": classes[label], "iscrowd": 0,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "ignore": int(difficult),
            })  # fmt: skip
    lost = sum(p.image_lost for p in problems)
    if lost > len(images) or len(problems) - lost > len(objects):
        raise refusal(problems, str(base), "Mend the files: more of them would be left out than kept.")
    categories = [{"id": number, "name": label} for label, number in classes.items()]
    return {"images": images, "annotations": objects, "categories": categories}, folder, grouped(problems)


def _voc_pictures(base: Path, files: Sequence[Path]) -> Path:
    """The folder that has most pictures of the annotation files' names. Raises InputError where none has any."""
    stems = [file.with_suffix("") for file in files]
    folders = (base / "JPEGImages", base / "images", base, base.parent / "images")
    counts = [sum(_picture(folder, stem) is not None for stem in stems) for folder in folders]
    if not max(counts):
        raise InputError(f"--voc {base}: no picture {stems[0]} in JPEGImages, in images or beside its annotation file")
    return folders[counts.index(max(counts))]


def _picture(folder: Path, stem: Path) -> Path | None:
    """The picture of an annotation file's name below a folder, by its name there."""
    return next((stem.with_name(stem.name + s) for s in SUFFIXES if is_file(folder / f"{stem}{s}")), None)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The folders in a folder, down to a depth, in the order of their names."""
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        yield path
        if depth > 1:
            yield from _below(path, depth - 1)


def absolute(path: Path) -> Path:
    """The whole path without `..`; links stay as they are, so that a linked folder keeps its place."""
    return Path(os.path.normpath(path.expanduser().absolute()))


def _shown(pairs: Sequence[tuple[str, str]]) -> str:
    return " and ".join(f"{folder}/{name}" for folder, name in pairs)
