"""PASCAL VOC folders: a devkit with one folder per year, or the same layout without the devkit (BCCD)."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml import DefusedXmlException, ElementTree

from assignbench.config.data import DataSpec
from assignbench.data.base import DetectionData, ImageRecord, PixelCache, Problem, settle, within
from assignbench.data.checks import box_problem, image_problem, missing_root, read_pixels
from assignbench.data.readers import Split, listed, reads
from assignbench.errors import InputError

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


@reads("voc")
def read(spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData:
    """A split of a study's VOC data; the twenty classes of VOC where it names none."""
    pairs = listed(spec, split, root)
    return read_voc(root, pairs, spec.classes or list(VOC_CLASSES), name=spec.name, on_bad=spec.on_bad)


def read_voc(
    root: Path, splits: list[tuple[str, str]], classes: list[str], *, name: str, on_bad: str = "error"
) -> DetectionData:
    """The images that `splits`, pairs of (folder under root, image set), name, in that order.

    Pixels are 1-based and inclusive in the files: a box becomes (xmin - 1, ymin - 1, xmax, ymax).
    Raises InputError for a missing root or list, and for annotation problems if `on_bad` is "error".
    """
    images: list[ImageRecord] = []
    paths: list[Path] = []
    sources: list[Path] = []
    files: list[Path] = []
    problems: list[Problem] = []
    index = {c: i for i, c in enumerate(classes)}
    if not root.is_dir():
        raise missing_root(root, f"data set '{name}'")
    for folder, split in splits:
        base = within(root, folder, "data.splits")
        listing = base / "ImageSets" / "Main" / f"{split}.txt"
        if not listing.is_file():
            raise (
                missing_root(base, f"data set '{name}'")
                if not base.is_dir()
                else InputError(f"data set '{name}': no image list {listing}; known: {_lists(listing.parent)}")
            )
        sources.append(listing)
        for line in listing.read_text().splitlines():
            if not line.strip():
                continue
            stem = line.split()[0]
            xml = within(base, f"Annotations/{stem}.xml", str(listing))
            sources.append(xml)
            files.append(base / "JPEGImages" / f"{stem}.jpg")
            record, found = _read_xml(xml, len(images), index, base)
            problems += found
            if record is not None:
                images.append(record)
                paths.append(base / "JPEGImages" / record.name)
    settle(problems, on_bad, f"data set '{name}', {root}")
    label = "+".join(f"{Path(f).name}/{s}" for f, s in splits)
    pixels = PixelCache(lambda i: read_pixels(paths[i]))
    return DetectionData(name, label, tuple(classes), images, pixels, problems, tuple(sources), tuple(files))


def _read_xml(
    path: Path, image_id: int, classes: dict[str, int], base: Path
) -> tuple[ImageRecord | None, list[Problem]]:
    """One annotation file; the record is None if the whole image has to be left out."""
    short = f"{base.name}/Annotations/{path.name}"
    try:
        tree = ElementTree.parse(path).getroot()
        if tree is None:
            raise ValueError("the file is empty")
        width, height = (int(_text(tree, f"size/{side}")) for side in ("width", "height"))
    except FileNotFoundError:
        return None, [Problem(short, "annotation file is missing", image_lost=True)]
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as problem:
        return None, [Problem(short, f"not a usable VOC annotation: {problem!s:.120}", image_lost=True)]
    picture = base / "JPEGImages" / f"{path.stem}.jpg"
    wrong = image_problem(picture, (width, height))
    if wrong:
        return None, [Problem(f"{base.name}/JPEGImages/{picture.name}", wrong, image_lost=True)]
    boxes, labels, difficult, numbers, problems = [], [], [], [], []
    for number, item in enumerate(tree.iter("object")):
        kind = (item.findtext("name") or "").strip()
        where = f"object {number} ('{kind}')"
        if kind not in classes:
            problems.append(Problem(short, f"unknown class '{kind}' (known: {', '.join(classes)})", where))
            continue
        try:
            x1, y1, x2, y2 = (float(_text(item, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError as problem:
            problems.append(Problem(short, str(problem), where))
            continue
        # The file counts pixels from 1 and includes the last one. A zero is the same slip in many public sets.
        box = (max(x1 - 1, 0.0), max(y1 - 1, 0.0), x2, y2)
        wrong = box_problem((x1 - 1, y1 - 1, x2, y2), width, height)
        if x1 >= x2 or y1 >= y2:
            wrong = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is {'inverted' if x1 > x2 or y1 > y2 else 'without area'}"
        if wrong:
            problems.append(Problem(short, wrong, where))
            continue
        boxes.append((box[0], box[1], min(x2, width), min(y2, height)))
        labels.append(classes[kind])
        difficult.append((item.findtext("difficult") or "0").strip() == "1")
        numbers.append(number)
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    record = ImageRecord(
        id=image_id,
        name=picture.name,
        width=width,
        height=height,
        boxes=array,
        labels=np.asarray(labels, np.int64),
        crowd=np.zeros(len(boxes), np.bool_),
        difficult=np.asarray(difficult, np.bool_),
        areas=(array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1]),
        ids=np.asarray(numbers, np.int64) + image_id * 1000 + 1,
    )
    return record, problems


def _text(element: Element | None, path: str) -> str:
    found = None if element is None else element.findtext(path)
    if found is None or not found.strip():
        raise ValueError(f"no <{path}>")
    return found.strip()


def _lists(folder: Path) -> str:
    return ", ".join(sorted(p.stem for p in folder.glob("*.txt"))[:20]) or "none"
