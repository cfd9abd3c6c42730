"""Small sound data sets of every kind that is read from files, and studies that name them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

WIDTH, HEIGHT = 64, 48
NAMES = ("000001", "000002", "000003", "000004")
CLASSES = ("cat", "dog")
# The objects of the sound sets: class and box as x1, y1, x2, y2 in continuous px.
OBJECTS: dict[str, list[tuple[str, float, float, float, float]]] = {
    name: [("cat", 8 + i, 10, 28 + i, 30), ("dog", 30, 4 + i, 60, 44)] for i, name in enumerate(NAMES)
}


def pixels(name: str) -> Any:
    """The picture of an image: dark noise with a bright square, other in every image."""
    rng = np.random.default_rng(int(name))
    found = rng.integers(0, 90, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    found[10:30, 8:28] = 230
    return found


def study_of(folder: Path, data: dict[str, Any], name: str = "study.yaml") -> Path:
    """A study of one cell on a data set."""
    content = {
        "study": "corpus",
        "answers": "nothing",
        "cost": "nothing",
        "expect": "nothing",
        "detectors": ["retinanet-slim"],
        "methods": ["iou"],
        "data": data,
        "schedule": {"steps": 2, "batch_size": 2},
    }
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


@dataclass
class Voc:
    """A VOC data set in memory; `write` puts it on disk."""

    objects: dict[str, list[tuple[str, float, float, float, float]]] = field(default_factory=lambda: deepcopy(OBJECTS))
    lists: dict[str, str | bytes] = field(
        default_factory=lambda: {"train": "\n".join(NAMES[:3]) + "\n", "test": NAMES[3] + "\n"}
    )
    xml: dict[str, str | bytes] = field(default_factory=dict)  # in place of the file that would be made
    images: dict[str, Any] = field(default_factory=dict)  # file name -> pixels, bytes, or None for none
    suffix: str = ".jpg"
    data: dict[str, Any] = field(default_factory=dict)  # further keys of the study's data entry

    def write(self, folder: Path) -> list[str]:
        """The set and its study below a folder; the command that checks them."""
        base = folder / "devkit" / "VOC2007"
        for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (base / part).mkdir(parents=True)
        for name, objects in self.objects.items():
            target = base / "Annotations" / f"{name}.xml"
            target.parent.mkdir(parents=True, exist_ok=True)
            _put(target, self.xml.get(name, voc_xml(name + self.suffix, objects)))
            file = f"{name}{self.suffix}"
            if file not in self.images:
                (base / "JPEGImages" / file).parent.mkdir(parents=True, exist_ok=True)
                save(base / "JPEGImages" / file, pixels(Path(name).stem))
        for file, content in self.images.items():
            if content is not None:
                (base / "JPEGImages" / file).parent.mkdir(parents=True, exist_ok=True)
                save(base / "JPEGImages" / file, content)
        for name, listed in self.lists.items():
            _put(base / "ImageSets" / "Main" / f"{name}.txt", listed)
        entry = {
            "name": "mine",
            "kind": "voc",
            "root": "devkit",
            "train": [["VOC2007", "train"]],
            "test": [["VOC2007", "test"]],
        }
        study_of(folder, {**entry, "classes": list(CLASSES), "image_size": 64, **self.data})
        return ["doctor", "study.yaml"]


def voc_xml(
    file: str, objects: Sequence[tuple[str, float, float, float, float]], size: tuple[int, int] = (WIDTH, HEIGHT)
) -> str:
    """An annotation file; its pixels count from 1 and include the last one."""
    parts = "".join(voc_object(*o) for o in objects)
    return (
        f"<annotation><folder>VOC2007</folder><filename>{file}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height><depth>3</depth></size>{parts}</annotation>"
    )


def voc_object(name: str, x1: float, y1: float, x2: float, y2: float, difficult: str = "0") -> str:
    """One object of an annotation file."""
    box = f"<xmin>{x1 + 1:g}</xmin><ymin>{y1 + 1:g}</ymin><xmax>{x2:g}</xmax><ymax>{y2:g}</ymax>"
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"


def coco(names: Sequence[str], first: int = 10, suffix: str = ".png") -> dict[str, Any]:
    """An instances file of some images: category 3 is the cat, 90 the dog."""
    images, items = [], []
    for i, name in enumerate(names):
        images.append({"id": first + i, "file_name": name + suffix, "width": WIDTH, "height": HEIGHT})
        for kind, x1, y1, x2, y2 in OBJECTS[name]:
            where = {"id": len(items) + 1, "image_id": first + i, "category_id": {"cat": 3, "dog": 90}[kind]}
            items.append({**where, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0})
    return {"images": images, "annotations": items, "categories": [{"id": 3, "name": "cat"}, {"id": 90, "name": "dog"}]}


@dataclass
class Coco:
    """A COCO data set in memory; `train` and `test` are instances files, or text in place of one."""

    train: Any = field(default_factory=lambda: coco(NAMES[:3]))
    test: Any = field(default_factory=lambda: coco(NAMES[3:], 50))
    images: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> list[str]:
        """The set and its study below a folder; the command that checks them."""
        (folder / "coco" / "pictures").mkdir(parents=True)
        for split in ("train", "test"):
            content = getattr(self, split)
            made = content if isinstance(content, str | bytes) else json.dumps(content)
            if content is not None:
                _put(folder / "coco" / f"{split}.json", made)
        for name in NAMES:
            if f"{name}.png" not in self.images:
                save(folder / "coco" / "pictures" / f"{name}.png", pixels(name))
        for file, content in self.images.items():
            if content is not None:
                (folder / "coco" / "pictures" / file).parent.mkdir(parents=True, exist_ok=True)
                save(folder / "coco" / "pictures" / file, content)
        pairs = {split: [[f"{split}.json", "pictures"]] for split in ("train", "test")}
        study_of(folder, {"name": "mine", "kind": "coco", "root": "coco", "image_size": 64, **pairs, **self.data})
        return ["doctor", "study.yaml"]


def save(path: Path, content: Any) -> None:
    """Pixels as the picture that the suffix says, bytes as they are."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, Image.Image):
        content.save(path)
    else:
        Image.fromarray(content).save(path, **({"quality": 95} if path.suffix in (".jpg", ".jpeg") else {}))


def _put(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def loaded(folder: Path, study: str = "study.yaml") -> dict[str, Any]:
    """Both splits of the study's data set, as training reads them."""
    from assignbench.data.catalog import load
    from assignbench.study.reading import read_study

    found = read_study(folder / study)
    entry = found.spec.data[0]
    root = entry.where(folder.resolve())
    return {split: load(entry.data_set(), split, root) for split in ("train", "test")}  # type: ignore[arg-type]


def content_of(split: Any) -> dict[str, list[tuple[str, float, float, float, float]]]:
    """What a split holds by the stem of its images: class names and boxes."""
    return {
        Path(image.name).stem: [
            (split.classes[label], *(round(float(v), 3) for v in box))
            for label, box in zip(image.labels.tolist(), image.boxes.tolist(), strict=True)
        ]
        for image in split.images
    }
