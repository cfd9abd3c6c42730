"""Time and memory of `assignbench analyze` and of replicates of the images on a generated set, beside pycocotools.

python benchmarks/analysis.py [--images 5000] [--detections 100] [--classes 80]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from assignbench.analysis.measures import jackknife
from assignbench.config.method import Nms
from assignbench.data.predictions import read_ground_truth, read_predictions
from assignbench.measure.coco import coco_numbers
from assignbench.measure.matching import match, overlaps_of
from assignbench.measure.nms import Boxes, thin_out
from assignbench.measure.objects import described
from assignbench.measure.precision import average_precision


def generate(folder: Path, images: int, detections: int, classes: int, files: int = 2) -> tuple[Path, list[Path]]:
    """Ground truth of seven objects per image on average, and result files of boxes around and beside them."""
    rng = np.random.default_rng(0)
    count = rng.poisson(7, images)
    owner = np.repeat(np.arange(images), count)
    corner, side = rng.uniform(0, 400, (len(owner), 2)), rng.lognormal(4, 0.6, (len(owner), 2)).clip(8, 300)
    label = rng.integers(0, classes, len(owner))
    truth = {
        "images": [{"id": i + 1, "file_name": f"{i}.jpg", "width": 700, "height": 700} for i in range(images)],
        "categories": [{"id": c + 1, "name": f"class{c}"} for c in range(classes)],
        "annotations": [
            {"id": i + 1, "image_id": int(owner[i]) + 1, "category_id": int(label[i]) + 1, "iscrowd": 0,
             "bbox": [*corner[i].tolist(), *side[i].tolist()], "area": float(side[i].prod())}
            for i in range(len(owner))
        ],
    }  # fmt: skip
    gt = folder / "instances.json"
    gt.write_text(json.dumps(truth))
    first = np.cumsum(count) - count
    paths = []
    for number in range(files):
        image = np.repeat(np.arange(images), detections)
        near = (rng.random(len(image)) < 0.25) & (count[image] > 0)
        which = np.where(near, first[image] + (rng.random(len(image)) * count[image].clip(1)).astype(int), 0)
        at = np.where(
            near[:, None], corner[which] + rng.normal(0, 6, (len(image), 2)), rng.uniform(0, 400, (len(image), 2))
        )
        size = np.where(
            near[:, None], side[which] * rng.lognormal(0, 0.15, (len(image), 2)), rng.uniform(8, 200, (len(image), 2))
        )
        kind = np.where(near & (rng.random(len(image)) < 0.8), label[which], rng.integers(0, classes, len(image)))
        score = np.where(near, rng.beta(3, 2, len(image)), rng.beta(1, 6, len(image)))
        rows = [
            {"image_id": int(i) + 1, "category_id": int(c) + 1, "score": float(s), "bbox": [float(v) for v in b]}
            for i, c, s, b in zip(image, kind, score, np.concatenate([at, size], 1).round(2), strict=True)
        ]
        paths.append(folder / f"detector{number}.json")
        paths[-1].write_text(json.dumps(rows))
    return gt, paths


def time_nms(count: int = 1000, classes: int = 20, repeats: int = 20) -> None:
    """Prints the time of every NMS flavour for one image of so many boxes."""
    rng = np.random.default_rng(1)
    centre, sides = rng.uniform(20, 500, (count, 2)), rng.uniform(10, 90, (count, 2))
    corners = np.concatenate([centre - sides / 2, centre + sides / 2], axis=1)
    scores = rng.uniform(0, 1, (3, count))
    boxes = Boxes(corners, rng.integers(0, classes, count), scores[0], scores[1], scores[2], np.arange(count))
    for nms in (Nms(), Nms(kind="agnostic"), Nms(kind="soft"), Nms(kind="iou_guided"), Nms(kind="none")):
        start = time.perf_counter()
        for _ in range(repeats):
            thin_out(boxes, nms, 100)
        spent = 1e3 * (time.perf_counter() - start) / repeats
        print(f"NMS {nms.kind}, {count} boxes of {classes} classes: {spent:.1f} ms")


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("images", 5000), ("detections", 100), ("classes", 80), ("replicates", 1000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gt, files = generate(folder, options.images, options.detections, options.classes)
        print(
            f"{options.images} images x {options.detections} detections x {options.classes} classes, {len(files)} files"
        )
        start = time.perf_counter()
        command = [sys.executable, "-m", "assignbench", "analyze", "--gt", str(gt), "--out", str(folder / "runs")]
        subprocess.run([*command, "--predictions", *map(str, files)], check=True, stdout=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"assignbench analyze, both files with report: {time.perf_counter() - start:.1f} s, {peak:.2f} GiB")

        truth = read_ground_truth(gt)
        table = read_predictions(files[0], truth)
        objects = described(truth.objects)
        start = time.perf_counter()
        overlaps = overlaps_of(truth.images, objects, table, len(truth.classes))
        ours = coco_numbers(overlaps)
        own = time.perf_counter() - start
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(gt))
            found = coco.loadRes(str(files[0]))
            start = time.perf_counter()
            run = COCOeval(coco, found, "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
        theirs = time.perf_counter() - start
        print(f"twelve COCO numbers: ours {own:.1f} s, pycocotools {theirs:.1f} s, ratio {theirs / own:.1f}")
        gap = max(abs(run.stats[i] - ours[n]) for i, n in enumerate(("AP", "AP50", "AP75")))
        print(f"largest difference of AP, AP50, AP75: {gap:.1e}")
        start = time.perf_counter()
        average_precision(match(overlaps), jackknife(len(overlaps.images), options.replicates).rows)
        print(f"{options.replicates} replicates of AP by reweighting: {time.perf_counter() - start:.1f} s")
        time_nms()


if __name__ == "__main__":
    main()
