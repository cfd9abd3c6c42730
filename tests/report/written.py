"""A study's run folder written by hand, with every file that a trained cell leaves: for tests of the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from assignbench.config import CellConfig, DataSpec, DetectorConfig, MethodConfig, Nms, Part, Schedule
from assignbench.config.detector import BackboneSpec, DetectorSpec, HeadSpec, PriorSpec
from assignbench.config.formats import formats_of
from assignbench.config.inputs import Inputs
from assignbench.measure.boxes import aspect_ratio, pairwise_iou
from assignbench.measure.coco import coco_numbers
from assignbench.measure.crowding import crowdedness
from assignbench.measure.matching import BOX, overlaps_of
from assignbench.measure.telling import telling_objects
from assignbench.records import append_lines, finish, schema, write_config, write_json, write_table
from assignbench.records.identity import write_inputs

SIDE = 96
CLOCKS = {"seconds": 6.0, "cpu_seconds": 5.7, "assign_ms": 3.0, "assign_cpu_ms": 2.9, "criterion_ms": 2.0}
CLASSES = ["disc", "bar", "cross"]
METHODS = {
    "iou": MethodConfig(name="iou", preset="iou", assigner=Part(name="max_iou")),
    "mutual_guidance": MethodConfig(
        name="mutual_guidance", preset="mutual_guidance", assigner=Part(name="mutual_guidance")
    ),
    "paa": MethodConfig(
        name="paa",
        preset="paa",
        assigner=Part(name="paa"),
        quality="iou",
        ranking="sqrt(cls*quality)",
        nms=Nms(iou=0.6),
    ),
}
# How far boxes lie off, by method: mutual_guidance is planted as better than iou, paa as worse.
NOISE = {"iou": 2.5, "mutual_guidance": 1.2, "paa": 4.0}


def write_study(
    folder: Path,
    *,
    seeds: int = 3,
    images: int = 24,
    detectors: tuple[str, ...] = ("slim",),
    methods: dict[str, MethodConfig] | None = None,
    data: str = "scenes",
    alter: Callable[[Path], None] = lambda folder: None,
    **about: object,
) -> Path:
    """Writes detectors x methods x seeds as finished cells and study.json; `about` adds to the latter.

    `alter` gets the folder of every cell before it is finished.
    """
    chosen = methods or METHODS
    truth = objects_of(images)
    cells = []
    for detector in detectors:
        for method in chosen.values():
            for seed in range(seeds):
                cells.append(write_cell(folder, detector, method, seed, truth, images, data, alter).name)
    first = next(iter(chosen))
    content: dict[str, object] = {
        "study": "written",
        "title": "Written by hand",
        "answers": "Does the page show what the records hold?",
        "expect": "mutual_guidance above iou",
        "cost": "nothing",
        "version": "test",
        "cells": cells,
        "baselines": {m: "" if m == first else first for m in chosen},
        "analyses": [],
        "claims": [],
        "areas": {},
        "notes": [],
        "imported": False,
    }
    write_json(folder / "study.json", content | about)
    return folder


def objects_of(images: int) -> pd.DataFrame:
    """Objects of every image, some of them over each other, with the columns of the embedded scenes."""
    rng = np.random.default_rng(5)
    rows = []
    for image in range(images):
        for place in range(1 + image % 4):
            side = rng.uniform(12, 44, 2)
            corner = rng.uniform(2, SIDE - 46, 2)
            if place == 1 and rows:
                corner = np.array(rows[-1][2:4]) + 4  # over the one before
            rows.append((image, int(rng.integers(len(CLASSES))), *corner, *(corner + side)))
    table = pd.DataFrame(rows, columns=["image_id", "label", *BOX])
    boxes = table[BOX].to_numpy(np.float64)
    table.insert(1, "object_id", np.arange(len(table)) + 100)
    table["area"] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    table["aspect_ratio"] = aspect_ratio(boxes)
    table["crowdedness"] = crowdedness(table.image_id.to_numpy(), boxes)
    table["image_crowdedness"] = table.groupby("image_id").crowdedness.transform("max")
    table["objects_in_image"] = table.groupby("image_id").object_id.transform("size")
    for factor in ("acentricity", "occlusion", "contrast"):
        table[factor] = rng.uniform(0, 2, len(table))
    return table.assign(crowd=False, difficult=False)


def write_cell(
    study: Path,
    detector: str,
    method: MethodConfig,
    seed: int,
    truth: pd.DataFrame,
    images: int,
    data: str,
    alter: Callable[[Path], None],
) -> Path:
    """One finished cell with all its tables, checked by their schemas."""
    spec = DetectorSpec(
        family="retinanet",
        backbone=BackboneSpec(name="slim"),
        head=HeadSpec(width=48, depth=1),
        priors=PriorSpec(scales=(4.0,), ratios=(1.0,)),
    )
    config = CellConfig(
        seed=seed,
        detector=DetectorConfig(name="retinanet-slim", label=detector, spec=spec),
        method=method,
        data=DataSpec(name=data, kind="shapes", size=SIDE),
        schedule=Schedule(steps=100),
        probe_images=2,
    )
    folder = study / config.id
    rng = np.random.default_rng([seed, *method.name.encode()])
    table = pd.DataFrame({"image_id": np.arange(images), "name": [f"{i}.png" for i in range(images)]})
    table = table.assign(width=SIDE, height=SIDE)
    before = predicted(truth, method, rng)
    after = before.groupby(["image_id", "label"], sort=False).head(3).rename(columns={"ranking_score": "score"})
    objects = truth.assign(
        num_candidates=9, spearman=rng.uniform(-1, 1, len(truth)), spearman_cls=rng.uniform(-1, 1, len(truth)),
        best_iou_before=0.9, best_iou_after=0.8,
    )  # fmt: skip
    write_config(folder, config)
    write_inputs(folder, Inputs(formats=formats_of(config)), {})
    write_table(folder / "images.parquet", table, schema.IMAGES)
    write_table(folder / "objects.parquet", objects, schema.OBJECTS)
    write_table(folder / "pre_nms.parquet", before, schema.PRE_NMS)
    write_table(folder / "detections.parquet", after.reset_index(drop=True), schema.DETECTIONS)
    write_table(folder / "candidates.parquet", candidates_of(truth, rng), schema.CANDIDATES)
    write_training(folder, method, truth, rng)
    numbers = coco_numbers(overlaps_of(table, truth, after.reset_index(drop=True), len(CLASSES)))
    seconds = 60.0 + rng.random()
    cost = {
        "train_seconds": seconds,
        "train_cpu_seconds": 0.95 * seconds,
        "images_per_second": 100.0,
        "gflops": 1.5,
        "gflops_hw": [SIDE, SIDE],
        "fps": 50.0 if method.name == "iou" else 40.0,
        "fps_cpu_share": 0.97,
        "fps_images": 24,
        "peak_memory_mib": 300.0,
    }
    cost |= {"parameters": 300_000, "parameters_trained": 299_000}
    cost |= {"forward_ms_per_image": 4.0, "postprocess_ms_per_image": 1.0}
    summary = {k: None if np.isnan(v) else float(v) for k, v in numbers.items()}
    write_json(folder / "summary.json", {**summary, **cost, "per_class": dict.fromkeys(CLASSES, 0.5)})
    write_json(folder / "environment.json", environment())
    alter(folder)
    finish(folder, step=100, steps=100)
    return folder


def environment() -> dict[str, Any]:
    """environment.json of a trained cell."""
    split = {"split": "made", "images": 24, "objects": 60, "fingerprint": "abc", "skipped": []}
    return {
        "classes": CLASSES,
        "class_agnostic": False,
        "date": "2026-01-01",
        "device": "cpu",
        "device_name": "a processor",
        "threads": 1,
        "python": "3.12",
        "torch": "2",
        "torchvision": "0.2",
        "data": {"train": split, "test": split},
        "parameters": 300_000,
        "priors": {
            "kind": "anchor",
            "level_sizes": [144, 36],
            "strides": [8.0, 16.0],
            "anchors_per_location": 1,
        },
        "image_size": [SIDE, SIDE],
    }


def predicted(truth: pd.DataFrame, method: MethodConfig, rng: np.random.Generator) -> pd.DataFrame:
    """Boxes before NMS: three around every object and a few that are nobody's."""
    parts = []
    for copy in range(3):
        noisy = truth[BOX].to_numpy() + rng.normal(0, NOISE.get(method.name, 2.0) * (1 + copy), (len(truth), 4))
        noisy[:, 2:] = np.maximum(noisy[:, 2:], noisy[:, :2] + 4)
        cls = np.clip(rng.normal(0.8 - 0.2 * copy, 0.1, len(truth)), 0.02, 0.99)
        parts.append(truth[["image_id", "label"]].assign(cls_score=cls, **dict(zip(BOX, noisy.T, strict=True))))
    strays = truth[["image_id", "label"]].assign(cls_score=rng.uniform(0.02, 0.4, len(truth)))
    corner = rng.uniform(0, SIDE - 30, (len(truth), 2))
    parts.append(strays.assign(x1=corner[:, 0], y1=corner[:, 1], x2=corner[:, 0] + 25, y2=corner[:, 1] + 25))
    table = pd.concat(parts, ignore_index=True)
    table["quality_score"] = rng.uniform(0.3, 1, len(table)) if method.quality else 1.0
    table["ranking_score"] = np.sqrt(table.cls_score * table.quality_score) if method.quality else table.cls_score
    table["prior"] = rng.integers(0, 180, len(table))
    order = ["image_id", "label", "ranking_score", "cls_score", "quality_score", "prior", *BOX]
    return table.sort_values("ranking_score", ascending=False, kind="stable")[order].reset_index(drop=True)


