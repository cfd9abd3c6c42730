"""`assignbench analyze`: any detector's predictions become records, and get the analyses and the report of a study."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from rich.console import Console

import assignbench
from assignbench.commands.folders import in_place_of
from assignbench.commands.reporting import reported
from assignbench.commands.results_folder import check_results
from assignbench.config import Nms
from assignbench.data.predictions import GroundTruth, read_ground_truth, read_predictions
from assignbench.data.suspicion import suspicious_candidates
from assignbench.errors import InputError
from assignbench.measure.coco import coco_summary
from assignbench.measure.matching import BOX, overlaps_of
from assignbench.measure.objects import described
from assignbench.records import (
    ImportedConfig,
    ImportedData,
    ImportedMethod,
    finish,
    schema,
    write_config,
    write_json,
    write_table,
)
from assignbench.records.names import file_name
from assignbench.report import build_report

# Detections hold the final score, boxes before NMS what NMS sorts by.
KEPT = ("image_id", "label", "score", "cls_score", "quality_score", *BOX)


def analyze(options: argparse.Namespace, console: Console) -> int:
    """Reads ground truth and predictions, writes records and the report. Raises InputError for what must be mended.

    All files are read before anything is written, and what is written takes the place of a former result at the end.
    """
    files: list[Path] = options.predictions
    candidates: list[Path] = options.candidates or []
    if candidates and len(candidates) != len(files):
        raise InputError(
            f"--candidates names {len(candidates)} files for {len(files)} prediction files; give one for each, in order"
        )
    target: Path = options.out / file_name(f"analyze-{options.name or options.gt.stem}")
    check_results(target)
    names = _names(files)
    truth = read_ground_truth(options.gt)
    found = [read_predictions(path, truth) for path in files]
    before = [read_predictions(path, truth) for path in candidates] or [None] * len(files)
    for path, detections, boxes in zip(candidates, found, before, strict=False):
        if boxes is not None:
            truth.warnings.extend(f"{path.name}: {w}" for w in suspicious_candidates(detections, boxes))
    for kind, sentences in (("note", truth.notes), ("warning", truth.warnings)):
        for sentence in dict.fromkeys(sentences):
            console.print(f"{kind}: {sentence}", markup=False)
    study = options.name or truth.name
    cells = [file_name(f"imported-{name}-{truth.name}") for name in names]
    about = {
        "study": study,
        "title": f"Predictions on {truth.name}",
        "answers": f"Where do {', '.join(names)} differ on {len(truth.images)} images of {truth.name}?",
        "expect": "differences of one trained model each: no verdict on a method can rest on them",
        "cost": "none, nothing is trained",
        "version": assignbench.__version__,
        "cells": cells,
        "baselines": {name: "" if place == 0 else names[0] for place, name in enumerate(names)},
        "imported": True,
        "notes": [*truth.notes, *truth.warnings],
    }
    with in_place_of(target, check_results) as folder:
        for cell, name, detections, boxes in zip(cells, names, found, before, strict=True):
            _write_cell(folder / cell, name, truth, detections, boxes, options)
        write_json(folder / "study.json", about)
        page, failed = reported(console, partial(build_report, folder))
    console.print(f"report: {target / page.relative_to(folder)}", markup=False)
    return failed


def _names(files: Sequence[Path]) -> list[str]:
    """A name per file: its stem, with the folder's name before it where stems repeat."""
    stems = [p.stem for p in files]
    if len(set(stems)) == len(stems):
        return stems
    longer = [f"{p.resolve().parent.name}-{p.stem}" for p in files]
    if len(set(longer)) < len(longer):
        raise InputError(f"two prediction files are called {longer[0]}; rename one")
    return longer


def _write_cell(
    folder: Path,
    name: str,
    truth: GroundTruth,
    detections: pd.DataFrame,
    before: pd.DataFrame | None,
    options: argparse.Namespace,
) -> None:
    """A finished cell's records, as far as predictions alone can fill them."""
    objects = described(truth.objects)
    every = detections if before is None else before
    quality = bool(len(every)) and bool((every.quality_score != 1.0).any())
    method = ImportedMethod(
        name=name,
        quality="iou" if quality else None,
        ranking="cls*quality" if quality else "cls",
        nms=Nms(iou=options.nms),
    )
    config = ImportedConfig(method=method, data=ImportedData(name=truth.name))
    overlaps = overlaps_of(truth.images, objects, detections, len(truth.classes))
    summary = coco_summary(overlaps, truth.classes, config.evaluation.max_detections)
    write_config(folder, config)
    write_json(folder / "environment.json", {"classes": list(truth.classes), "class_agnostic": False})
    write_table(folder / "images.parquet", truth.images, schema.IMAGES)
    write_table(folder / "objects.parquet", objects, schema.OBJECTS)
    write_table(folder / "detections.parquet", detections[list(KEPT)], schema.DETECTIONS)
    if before is not None:
        ranked = before[list(KEPT)].rename(columns={"score": "ranking_score"})
        write_table(folder / "pre_nms.parquet", ranked, schema.PRE_NMS)
    write_json(folder / "summary.json", summary)
    finish(folder)
