"""CPU, time and memory of the report of a large study: 20 cells x 5,000 images x 80 classes, first and unchanged.

python benchmarks/report.py [--cells 20] [--images 5000] [--classes 80] [--detections 100] [--before 300] [--keep DIR]

The records are generated: about seven objects and so many detections and boxes before NMS per image. Each report is
made by a process of its own; printed are its wall time, its CPU seconds and the largest memory of one process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from assignbench.config import CellConfig, DataSpec, DetectorConfig, MethodConfig, Part, Schedule
from assignbench.config.detector import BackboneSpec, DetectorSpec, HeadSpec, PriorSpec
from assignbench.measure.coco import coco_numbers
from assignbench.measure.matching import overlaps_of
from assignbench.measure.objects import described
from assignbench.records import finish, write_config, write_json, write_table

BOX = ["x1", "y1", "x2", "y2"]
METHODS = ("base", "first", "second", "third")
REPORT = """
import sys
from pathlib import Path
from assignbench.report import build_report
build_report(Path(sys.argv[1]))
"""
ANALYSES = """
import sys
from pathlib import Path
from assignbench.analysis import ANALYSES, ORDER, read_study_record
from assignbench.analysis.prepared import prepare
study = read_study_record(Path(sys.argv[1]))
prepare(study, ORDER, lambda text: None)
for name in ORDER:
    ANALYSES[name].run(study)
for cell in study.data():
    cell.kept.save()
"""


def truth(rng: np.random.Generator, images: int, classes: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images of 700 px and their objects, some of which overlap."""
    count = rng.poisson(7, images)
    image = np.repeat(np.arange(images), count)
    corner, side = rng.uniform(0, 400, (len(image), 2)), rng.lognormal(4, 0.6, (len(image), 2)).clip(8, 300)
    objects = pd.DataFrame(np.concatenate([corner, corner + side], 1).astype(np.float32), columns=BOX)
    objects.insert(0, "image_id", image)
    objects.insert(1, "object_id", np.arange(len(image)))
    objects.insert(2, "label", rng.integers(0, classes, len(image)))
    area = side.prod(axis=1).astype(np.float32)
    objects = described(objects.assign(area=area, crowd=False, difficult=False))
    names = [f"{i}.jpg" for i in range(images)]
    return pd.DataFrame({"image_id": np.arange(images), "name": names, "width": 700, "height": 700}), objects


def predicted(rng: np.random.Generator, images: int, objects: pd.DataFrame, classes: int, count: int) -> pd.DataFrame:
    """So many boxes per image, best first: a third of them around objects, most of these of the right class."""
    image = np.repeat(np.arange(images), count)
    first = np.searchsorted(objects.image_id, np.arange(images + 1))
    held = np.diff(first)[image]
    near = (rng.random(len(image)) < 0.33) & (held > 0)
    which = np.where(near, first[image] + (rng.random(len(image)) * held).astype(int), 0)
    around = objects[BOX].to_numpy()[which] + rng.normal(0, 6, (len(image), 4))
    corner, side = rng.uniform(0, 400, (len(image), 2)), rng.uniform(8, 200, (len(image), 2))
    boxes = np.where(near[:, None], around, np.concatenate([corner, corner + side], 1)).astype(np.float32)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    right = near & (rng.random(len(image)) < 0.8)
    label = np.where(right, objects.label.to_numpy()[which], rng.integers(0, classes, len(image)))
    score = np.where(near, rng.beta(3, 2, len(image)), rng.beta(1, 6, len(image))).astype(np.float32)
    table = pd.DataFrame({"image_id": image, "label": label, "score": score, "cls_score": score})
    table = table.assign(quality_score=np.float32(1), prior=np.arange(len(image)) % 10_000)
    table = pd.concat([table, pd.DataFrame(boxes, columns=BOX)], axis=1)
    return table.iloc[np.lexsort((-table.score, table.image_id))].reset_index(drop=True)


def config_of(method: str, seed: int) -> CellConfig:
    """What a cell says that it is; nothing of it is built."""
    priors = PriorSpec(kind="anchor", scales=(2.5,), ratios=(1.0,))
    spec = DetectorSpec(family="retinanet", backbone=BackboneSpec(name="slim"), head=HeadSpec(), priors=priors)
    parts = {"assigner": Part(name=method), "criterion": Part(name="dense")}
    return CellConfig(
        seed=seed,
        detector=DetectorConfig(name="net", label="net", spec=spec),
        method=MethodConfig.model_validate({"name": method, "preset": method, **parts}),
        data=DataSpec(name="large", kind="coco", size=100),
        schedule=Schedule(steps=1),
    )


def write_study(folder: Path, options: argparse.Namespace) -> None:
    """The finished cells of four methods, and study.json."""
    images, objects = truth(np.random.default_rng(0), options.images, options.classes)
    names = []
    for number in range(options.cells):
        rng, method, seed = np.random.default_rng([1, number]), METHODS[number % 4], number // 4
        before = predicted(rng, options.images, objects, options.classes, options.before)
        after = before.groupby("image_id").head(options.detections).reset_index(drop=True)
        config = config_of(method, seed)
        cell = folder / config.id
        write_config(cell, config)
        about = {"classes": [f"class{c}" for c in range(options.classes)], "class_agnostic": False}
        write_json(cell / "environment.json", about)
        numbers = coco_numbers(overlaps_of(images, objects, after, options.classes))
        write_json(cell / "summary.json", {k: None if np.isnan(v) else v for k, v in numbers.items()})
        tables = {"images": images, "objects": objects, "detections": after}
        tables["pre_nms"] = before.rename(columns={"score": "ranking_score"})
        for name, table in tables.items():
            write_table(cell / f"{name}.parquet", table)
        finish(cell)
        names.append(config.id)
    baselines = {m: "" if m == METHODS[0] else METHODS[0] for m in METHODS}
    write_json(folder / "study.json", {"study": "large", "cells": names, "baselines": baselines})


def measured(what: str, code: str, folder: Path) -> None:
    """Runs a process and prints what it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {wall:.1f} s, {cpu:.1f} s of CPU, {after.ru_maxrss / 2**20:.2f} GiB", flush=True)


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("cells", 20), ("images", 5000), ("classes", 80), ("detections", 100), ("before", 300)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--keep", type=Path, help="a new folder for the records, which stay")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name) / "large"
        folder.mkdir(parents=True)
        write_study(folder, options)
        told = f"{options.cells} cells x {options.images} images x {options.classes} classes"
        measured(f"{told}: analyses, first", ANALYSES, folder)
        measured("analyses, unchanged", ANALYSES, folder)
        measured("report, first after the analyses", REPORT, folder)
        measured("report, unchanged", REPORT, folder)


if __name__ == "__main__":
    main()
