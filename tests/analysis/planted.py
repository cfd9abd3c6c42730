"""Record folders with planted content, for tests whose answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from assignbench.analysis import StudyRecord, read_study_record
from assignbench.config import CellConfig, DataSpec, DetectorConfig, MethodConfig, Nms, Part, Schedule, Voting
from assignbench.config.detector import BackboneSpec, DetectorSpec, HeadSpec, PriorSpec
from assignbench.config.evaluation import Evaluation
from assignbench.measure.boxes import aspect_ratio
from assignbench.measure.coco import coco_numbers
from assignbench.measure.correlation import rank_correlation
from assignbench.measure.crowding import crowdedness
from assignbench.measure.matching import BOX, overlaps_of
from assignbench.records import TableSchema, finish, write_config, write_json, write_table

READ = Evaluation()


def boxes_table(rows: list[tuple], columns: str = "") -> pd.DataFrame:
    """Rows (image_id, label, x1, y1, x2, y2, ...) with the names of further columns."""
    return pd.DataFrame(rows, columns=["image_id", "label", *BOX, *columns.split()])


def objects_table(rows: list[tuple], columns: str = "", **more: object) -> pd.DataFrame:
    """An object table with every column that analyses read; `more` replaces what would be computed."""
    table = boxes_table(rows, columns)
    table["object_id"] = np.arange(len(table)) + 1
    table["area"] = (table.x2 - table.x1) * (table.y2 - table.y1)
    table["aspect_ratio"] = aspect_ratio(table[BOX].to_numpy(float))
    table["crowdedness"] = crowdedness(table.image_id.to_numpy(np.int64), table[BOX].to_numpy(float))
    table["image_crowdedness"] = table.groupby("image_id").crowdedness.transform("max")
    table["objects_in_image"] = table.groupby("image_id").object_id.transform("size")
    return table.assign(**{"crowd": False, "difficult": False, **more})


def images_of(objects: pd.DataFrame, *, more: tuple[int, ...] = ()) -> pd.DataFrame:
    """The images that objects name."""
    ids = sorted({*objects.image_id.tolist(), *more})
    return pd.DataFrame({"image_id": ids, "name": [f"{i}.png" for i in ids], "width": 200, "height": 200})


def method_of(
    name: str, *, quality: str | None = None, nms: Nms | None = None, voting: Voting | None = None, criterion: str = ""
) -> MethodConfig:
    """A method that differs from the others of a planted study in its assigner's name alone, or as said."""
    parts = {"quality": quality, "ranking": "cls*quality" if quality else "cls", "nms": nms or Nms(), "voting": voting}
    loss = Part(name=criterion or "dense")
    return MethodConfig.model_validate(
        {"name": name, "preset": name, "assigner": Part(name=name), "criterion": loss, **parts}
    )


def config_of(method: MethodConfig, seed: int, detector: str, data: str, evaluation: Evaluation = READ) -> CellConfig:
    """A cell's configuration; detector and data are named, never built."""
    priors = PriorSpec(kind="anchor", scales=(2.5,), ratios=(1.0,))
    spec = DetectorSpec(family="retinanet", backbone=BackboneSpec(name="slim"), head=HeadSpec(), priors=priors)
    return CellConfig(
        seed=seed,
        detector=DetectorConfig(name=detector, label=detector, spec=spec),
        method=method,
        data=DataSpec(name=data, kind="coco", size=100),
        schedule=Schedule(steps=1),
        evaluation=evaluation,
    )


def write_cell(
    study: Path,
    method: str | MethodConfig,
    seed: int,
    objects: pd.DataFrame,
    detections: pd.DataFrame,
    *,
    classes: tuple[str, ...] = ("thing",),
    pre_nms: pd.DataFrame | None = None,
    candidates: pd.DataFrame | None = None,
    quality: str | None = None,
    detector: str = "net",
    data: str = "planted",
    evaluation: Evaluation = READ,
    summary: Mapping[str, object] | None = None,
    environment: Mapping[str, object] | None = None,
) -> Path:
    """One finished cell; scores apart default to the score. `summary` and `environment` add to these files."""
    made = method_of(method, quality=quality) if isinstance(method, str) else method
    folder = study / f"{detector}-{made.name}-{data}-seed{seed}"
    images = images_of(objects)

    def completed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(
            cls_score=table.get("cls_score", table.score), quality_score=table.get("quality_score", 1.0)
        )

    def before(table: pd.DataFrame) -> pd.DataFrame:
        return completed(table).rename(columns={"score": "ranking_score"})

    if candidates is not None:
        objects = objects.merge(rank_correlation(candidates), how="left", on="object_id")
        write_table(folder / "candidates.parquet", candidates)
    if pre_nms is not None:
        write_table(folder / "pre_nms.parquet", before(pre_nms))
    numbers = coco_numbers(overlaps_of(images, objects, detections, len(classes)))
    write_config(folder, config_of(made, seed, detector, data, evaluation))
    about = {"classes": list(classes), "class_agnostic": False, **(environment or {})}
    write_json(folder / "environment.json", about)
    known = {k: None if np.isnan(v) else v for k, v in numbers.items()}
    write_json(folder / "summary.json", {**known, **(summary or {})})
    write_table(folder / "images.parquet", images)
    write_table(folder / "objects.parquet", objects)
    write_table(folder / "detections.parquet", completed(detections))
    finish(folder)
    return folder


def write_diverged(study: Path, method: str, seed: int, *, detector: str = "net", data: str = "planted") -> Path:
    """A cell whose training diverged."""
    folder = study / f"{detector}-{method}-{data}-seed{seed}"
    write_config(folder, config_of(method_of(method), seed, detector, data))
    write_json(folder / "status.json", {"state": "diverged", "reason": "loss is not finite"})
    return folder


def filled(table: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """The table with every column that its file has, empty ones where a test has nothing to say."""
    empty = {"int": 0, "float": 0.0, "bool": False}
    missing = [c for c in schema.columns if not c.optional and not any(c.covers(n) for n in table.columns)]
    return table.assign(**{c.name.replace("{n}", "0"): empty[c.type] for c in missing})


def study_of(
    folder: Path, methods: tuple[str, ...], claims: tuple[str, ...] = (), baselines: dict[str, str] | None = None
) -> StudyRecord:
    """The record of the cells under a folder, methods in the given order; the first one is the others' baseline."""
    cells = sorted(p.name for p in folder.iterdir() if p.is_dir())
    cells.sort(key=lambda name: next(i for i, m in enumerate(methods) if f"-{m}-" in name))
    named = baselines or {m: "" if m == methods[0] else methods[0] for m in methods}
    about = {"study": "planted", "cells": cells, "claims": [{"claim": c} for c in claims], "baselines": named}
    write_json(folder / "study.json", about)
    return read_study_record(folder)
