"""What some archives need before a reader reads them: a layout of ours, a split, another format."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from assignbench.errors import InputError
from assignbench.records import write_json
from assignbench.records.files import whole_file

_BOX = re.compile(r"^Bounding box for object (\d+) .*: \((\d+), (\d+)\) - \((\d+), (\d+)\)", re.MULTILINE)
_SIZE = re.compile(r"^Image size \(X x Y x C\) : (\d+) x (\d+) x", re.MULTILINE)


def cplid(folder: Path) -> None:
    """The 600 images of whole insulators as a VOC folder; 150 of them, drawn by seed 2007, are the test split.

    The draw is that of our own smaller copy, whose pictures have about a third of these sides.
    """
    source, target = folder / "Normal_Insulators", folder / "VOCdevkit" / "VOC2007"
    if not source.is_dir():
        return
    names = sorted(path.stem for path in (source / "labels").glob("*.xml"))
    drawn = names[:]
    random.Random(2007).shuffle(drawn)  # noqa: S311 (a split, no secret)
    test = sorted(drawn[: len(drawn) // 4])
    train = sorted(set(names) - set(test))
    aside = folder / ".arranging"
    shutil.rmtree(aside, ignore_errors=True)
    lists = aside / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name, listed in (("train", train), ("trainval", train), ("test", test)):
        (lists / f"{name}.txt").write_text("".join(f"{n}\n" for n in listed))
    shutil.copytree(source / "labels", aside / "Annotations")
    shutil.copytree(source / "images", aside / "JPEGImages")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    aside.replace(target)
    shutil.rmtree(source)


def pennfudan(folder: Path) -> None:
    """Penn-Fudan's text annotations as COCO files; every fourth image, by name, is a test image.

    Its pixels count from 1 and both corners are inside; the area is the box's, not the mask's.
    """
    texts = sorted((folder / "Annotation").glob("*.txt"))
    if not texts:
        return
    for name, chosen in (("test", texts[3::4]), ("train", [t for k, t in enumerate(texts) if k % 4 != 3])):
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number, path in enumerate(chosen, start=1):
            text = path.read_text(encoding="utf-8", errors="replace")
            size = _SIZE.search(text)
            if size is None:
                raise InputError(f"{path}: says no image size; the archive is not Penn-Fudan's")
            width, height = (int(n) for n in size.groups())
            images.append({"id": number, "file_name": f"{path.stem}.png", "width": width, "height": height})
            for _, *corners in _BOX.findall(text):
                objects.append(_object(len(objects) + 1, number, *(int(c) for c in corners)))
        content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "person"}]}
        write_json(folder / "annotations" / f"{name}.json", content)
    shutil.rmtree(folder / "Annotation")
    shutil.rmtree(folder / "PedMasks", ignore_errors=True)


def _object(number: int, image: int, x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
    """An entry of a COCO file from corners that count from 1 and are both inside."""
    width, height = x2 - x1 + 1, y2 - y1 + 1
    box = [x1 - 1, y1 - 1, width, height]
    return {
        **{"id": number, "image_id": image, "category_id": 1, "iscrowd": 0},
        **{"bbox": box, "area": float(width * height)},
    }


def squeezenet(folder: Path) -> None:
    """The features of torchvision's SqueezeNet as the array file that studies name. Loads torch."""
    source = folder / "squeezenet1_1-b8a52dc0.pth"
    if not source.is_file():
        return
    import torch

    state = torch.load(source, map_location="cpu", weights_only=True)
    arrays = {name: tensor.numpy() for name, tensor in state.items() if name.startswith("features.")}
    with whole_file(folder / "squeezenet1_1_imagenet_features_rgb.npz") as partial, partial.open("wb") as file:
        np.savez(file, **arrays)
    source.unlink()
