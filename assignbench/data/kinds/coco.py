"""COCO instances JSON: sparse category ids, crowd regions, images without objects; categories are matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from assignbench.config.data import DataSpec, Split
from assignbench.data.base import DetectionData, Files, ImageRecord, PixelCache, Problem, settle, within
from assignbench.data.checks import box_problem, missing_root, unsound_boxes
from assignbench.data.fields import Bools, Floats, Ints
from assignbench.data.images import Pictures, read_pixels, surely_sound
from assignbench.data.instances import Instances, read_instances
from assignbench.data.kept import SeenPictures
from assignbench.data.readers import one_pair, reads
from assignbench.data.suspicion import suspicious_boxes
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
        reference = (training, _categories_of(training, cache))
    return read_coco(
        root,
        annotations,
        folder,
        name=spec.name,
        classes=spec.classes or None,
        on_bad=spec.on_bad,
        reference=reference,
        bare=split == "test",
        cache=cache,
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
    cache: Path | None = None,
) -> DetectionData:
    """The images of an instances file under `root`, with pictures in `folder`.

    Labels follow rising category id of this file, or the order of `reference`, the training file and its category
    names; other objects than those of `classes` are left out if it is given. A `bare` file may have no annotations.
    What is read of a large file, and looked at of many pictures, is kept in the folder `cache`.
    Raises InputError for missing files and malformed JSON, for categories that are not those of the reference, and for
    annotation problems if `on_bad` is "error".
    """
    if not root.is_dir():
        raise missing_root(root, f"data set '{name}'")
    source = within(root, annotations, "data.annotations")
    found = read_instances(source, bare=bare, cache=cache)
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
    files = _paths(root, folder, found, source)
    places = _with_pictures(found, files, folder, problems, cache)
    settle(problems, on_bad, f"data set '{name}', {source}")
    images = CocoImages(
        found=found,
        places=places,
        bounds=bounds,
        boxes=corners[order].astype(np.float32),
        labels=of_object[order],
        crowd=found.crowd[order],
        difficult=np.zeros(len(order), np.bool_),
        areas=found.areas[order].astype(np.float32),
        ids=found.ids[order],
    )
    pixels = PixelCache(lambda i: read_pixels(files[places[i]], images.size(i)))
    told = suspicious_boxes(found.boxes, found.widths[found.owners], found.heights[found.owners])
    notes = (*(f"{source.name}: {one}" for one in told), *_area_notes(found, kept))
    split = Path(folder).name
    return DetectionData(name, split, names, images, pixels, problems, (source,), files, found.annotated, notes)


@dataclass(frozen=True)
class CocoImages(Sequence[ImageRecord]):
    """The images of an instances file, each made when it is asked for: 100,000 records take a second and 200 MB.

    `places` [N] are those in the file. The columns of objects [M] are sorted by image, and `bounds` is where those of
    each image of the file begin: a record shows parts of them.
    """

    found: Instances
    places: Ints
    bounds: Ints
    boxes: npt.NDArray[np.float32]
    labels: Ints
    crowd: Bools
    difficult: Bools
    areas: npt.NDArray[np.float32]
    ids: Ints

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> ImageRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageRecord]: ...
    def __getitem__(self, index: int | slice) -> ImageRecord | list[ImageRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place, found = int(self.places[index]), self.found
        rows = slice(int(self.bounds[place]), int(self.bounds[place + 1]))
        return ImageRecord(
            id=int(found.images[place]),
            name=found.names[place],
            width=int(found.widths[place]),
            height=int(found.heights[place]),
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            crowd=self.crowd[rows],
            difficult=self.difficult[rows],
            areas=self.areas[rows],
            ids=self.ids[rows],
        )

    def counts(self) -> Ints:
        """How many objects each image has [N]."""
        return np.asarray(np.diff(self.bounds)[self.places])

    def size(self, index: int) -> tuple[int, int]:
        """Width and height of an image."""
        place = self.places[index]
        return int(self.found.widths[place]), int(self.found.heights[place])


def _paths(root: Path, folder: str, found: Instances, source: Path) -> Files:
    """The files of all images. Raises InputError for a name that leads out of the root."""
    names = f"/{folder}/" + "\n/".join(found.names)
    if ".." in names or not folder.isprintable():
        return Files([str(within(root, f"{folder}/{name}", source.name)) for name in found.names])
    for name in found.names[:1]:
        within(root, f"{folder}/{name}", source.name)
    below = f"{root / folder}/"
    if "//" in names or "/." in names or names.endswith("/") or "/\n" in names:  # pathlib leaves some of these out
        return Files([str(Path(below + name)) for name in found.names])
    return Files([below + name for name in found.names])


def _with_pictures(found: Instances, files: Files, folder: str, problems: list[Problem], cache: Path | None) -> Ints:
    """The places [N] of the images whose pictures are sound; what is wrong with the others goes into the problems."""
    widths, heights = found.widths.tolist(), found.heights.tolist()
    seen = SeenPictures(cache, files.texts, lambda: [*files.texts, *map(str, widths), *map(str, heights)])
    sound = seen.unchanged(len(files))
    pictures = Pictures()
    for place in np.flatnonzero(~sound).tolist():
        size = (widths[place], heights[place])
        if surely_sound(files.texts[place], size):
            sound[place] = True
            continue
        about = f"image {found.images[place]} of {found.path.name}"
        wrong = pictures.problem(files[place], size, f"{folder}/{found.names[place]}", about)
        if wrong:
            problems.append(wrong)
        sound[place] = wrong is None
    seen.keep(sound)
    return np.flatnonzero(sound)


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


def _categories_of(path: Path, cache: Path | None) -> tuple[str, ...]:
    try:
        stat = path.stat()
        names = _seen.get((path, stat.st_size, stat.st_mtime_ns))
    except OSError:
        names = None
    return tuple(read_instances(path, cache=cache).categories.values()) if names is None else names


def _remember(path: Path, names: tuple[str, ...]) -> None:
    stat = path.stat()
    _seen[path, stat.st_size, stat.st_mtime_ns] = names
