"""COCO instances JSON: sparse category ids, crowd regions, images without objects; categories are matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assignbench.config.data import DataSpec, Split
from assignbench.data.base import DetectionData, ImageRecord, PixelCache, Problem, settle, within
from assignbench.data.checks import box_problem, missing_root, unsound_boxes
from assignbench.data.fields import Bools, Floats, Ints
from assignbench.data.images import Pictures, read_pixels
from assignbench.data.instances import Instances, read_instances
from assignbench.data.readers import one_pair, reads
from assignbench.errors import InputError, nearest

# Category names of training files that were read, by path, size and time of change: reading a test split asks for
# them again, and a file of half a gigabyte is not parsed twice for eighty names.
_seen: dict[tuple[Path, int, int], tuple[str, ...]] = {}


@reads("coco")
def read(spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData:
    """A split of a study's COCO data: one annotation file and its image folder. The training file sets the labels.

    The file of a test split may lack annotations, as COCO's image_info_test-dev2017.json does.
    """
    annotations, folder = one_pair(spec, split, root)
    reference = None
    if split != "train":
        training = within(root, one_pair(spec, "train", root)[0], "data.train")
        reference = (training, _categories_of(training))
    return read_coco(
        root,
        annotations,
        folder,
        name=spec.name,
        classes=spec.classes or None,
        on_bad=spec.on_bad,
        reference=reference,
        bare=split == "test",
    )


def read_coco(
    root: Path,
    annotations: str,
    folder: str,
    *,
    name: str,
    classes: Sequence[str] | None = None,
    on_bad: str = "error",
    reference: tuple[Path, tuple[str, ...]] | None = None,
    bare: bool = False,
) -> DetectionData:
    """The images of an instances file under `root`, with pictures in `folder`.

    Labels follow rising category id of this file, or the order of `reference`, the training file and its category
    names; other objects than those of `classes` are left out if it is given. A `bare` file may have no annotations.
    Raises InputError for missing files and malformed JSON, for categories that are not those of the reference, and for
    annotation problems if `on_bad` is "error".
    """
    if not root.is_dir():
        raise missing_root(root, f"data set '{name}'")
    source = within(root, annotations, "data.annotations")
    found = read_instances(source, bare=bare)
    own = tuple(found.categories.values())
    _remember(source, own)
    names = _chosen(name, source, own, reference, classes)
    problems = list(found.problems)
    label_of = {n: i for i, n in enumerate(names)}
    labels = np.asarray([label_of.get(n, -1) for n in own], np.int64)
    ids = np.asarray(list(found.categories), np.int64)
    of_object = labels[np.searchsorted(ids, found.category_ids)] if len(ids) else np.zeros(0, np.int64)
    corners, kept = _sound_boxes(found, of_object >= 0, problems)
    order = np.flatnonzero(kept)
    order = order[np.argsort(found.owners[order], kind="stable")]
    bounds = np.searchsorted(found.owners[order], np.arange(len(found.images) + 1))
    images: list[ImageRecord] = []
    paths: list[Path] = []
    files: list[Path] = []
    pictures = Pictures()
    for place, file_name in enumerate(found.names):
        path = within(root, f"{folder}/{file_name}", source.name)
        files.append(path)
        size = (int(found.widths[place]), int(found.heights[place]))
        wrong = pictures.problem(path, size, f"{folder}/{file_name}", f"image {found.images[place]} of {source.name}")
        if wrong:
            problems.append(wrong)
            continue
        rows = order[bounds[place] : bounds[place + 1]]
        images.append(_record(found, place, rows, corners, of_object))
        paths.append(path)
    settle(problems, on_bad, f"data set '{name}', {source}")
    sizes = [(i.width, i.height) for i in images]
    pixels = PixelCache(lambda i: read_pixels(paths[i], sizes[i]))
    notes = _area_notes(found, kept)
    split = Path(folder).name
    return DetectionData(name, split, names, images, pixels, problems, (source,), tuple(files), found.annotated, notes)


def _area_notes(found: Instances, kept: Bools) -> tuple[str, ...]:
    """Areas that no mask in its box can have. They are kept: AP by size alone rests on them, and they may be meant."""
    sides = found.boxes[:, 2:]
    empty = kept & (found.areas == 0)
    large = kept & (found.areas > 1.01 * (sides + 1).prod(axis=1))  # some tools count the last pixel twice
    notes = []
    for wrong, what in ((empty, "an area of 0"), (large, "an area larger than their box")):
        if wrong.any():
            first = found.name_of(int(np.flatnonzero(wrong)[0]))
            told = f"{int(wrong.sum())} of {int(kept.sum())} objects have {what}, e.g. {first} of {found.path.name}"
            notes.append(f"{told}: AP by size rests on it; without the key 'area' the box's is taken")
    return tuple(notes)


def _record(found: Instances, place: int, rows: Ints, corners: Floats, labels: Ints) -> ImageRecord:
    return ImageRecord(
        id=int(found.images[place]),
        name=found.names[place],
        width=int(found.widths[place]),
        height=int(found.heights[place]),
        boxes=corners[rows].astype(np.float32),
        labels=labels[rows],
        crowd=found.crowd[rows],
        difficult=np.zeros(len(rows), np.bool_),
        areas=found.areas[rows].astype(np.float32),
        ids=found.ids[rows],
    )


def _sound_boxes(found: Instances, wanted: Bools, problems: list[Problem]) -> tuple[Floats, Bools]:
    """Corners [M, 4] within their images, and which of the wanted objects have a sound box; crowd regions may not."""
    boxes, widths, heights = found.boxes, found.widths[found.owners], found.heights[found.owners]
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    bad = wanted & ~found.crowd & unsound_boxes(corners, widths, heights)
    for number in np.flatnonzero(bad).tolist():
        x1, y1, x2, y2 = corners[number].tolist()
        what = box_problem((x1, y1, x2, y2), int(widths[number]), int(heights[number]))
        problems.append(Problem(found.path.name, str(what), found.name_of(number)))
    corners[:, :2] = np.where(corners[:, :2] < 0, 0.0, corners[:, :2])
    corners[:, 2] = np.minimum(corners[:, 2], widths)
    corners[:, 3] = np.minimum(corners[:, 3], heights)
    return corners, wanted & ~bad


def _chosen(
    name: str,
    source: Path,
    own: tuple[str, ...],
    reference: tuple[Path, tuple[str, ...]] | None,
    classes: Sequence[str] | None,
) -> tuple[str, ...]:
    """The class names in the order of their labels. Raises InputError if the files or `classes` do not agree."""
    training, names = reference or (source, own)
    if classes:
        for path, known in dict.fromkeys(((training, names), (source, own))):
            for wanted in classes:
                if wanted not in known:
                    raise InputError(
                        f"data set '{name}': data.classes names '{wanted}', which is no category of {path}"
                        f"{nearest(wanted, known)}"
                    )
        return tuple(n for n in names if n in classes)
    if set(names) != set(own):
        only, others = ([n for n in a if n not in b] for a, b in ((names, own), (own, names)))
        both = [n for n in names if n in own]
        raise InputError(
            f"data set '{name}': the categories of training and test file differ\n"
            f"  only in {training}: {', '.join(only) or 'none'}\n  only in {source}: {', '.join(others) or 'none'}\n"
            "Rename them in one of the files, or choose those to use with data.classes"
            + (f" (both files have: {', '.join(both)})" if both else " (the files share none)")
        )
    return names


def _categories_of(path: Path) -> tuple[str, ...]:
    try:
        stat = path.stat()
        names = _seen.get((path, stat.st_size, stat.st_mtime_ns))
    except OSError:
        names = None
    return tuple(read_instances(path).categories.values()) if names is None else names


def _remember(path: Path, names: tuple[str, ...]) -> None:
    stat = path.stat()
    _seen[path, stat.st_size, stat.st_mtime_ns] = names
