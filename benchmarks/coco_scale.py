"""Annotations of COCO's size, made up: seconds and memory of their first reading, of the next ones, and of 0.6's way.

python -m benchmarks.coco_scale [FOLDER] [--images 118287] [--objects 860001] [--pairs 2] [--pictures] [--step]

Writes an instances file as large as that of COCO's 118,287 training images (polygons with two decimals, and run lengths
for one object in eighty) into FOLDER, unless it is there. Each reading is a process of its own, which says how many
seconds of processor and clock it took, without imports, and how large it grew. Goals: 15 s and 1.5 GB for the first
reading, 2 s for the next. With --pairs N, as many readings the way of version 0.6 (Python's own JSON reader on the
whole file; more than 3 GB) take turns with ours, and ratios of minima are printed. With --pictures, image files are
there, too, as links to a few, and whole splits are read, every picture looked at. With --step, instead of that, a
cell's process (slim RetinaNet, 320 px) goes from its start to the end of its first step, imports included, with an
empty cache and with what the first one left there (goals: 30 s and 5 s).
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

import assignbench.data.instances as instances
from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.data import DataSpec
from assignbench.config.detector import DETECTORS, DetectorConfig
from assignbench.config.recipe import Schedule
from assignbench.data.entry_columns import Doubt
from assignbench.data.instances import read_instances
from assignbench.data.kinds.coco import read_coco
from assignbench.engine.stopping import Wish
from assignbench.records import CellRecord, write_config, write_json

NAME = "instances_train.json"
CLASSES = 80
STEPS = ("first step", "next step")
SIZES = ((640, 480), (480, 640), (640, 427), (500, 375))


def write_instances(path: Path, images: int, objects: int) -> None:
    """An instances file in the form of COCO's own."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write('{"info": {"description": "made up", "year": 2017}, "licenses": [], "images": [')
        for number in range(images):
            width, height = SIZES[number % len(SIZES)]
            entry = {
                "license": 1 + number % 8,
                "file_name": f"{number:012}.jpg",
                "coco_url": f"images/train/{number:012}.jpg",
                "height": height,
                "width": width,
                "date_captured": "2013-11-14 11:18:45",
                "flickr_url": f"{number:010}_{number % 997:03}_z.jpg",
                "id": 3 * number + 1,
            }
            file.write(f"{', ' if number else ''}{json.dumps(entry)}")
        file.write('], "annotations": [')
        for number, text in enumerate(_annotations(rng, images, objects)):
            file.write(f"{', ' if number else ''}{text}")
        names = [{"supercategory": "thing", "id": 1 + c + c // 8, "name": f"class {c}"} for c in range(CLASSES)]
        file.write(f'], "categories": {json.dumps(names)}}}')


def _annotations(rng: np.random.Generator, images: int, objects: int) -> Iterator[str]:
    """Objects as texts. Outlines are drawn from a few thousand, so that writing takes a minute and not ten."""
    polygons = []
    for _ in range(4000):
        corners = np.round(rng.uniform(0, 420, 2 * max(3, int(rng.gamma(2.0, 12.0)))), 2)
        polygons.append(json.dumps([corners.tolist()]))
    owners = np.sort(rng.integers(0, images, objects))
    sides = np.round(np.exp(rng.uniform(np.log(4), np.log(300), (objects, 2))), 2)
    corners = np.round(rng.uniform(0, 1, (objects, 2)) * (370 - sides).clip(0), 2)
    labels = rng.integers(0, CLASSES, objects)
    for number in range(objects):
        crowd = number % 80 == 79
        outline = polygons[number % len(polygons)]
        if crowd:
            outline = json.dumps({"counts": [number % 977, *range(3, 200)], "size": [480, 640]})
        (x, y), (w, h), label = corners[number].tolist(), sides[number].tolist(), int(labels[number])
        yield (
            f'{{"segmentation": {outline},"area": {w * h * 0.7!r},"iscrowd": {int(crowd)},"image_id": '
            f'{3 * int(owners[number]) + 1},"bbox": [{x}, {y}, {w}, {h}],"category_id": {1 + label + label // 8},'
            f'"id": {number + 100000}}}'
        )


def write_pictures(folder: Path, images: int) -> None:
    """Image files of the annotated sizes: links to one of each."""
    folder.mkdir()
    for number, size in enumerate(SIZES[:images]):
        noise = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number:012}.jpg", quality=80)
    for number in range(len(SIZES), images):
        os.link(folder / f"{number % len(SIZES):012}.jpg", folder / f"{number:012}.jpg")


def child(way: str, folder: Path) -> None:
    """One reading, and what it took as a line of JSON."""

    def doubting(*given: object) -> object:
        raise Doubt

    if way == "exact":
        instances.read_columns = doubting
    cache = None if way == "exact" else folder / "cache"
    clock, processor = time.perf_counter(), time.process_time()
    if (folder / "train").is_dir():
        found = read_coco(folder, NAME, "train", name="made up", cache=cache)
        counts = (len(found), len(found.images[0].boxes))
    else:
        read = read_instances(folder / NAME, cache=cache)
        counts = (len(read.images), len(read.ids))
    took = {"cpu": time.process_time() - processor, "s": time.perf_counter() - clock}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({**took, "GB": grown, "counts": counts}))


class OneStep(Wish):
    """Wants to stop as soon as a step is done, and knows what the process had taken by then."""

    spent: dict[str, float] | None = None

    def __init__(self, begun: float) -> None:
        super().__init__()
        self._begun, self._training = begun, False

    @contextmanager
    def patient(self) -> Iterator[None]:
        """The block that trains; it looks at `wanted` after its step."""
        self._training = True
        with super().patient():
            yield

    @property
    def wanted(self) -> bool:
        """Whether a step is done."""
        if self._training and self.spent is None:
            self.spent = {"cpu": time.process_time(), "s": time.time() - self._begun}
        return self._training


def step_child(folder: Path, begun: float) -> None:
    """A cell up to its first step, in a process that was started at `begun` (time.time()); prints as `child`."""
    gc.disable()  # here and below as a cell's process does
    from assignbench.engine.run import run_cells  # brings torch, whose memory no reading is to have
    from assignbench.methods import resolve

    gc.enable()
    cell, wish = folder / "cell", OneStep(begun)
    shutil.rmtree(cell, ignore_errors=True)
    pairs = {"train": [[NAME, "train"]], "test": [["instances_val.json", "val"]]}
    spec = {"name": "made up", "kind": "coco", "root": str(folder), "size": 320, "augment": {"flip": 0.5}, **pairs}
    schedule = {"steps": 1000, "batch_size": 4, "lr": 1e-3}
    config = CellConfig(
        seed=0,
        detector=DetectorConfig(name="slim", label="slim", spec=DETECTORS["retinanet-slim"]),
        method=resolve("iou"),
        data=DataSpec.model_validate(spec),
        schedule=Schedule.model_validate(schedule),
    )
    write_config(cell, config)
    write_json(cell / "local.json", LocalPaths(root=str(folder), cache=str(folder / "cache")).model_dump(mode="json"))
    gc.freeze()
    atexit.register(gc.unfreeze)
    if run_cells([cell], "cpu", wish) != ["pending"] or wish.spent is None:
        raise SystemExit(json.dumps(CellRecord(cell).status))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({**wish.spent, "GB": grown}))


def reading(way: str, folder: Path) -> dict[str, float]:
    """One reading, or a cell to its first step, in a process of its own, which is printed."""
    if way.startswith("first"):
        shutil.rmtree(folder / "cache", ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.coco_scale", str(folder), "--child", way, "--begun", repr(time.time())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    took: dict[str, float] = json.loads(done.stdout)
    print(f"  {way:10} {took['cpu']:6.2f} s of CPU, {took['s']:6.2f} s, {took['GB']:.2f} GB", flush=True)
    return took


def made(folder: Path, options: argparse.Namespace) -> None:
    """Writes what of the data set is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / NAME).is_file():
        write_instances(folder / NAME, options.images, options.objects)
    if (options.pictures or options.step) and not (folder / "train").is_dir():
        write_pictures(folder / "train", options.images)
    if options.step and not (folder / "val").is_dir():
        write_instances(folder / "instances_val.json", 5000, 36_781)
        write_pictures(folder / "val", 5000)
    time.sleep(3)  # a file that was just changed is not trusted to stay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--objects", type=int, default=860_001)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child in STEPS:
        step_child(options.folder, options.begun)
        return
    if options.child:
        child(options.child, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        made(folder, options)
        print(f"{(folder / NAME).stat().st_size / 1e6:.0f} MB of annotations")
        ways = STEPS if options.step else ("first", "cached", "exact") if options.pairs else ("first", "cached")
        took = {way: [] for way in ways}
        for _ in range(max(1, options.pairs)):
            for way in ways:
                took[way].append(reading(way, folder))
        for way in ways[:-1] if "exact" in ways else ():
            least = {w: min(t["cpu"] for t in took[w]) for w in (way, "exact")}
            print(f"{way}: {least[way] / least['exact']:.3f} of 0.6's processor time")


if __name__ == "__main__":
    main()
