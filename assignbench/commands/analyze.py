"""`assignbench analyze`: any detector's predictions become records, and get the analyses and the report of a study."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

import assignbench
from assignbench.analysis.estimates import LEAST_SEEDS
from assignbench.commands.folders import in_place_of
from assignbench.commands.prediction_files import Given, beside, named, read_given
from assignbench.commands.reporting import reported
from assignbench.commands.results_folder import check_results
from assignbench.config import Nms
from assignbench.data.predictions import GroundTruth, read_ground_truth, read_predictions
from assignbench.data.suspicion import suspicious_candidates
from assignbench.measure.coco import coco_summary
from assignbench.measure.matching import BOX, overlaps_of
from assignbench.measure.objects import described
from assignbench.records import (
    ImportedConfig,
    ImportedData,
    ImportedMethod,
    finish,
    read_about,
    schema,
    write_config,
    write_json,
    write_table,
)
from assignbench.records.names import file_name
from assignbench.report import build_report

# Detections hold the final score, boxes before NMS what NMS sorts by.
KEPT = ("image_id", "label", "score", "cls_score", "quality_score", *BOX)


@dataclass(frozen=True)
class Read:
    """One file of a method, read: `seed` is its place among them, `cell` the folder's name."""

    method: str
    seed: int
    cell: str
    detections: pd.DataFrame
    before: pd.DataFrame | None


def analyze(options: argparse.Namespace, console: Console) -> int:
    """Reads ground truth and predictions, writes records and the report. Raises InputError for what must be mended.

    All files are read before anything is written, and what is written takes the place of a former result at the end.
    """
    methods = named(read_given(options.predictions, "--predictions"))
    candidates = beside(read_given(options.candidates or [], "--candidates"), methods)
    target: Path = options.out / file_name(f"analyze-{options.name or options.gt.stem}")
    check_results(target)
    former = list(read_about(target).get("baselines", {}))
    truth = read_ground_truth(options.gt)
    classes = tuple(c for c in (options.classes or "").split(",") if c)
    read = partial(read_predictions, truth=truth, form=options.format, classes=classes)
    found = [one for m, boxes in zip(methods, candidates, strict=True) for one in _read(m, boxes, truth, read)]
    truth.left_out.extend(_without_partner(methods))
    for kind, sentences in (("left out", truth.left_out), ("note", truth.notes), ("warning", truth.warnings)):
        for sentence in dict.fromkeys(sentences):
            console.print(f"{kind}: {sentence}", markup=False)
    if former:
        console.print(f"replaces the analysis of {', '.join(former)} in {target}; --name NAME keeps both", markup=False)
    about = _about(options.name or truth.name, methods, found, truth)
    with in_place_of(target, check_results) as folder:
        numbers = {one.cell: _write_cell(folder / one.cell, one, truth, options.nms) for one in found}
        write_json(folder / "study.json", about)
        page, failed = reported(console, partial(build_report, folder))
    _print_numbers(console, found, numbers)
    console.print(f"report: {target / page.relative_to(folder)}", markup=False)
    if truth.left_out:
        first, *more = dict.fromkeys(truth.left_out)
        others = f"; and {len(more)} more of this kind, which the report names" if more else ""
        console.print(f"not everything counts in its numbers: {first}{others}", markup=False)
    return failed


def _read(
    method: Given, candidates: Sequence[Path], truth: GroundTruth, read: Callable[..., pd.DataFrame]
) -> list[Read]:
    """The files of a method, by `read_predictions` with all that the command line says of them."""
    tables = [read(path) for path in method.files]
    found: list[Read] = []
    for seed, (path, table) in enumerate(zip(method.files, tables, strict=True)):
        same = next((k for k in range(seed) if len(table) and tables[k].equals(table)), None)
        if same is not None:
            truth.warnings.append(
                f"{path.name}: holds the same detections as {method.files[same].name}: is it another trained model?"
            )
        before = read(candidates[seed], before_nms=True) if candidates else None
        if before is not None:
            told = suspicious_candidates(table, before)
            truth.warnings.extend(f"{candidates[seed].name}: {w}" for w in told)
        ending = f"-seed{seed}" if len(method.files) > 1 else ""
        cell = file_name(f"imported-{method.name}-{truth.name}{ending}")
        found.append(Read(method.name, seed, cell, table, before))
    return found


