"""PASCAL VOC folders: a devkit with one folder per year, or the same layout without the devkit (BCCD)."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assignbench.config.data import DataSpec, Split
from assignbench.data.base import DetectionData, ImageRecord, PixelCache, Problem, is_file, settle, within
from assignbench.data.checks import missing_root
from assignbench.data.images import Pictures, read_pixels
from assignbench.data.readers import listed, reads
from assignbench.data.voc_xml import Annotation, class_names, read_annotation
from assignbench.errors import InputError, nearest

LARGEST_LIST = 64 << 20  # bytes of an image list
_MARKS = ("-1", "0", "1")  # the second column of VOC's lists per class


@reads("voc")
def read(spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData:
    """A split of a study's VOC data; its classes are those of the training split's files where it names none."""
    pairs = listed(spec, split, root)
    classes = spec.classes or collected(root, listed(spec, "train", root), spec.name)
    return read_voc(root, pairs, classes, name=spec.name, on_bad=spec.on_bad, given=bool(spec.classes))


@dataclass(frozen=True)
class _Entry:
    """One line of an image list: the folder that holds it, the list, and the name without extension."""

    base: Path
    listing: Path
    name: str

    @property
    def xml(self) -> Path:
        return within(self.base, f"Annotations/{self.name}.xml", str(self.listing))

    @property
    def picture(self) -> Path:
        """Where the picture is expected if nothing else is known."""
        return within(self.base, f"JPEGImages/{self.name}.jpg", str(self.listing))


def collected(root: Path, splits: Sequence[tuple[str, str]], name: str) -> list[str]:
    """The class names in the annotation files of `splits`, in order of the alphabet."""
    found: set[str] = set()
    for entry in _entries(root, splits, name, []):
        found |= class_names(entry.xml)
    return sorted(found)


def read_voc(
    root: Path,
    splits: Sequence[tuple[str, str]],
    classes: Sequence[str],
    *,
    name: str,
    on_bad: str = "error",
    given: bool = True,
) -> DetectionData:
    """The images that `splits`, pairs of (folder under root, image set), name, in that order.

    Pixels are 1-based and inclusive in the files: a box becomes (xmin - 1, ymin - 1, xmax, ymax). `given` says whether
    `classes` were written by the user or found in the training split.
    Raises InputError for a missing root or list, and for annotation problems if `on_bad` is "error".
    """
    problems: list[Problem] = []
    entries = _entries(root, splits, name, problems)
    pictures, index = Pictures(), {c: i for i, c in enumerate(classes)}
    read: list[tuple[Annotation, Path, str]] = []
    files: list[Path] = []
    taken: dict[Path, str] = {}
    for entry in entries:
        short = f"{entry.base.name}/Annotations/{entry.name}.xml"
        found = read_annotation(entry.xml, short, problems)
        if found is None:
            files.append(entry.picture)
            continue
        picture, usable = _picture(entry, found, short, pictures, problems)
        files.append(picture)
        if usable and taken.setdefault(picture, entry.name) != entry.name:
            what = f"its picture {picture.name} is that of '{taken[picture]}' too; mend <filename>"
            problems.append(Problem(short, what, image_lost=True))
        elif usable:
            _keep_known(found, index, short, problems, given=given)
            read.append((found, picture, picture.relative_to(entry.base / "JPEGImages").as_posix()))
    settle(problems, on_bad, f"data set '{name}', {root}")
    # Object ids tell the image; the step grows where an image has a thousand objects.
    most = max((n for found, _, _ in read for n in found.numbers), default=0)
    step = 1000 if most < 999 else 10 ** len(str(most + 1))
    images = [_record(place, found, file_name, index, step) for place, (found, _, file_name) in enumerate(read)]
    paths, sizes = [p for _, p, _ in read], [(i.width, i.height) for i in images]
    label = "+".join(f"{Path(f).name}/{s}" for f, s in splits)
    pixels = PixelCache(lambda i: read_pixels(paths[i], sizes[i]))
    sources = tuple(dict.fromkeys([*(e.listing for e in entries), *(e.xml for e in entries)]))
    return DetectionData(name, label, tuple(classes), images, pixels, problems, sources, tuple(files))


def _entries(root: Path, splits: Sequence[tuple[str, str]], name: str, problems: list[Problem]) -> list[_Entry]:
    """The lines of the image lists; one that stands there twice is a problem, and read once."""
    if not root.is_dir():
        raise missing_root(root, f"data set '{name}'")
    found: dict[tuple[Path, str], _Entry] = {}
    for folder, split in splits:
        base = within(root, folder, "data.splits")
        listing = within(base, f"ImageSets/Main/{split}.txt", "data.splits")
        if not listing.is_file():
            raise (
                missing_root(base, f"data set '{name}'")
                if not base.is_dir()
                else InputError(f"data set '{name}': no image list {listing}; known: {_lists(listing.parent)}")
            )
        for number, line in enumerate(_lines(listing), start=1):
            stem = _stem(line, base)
            if not stem:
                continue
            if ".." not in stem.split("/"):  # which is refused as it stands
                stem = posixpath.normpath(stem)  # "./000001" is 000001
            if (base, stem) in found:
                what = f"names '{stem}' again; keep one of the lines"
                problems.append(Problem(f"{base.name}/{listing.name}", what, f"line {number}", image_lost=True))
                continue
            found[base, stem] = _Entry(base, listing, stem)
    return list(found.values())


def _lines(listing: Path) -> list[str]:
    if listing.stat().st_size > LARGEST_LIST:
        raise InputError(f"{listing}: has more than {LARGEST_LIST} bytes; an image list holds one name per line")
    try:
        return listing.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as problem:
        raise InputError(
            f"{listing}: byte {problem.start} is not UTF-8; save the list as UTF-8, one image name per line"
        ) from None


def _stem(line: str, base: Path) -> str:
    """The name in a line; the lists of single classes mark it with -1, 0 or 1 behind it."""
    words = line.split()
    if len(words) > 1 and words[-1] in _MARKS and not is_file(base / "Annotations" / f"{line.strip()}.xml"):
        return line.strip()[: -len(words[-1])].rstrip()
    return line.strip()


def _picture(
    entry: _Entry, found: Annotation, short: str, pictures: Pictures, problems: list[Problem]
) -> tuple[Path, bool]:
    """The picture of an entry, and whether it can be used: the one that has its name or that <filename> names."""
    folder, own = entry.base / "JPEGImages", entry.picture
    candidates = pictures.named(own)
    what = ""
    if found.filename:
        # <filename> counts from the entry's own folder or from JPEGImages; many tools leave a stale one.
        named = [within(f, found.filename, short) for f in dict.fromkeys((own.parent, folder))]
        there = next((p for p in named if is_file(p)), None)
        if there is not None and candidates and there not in candidates:
            what = (
                f"<filename> names '{found.filename}' and the list entry is '{entry.name}', and there are pictures of "
                "both names; mend <filename>"
            )
        candidates = candidates if there is None else [there]
    if len(candidates) > 1:
        names = ", ".join(p.name for p in candidates)
        what = f"several pictures have its name ({names}); name the right one in <filename>"
    if what:
        problems.append(Problem(short, what, image_lost=True))
        return own, False
    picture = candidates[0] if candidates else own
    file = f"{entry.base.name}/JPEGImages/{picture.relative_to(folder).as_posix()}"
    stale = found.filename and Path(found.filename).name != picture.name
    wrong = pictures.problem(picture, found.size, file, f"whose <filename> is '{found.filename}'" if stale else "")
    if wrong:
        problems.append(wrong)
    return picture, wrong is None


def _keep_known(found: Annotation, index: dict[str, int], short: str, problems: list[Problem], *, given: bool) -> None:
    """Leaves out the objects of other classes, as problems."""
    known = [i for i, kind in enumerate(found.names) if kind in index]
    if len(known) == len(found.names):
        return
    for number, kind in zip(found.numbers, found.names, strict=True):
        if kind not in index:
            hint = nearest(kind, list(index)).strip("; ")
            what = f"unknown class '{kind}' {hint}".strip() if given else f"class '{kind}' is in no training file"
            remedy = "" if given else "rename it or list the classes in data.classes"
            problems.append(Problem(short, what, f"object {number} ('{kind}')", hint=remedy))
    found.names[:] = [found.names[i] for i in known]
    found.boxes[:] = [found.boxes[i] for i in known]
    found.difficult[:] = [found.difficult[i] for i in known]
    found.numbers[:] = [found.numbers[i] for i in known]


def _record(image_id: int, found: Annotation, file_name: str, index: dict[str, int], step: int) -> ImageRecord:
    boxes = np.asarray(found.boxes, np.float32).reshape(-1, 4)
    return ImageRecord(
        id=image_id,
        name=file_name,
        width=found.size[0],
        height=found.size[1],
        boxes=boxes,
        labels=np.asarray([index[n] for n in found.names], np.int64),
        crowd=np.zeros(len(boxes), np.bool_),
        difficult=np.asarray(found.difficult, np.bool_),
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
        ids=np.asarray(found.numbers, np.int64) + image_id * step + 1,
    )


def _lists(folder: Path) -> str:
    return ", ".join(sorted(p.stem for p in folder.glob("*.txt"))[:20]) or "none"