def candidates_of(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Nine candidates per object."""
    table = truth[["image_id", "object_id"]].loc[truth.index.repeat(9)].reset_index(drop=True)
    table = table.assign(prior=np.arange(len(table)) % 180, level=0, in_jk=True)
    iou = rng.uniform(0.1, 1, len(table))
    cls = np.clip(iou * rng.uniform(0.3, 1, len(table)), 0, 1)
    return table.assign(ranking_score=cls, cls_score=cls, quality_score=1.0, iou=iou)


def write_training(folder: Path, method: MethodConfig, truth: pd.DataFrame, rng: np.random.Generator) -> None:
    """Metrics, telemetry of batches, probe visits with their pictures, example pictures, formulas."""
    lines = []
    for step in range(0, 100, 10):
        loss = 2.0 / (1 + step) + 0.1
        line = {"step": step, "epoch": 0, "loss": loss, "loss_cls": loss / 2, "loss_box": loss / 2, "grad_norm": 1.0}
        lines.append({**line, "lr": 1e-3, "images_per_second": 100.0, **CLOCKS})
    append_lines(folder / "metrics.jsonl", lines)
    write_table(folder / "assignments.parquet", telemetry(truth, rng))
    for number, step in enumerate((0, 50, 100)):
        rows = pd.concat([probe_rows(o, number, step, rng) for o in truth[truth.image_id < 4].itertuples()])
        if method.assigner.name == "paa":  # every second prior a candidate, the positives among them the cheapest
            cost = np.where(rows.positive_cls, 0.6, 3.0) + rng.normal(0, 0.1, len(rows))
            rows = rows.assign(candidate=rows.positive_cls | (rows.prior % 2 == 0), rule_loss=cost)
        write_table(folder / "probes" / f"visit-{step:08d}.parquet", rows.reset_index(drop=True))
        seen = truth[truth.image_id < 4][["image_id", "object_id", "label", *BOX]].reset_index(drop=True)
        seen = seen.assign(epoch=0, progress=step / 100, object=0, network_area=truth.area[: len(seen)].to_numpy())
        seen = seen.assign(extra=False, shown="")
        rows_shown = telling_objects(seen.image_id.to_numpy(), seen[BOX].to_numpy(float))
        for kind, row in rows_shown.items():
            seen.loc[row, "shown"] = kind
        if method.assigner.name == "paa":
            for what, pair in (("weight", (0.3, 0.7)), ("mean", (1.0, 3.0)), ("variance", (0.2, 0.5))):
                seen = seen.assign(**{f"mixture_{what}_{k}": v for k, v in enumerate(pair)})
        write_table(folder / "probes" / f"objects-{step:08d}.parquet", seen, schema.PROBE_OBJECTS)
        write_table(folder / "probes" / f"shapes-{step:08d}.parquet", shapes_of(step), schema.BOX_SHAPES)
    shown = seen[seen.shown != ""]
    write_table(folder / "probes" / f"grid-{step:08d}.parquet", grids_of(shown, rng), schema.GRIDS)
    for image in range(4):
        ground = rng.integers(60, 140, (SIDE, SIDE, 3)).astype(np.uint8)
        (folder / "examples").mkdir(exist_ok=True)
        for place in ("probes", "examples"):
            Image.fromarray(ground).save(folder / place / f"{image}.png")
    if method.assigner.name == "mutual_guidance":
        x = np.linspace(0, 1, 21)
        curves = [
            pd.DataFrame(
                {"formula": f"amplified IoU, σ = {s}", "curve": f"p = {p:g}", "x": x, "value": x ** ((s - p) / s)}
            )
            for s in (1, 2, 3)
            for p in (0, 0.5, 1)
        ]
        table = pd.concat(curves, ignore_index=True).assign(y=np.nan)
        write_table(folder / "formulas.parquet", table, schema.FORMULAS)


def shapes_of(step: int) -> pd.DataFrame:
    """Two priors of a location on two levels, which part over training."""
    rows = []
    for level, stride in enumerate((8.0, 16.0)):
        for anchor in range(2):
            wide, high = (1 + step / 100, 1.0) if anchor else (1.0, 1 + step / 100)
            row = {"progress": step / 100, "level": level, "anchor": anchor, "stride": stride}
            rows.append({**row, "x1": -wide, "y1": -high, "x2": wide, "y2": high})
    return pd.DataFrame(rows)


def grids_of(shown: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every prior of a level of stride 8 for the objects; scores are highest in the objects' middles."""
    middle = np.arange(4.0, SIDE, 8.0)
    y, x = (v.ravel() for v in np.meshgrid(middle, middle, indexing="ij"))
    parts = []
    for o in shown.to_dict("records"):
        boxes = np.stack([x - 14, y - 14, x + 14, y + 14], axis=1)
        iou = pairwise_iou(boxes, np.array([[o[n] for n in BOX]]))[:, 0]
        away = np.hypot(x - (o["x1"] + o["x2"]) / 2, y - (o["y1"] + o["y2"]) / 2)
        score = np.clip(np.exp(-away / 20) + rng.normal(0, 0.02, len(x)), 0.01, 0.99)
        table = {"image_id": o["image_id"], "object_id": o["object_id"], "prior": np.arange(len(x)), "level": 0}
        table |= {"x": x, "y": y, "stride": 8.0, "cls_score": score, "quality_score": np.nan, "iou": iou}
        parts.append(pd.DataFrame({**table, "positive_cls": score > 0.5, "positive_box": iou > 0.5}))
    return pd.concat(parts, ignore_index=True)


def telemetry(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Sampled objects of training batches."""
    table = truth.loc[truth.index.repeat(3)].reset_index(drop=True)
    cls, box = rng.integers(0, 8, (2, len(table)))
    first = rng.integers(0, cls + 1)
    return pd.DataFrame(
        {
            "step": np.arange(len(table)) % 100, "epoch": 0, "image_id": table.image_id, "object_id": table.object_id,
            "label": table.label, "network_area": table.area, "positives_cls": cls, "positives_box": box,
            "positives_both": np.minimum(cls, box), "level0_cls": first, "level1_cls": cls - first,
            "weight_cls": 1.0,
        }
    )  # fmt: skip


def probe_rows(o: Any, number: int, step: int, rng: np.random.Generator) -> pd.DataFrame:
    """Twelve priors of a probe object at a visit."""
    count = 12
    shift = rng.normal(0, 6, (count, 1))
    box = np.array([o.x1, o.y1, o.x2, o.y2]) + shift
    iou = pairwise_iou(box, np.array([[o.x1, o.y1, o.x2, o.y2]]))[:, 0]
    positive = np.argsort(-iou).argsort() < 3 + number % 2
    cls = np.clip(0.1 + 0.8 * step / 100 * positive + rng.normal(0, 0.04, count), 0.01, 0.99)
    table = {
        "epoch": 0, "progress": step / 100, "image_id": o.image_id, "object_id": o.object_id, "object": 0,
        "label": o.label, "prior": np.arange(count) + 10 * (o.object_id % 17), "level": 0, "cls_score": cls,
        "quality_score": np.nan, "iou": iou, "prior_iou": 0.8 * iou, "positive_cls": positive,
        "positive_box": positive, "ignored_cls": False, "weight_cls": 1.0, "weight_box": 1.0,
        "loss_cls": 1 - cls, "loss_box": 1 - iou,
        **{f"prior_{n}": box[:, i] + 2 for i, n in enumerate(BOX)}, **{n: box[:, i] for i, n in enumerate(BOX)},
    }  # fmt: skip
    return pd.DataFrame(table)