def _print_numbers(console: Console, found: Sequence[Read], numbers: Mapping[str, Mapping[str, Any]]) -> None:
    """AP of every file, in per cent: the first thing that anybody asks for."""
    table = Table(box=None)
    several = len({one.method for one in found}) < len(found)
    columns = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
    for column in ("method", *(["file"] if several else []), *columns):
        table.add_column(column, justify="left" if column == "method" else "right")
    for one in found:
        known = [numbers[one.cell].get(column) for column in columns]
        values = ["n/a" if value is None else f"{100 * value:.1f}" for value in known]
        table.add_row(Text(one.method), *([str(one.seed + 1)] if several else []), *values)
    console.print(table, soft_wrap=True)


def _without_partner(methods: Sequence[Given]) -> list[str]:
    """Which files are part of no difference, since the first method has fewer, or more, of them."""
    first = methods[0]
    return [
        f"{m.name} has {len(m.files)} files and {first.name} has {len(first.files)}: their difference rests on the "
        f"first {min(len(m.files), len(first.files))} of each, file by file"
        for m in methods[1:]
        if len(m.files) != len(first.files)
    ]


def _about(study: str, methods: Sequence[Given], found: Sequence[Read], truth: GroundTruth) -> dict[str, Any]:
    """What study.json says."""
    names = [m.name for m in methods]
    where = f"{len(truth.images)} images of {truth.name}"
    asked = f"Where do {', '.join(names)} differ on {where}?"
    return {
        "study": study,
        "title": f"Predictions on {truth.name}",
        "answers": asked if len(names) > 1 else f"What does {names[0]} reach on {where}?",
        "expect": _expected(methods),
        "cost": "none, nothing is trained",
        "version": assignbench.__version__,
        "cells": [one.cell for one in found],
        "baselines": {name: "" if place == 0 else names[0] for place, name in enumerate(names)},
        "imported": True,
        "left_out": list(dict.fromkeys(truth.left_out)),
        "notes": list(dict.fromkeys([*truth.notes, *truth.warnings])),
    }


def _expected(methods: Sequence[Given]) -> str:
    """What the differences to the first method rest on, pair by pair where the methods have not all as many files."""
    first, *others = methods
    counts = {m.name: min(len(m.files), len(first.files)) for m in others or methods}
    if len(set(counts.values())) == 1:
        count = next(iter(counts.values()))
        told = (
            "one trained model each" if count == 1 else f"{count} trained models each, paired in the order of the files"
        )
        return f"differences of {told}{'' if count >= LEAST_SEEDS else ': no verdict on a method can rest on them'}"
    told = ", ".join(f"{count} of {name}" for name, count in counts.items())
    few = [name for name, count in counts.items() if count < LEAST_SEEDS]
    after = f"; no verdict can rest on that of {' or '.join(few)}" if few else ""
    return f"differences to {first.name} of trained models, paired in the order of the files: {told}{after}"


def _write_cell(folder: Path, one: Read, truth: GroundTruth, nms: float) -> dict[str, Any]:
    """Writes a finished cell's records, as far as predictions alone can fill them; returns its summary."""
    objects, detections, before = described(truth.objects), one.detections, one.before
    every = detections if before is None else before
    quality = bool(len(every)) and bool((every.quality_score != 1.0).any())
    method = ImportedMethod(
        name=one.method,
        quality="iou" if quality else None,
        ranking="cls*quality" if quality else "cls",
        nms=Nms(iou=nms),
    )
    config = ImportedConfig(seed=one.seed, method=method, data=ImportedData(name=truth.name))
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
    return summary
