"""Files that were changed at random are read or refused, and nothing else: no traceback, no warning of Python's."""

import copy
import csv
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.data.predictions import read_ground_truth, read_predictions
from assignbench.errors import InputError

VALUES = [
    *(None, True, 0, -1, 1.5, -0.0, 1e18, 1e308, 10**25, "", "x", "1", "../../x", "/etc/passwd", "a" * 5000, "\ud800"),
    *([], {}, [1], [[1, 2, 3, 4]], {"a": 1}, [1, 2, 3, 4], [0, 0, 0, 0], [1e9, 1e9, 1e9, 1e9], [-5, -5, 100, 100]),
]
PIECES = [
    "",
    "\x00",
    '"',
    "<",
    ">",
    "&lt;",
    "&x;",
    ",",
    "\n",
    "nan",
    "1e999",
    "-",
    "é",
    "\u202e",
    "</object>",
    "{",
    "]",
]


def changed(content: object, rng: random.Random) -> object:
    """A copy with one to three entries dropped, doubled or replaced."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice([1, 1, 2, 3])):
        node = content
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
                node = node[key]
                continue
            chance = rng.random()
            if chance < 0.15 and isinstance(node, dict):
                del node[key]
            elif chance < 0.25 and isinstance(node, list):
                node.append(copy.deepcopy(node[key]))
            else:
                node[key] = copy.deepcopy(rng.choice(VALUES))
            break
    return content


def scrambled(text: str, rng: random.Random) -> bytes:
    """The text with some characters replaced, a part cut out or doubled."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 1, 1, 3, 40]))
        text = text[:start] + rng.choice([*PIECES, text[start:end] * 2]) + text[end:]
    return text.encode("utf-8", "surrogatepass")


def refused(read: Callable[[], object]) -> int:
    """Whether an InputError was raised; everything else, warnings too, ends the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read()
        except InputError:
            return 1
    return 0


def both(spec: DataSpec, folder: Path) -> int:
    return sum(
        refused(lambda s=split, b=on_bad: load(spec.model_copy(update={"on_bad": b}), s, folder))
        for split in ("train", "test")
        for on_bad in ("error", "skip")
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("how", ["values", "text"])
def test_coco_and_results(coco_folder, seed, how) -> None:
    rng = random.Random(seed)
    content = json.loads((coco_folder / "instances.json").read_text())
    found = [
        {"image_id": 10, "category_id": 90, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"file_name": "1.png", "category": "car", "bbox": [1, 2, 3, 4], "cls_score": 0.5, "iou_score": 0.2},
    ]
    truth = read_ground_truth(coco_folder / "instances.json")
    spec = DataSpec(name="mine", kind="coco", train=[("mutant.json", "images")], test=[("instances.json", "images")])
    count = 0
    for _ in range(60):
        for name, sound in (("mutant", content), ("results", found)):
            mutant = json.dumps(changed(sound, rng)).encode() if how == "values" else scrambled(json.dumps(sound), rng)
            (coco_folder / f"{name}.json").write_bytes(mutant)
        count += both(spec, coco_folder)
        count += refused(lambda: read_ground_truth(coco_folder / "mutant.json"))
        count += refused(lambda: read_predictions(coco_folder / "results.json", truth))
    assert count > 100


@pytest.mark.parametrize("seed", range(4))
def test_voc(voc_folder, seed) -> None:
    rng = random.Random(seed)
    base = voc_folder / "VOC2007"
    spec = DataSpec(name="mine", kind="voc", train=[("VOC2007", "train")], test=[("VOC2007", "test")])
    count = 0
    for name in ("Annotations/000001.xml", "ImageSets/Main/train.txt", "JPEGImages/000001.jpg"):
        sound = (base / name).read_bytes()
        for _ in range(40):
            mutant = bytearray(sound)
            if name.endswith("jpg"):
                mutant[rng.randrange(300)] ^= 1 << rng.randrange(8)
            else:
                mutant[:] = scrambled(sound.decode(), rng)
            (base / name).write_bytes(mutant)
            count += both(spec, voc_folder)
        (base / name).write_bytes(sound)
    assert count > 60


@pytest.mark.parametrize("seed", range(4))
def test_csv(coco_folder, seed) -> None:
    rng = random.Random(seed)
    place = np.random.default_rng(seed)
    rows = [[f"{i % 3}.png", *place.integers(0, 20, 2), *place.integers(21, 39, 2), "car", 50, 40] for i in range(9)]
    with (coco_folder / "sound.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    spec = DataSpec(name="mine", kind="csv", train=[("mutant.csv", "images")], test=[("sound.csv", "images")])
    count = 0
    for _ in range(60):
        (coco_folder / "mutant.csv").write_bytes(scrambled((coco_folder / "sound.csv").read_text(), rng))
        count += both(spec, coco_folder)
    assert count > 40
