"""`assignbench export CELL --out FOLDER`: a cell's detections as a COCO result file, and its weights, for others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

import assignbench
from assignbench.commands.folders import check_there, in_place_of
from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.inputs import FileGroup
from assignbench.data.base import within
from assignbench.data.instances import read_instances
from assignbench.data.unannotated import read_unannotated
from assignbench.errors import InputError
from assignbench.measure.coco import coco_ground_truth, coco_results
from assignbench.records import CellRecord, TableSchema, read_json, write_bytes, write_text
from assignbench.records.files import digest_of
from assignbench.records.identity import read_inputs, read_listing
from assignbench.records.schema import DETECTIONS as DETECTED, IMAGES, OBJECTS
from assignbench.records.store import REDO

DETECTIONS, ANNOTATIONS, WEIGHTS = "detections.json", "annotations.json", "weights.safetensors"
FILES = (DETECTIONS, ANNOTATIONS, WEIGHTS)
MOST_NAMED = 5


def export(options: argparse.Namespace, console: Console) -> int:
    """Writes the folder, which is there whole or not at all. Raises InputError for what cannot be exported.

    Everything is read and made before anything is written.
    """
    check_there(options.cell, "cell ")
    record = CellRecord(options.cell, thorough=True)
    config = record.trained  # what other records hold is refused first: imported ones, those of another format
    record.require_done()
    target: Path = options.out.resolve()  # a link to a folder stays one
    _check_target(target)
    _check_options(options, config)
    if options.images is None:
        files, fits = _tested(record, config, options.root, console)
    else:
        files, fits = _on_images(record, config, options, console)
    weights = _weights(record, config)
    with in_place_of(target, _check_target) as folder:
        for name, content in files.items():
            write_text(folder / name, json.dumps(content, allow_nan=False) + "\n")
        write_bytes(folder / WEIGHTS, weights)
    console.print(f"detections: {target / DETECTIONS}, {len(files[DETECTIONS])} boxes", markup=False)
    console.print(f"they fit: {fits or target / ANNOTATIONS}\nweights: {target / WEIGHTS}", markup=False)
    return 0


def _check_target(target: Path) -> None:
    """A folder with anything else in it is somebody's: nothing in it is replaced, nor the folder one stands in."""
    if target == Path.cwd():
        raise InputError(f"--out {target}: is the current folder; name a new one")
    others = sorted(p.name for p in target.iterdir() if p.name not in FILES) if target.is_dir() else []
    if others:
        told = ", ".join(others[:MOST_NAMED]) + (", ..." if len(others) > MOST_NAMED else "")
        raise InputError(f"--out {target}: holds other files ({told}); name a new folder")


def _check_options(options: argparse.Namespace, config: CellConfig) -> None:
    """An option that would do nothing, or that lacks another one, is refused."""
    if options.images is not None and options.root is None:
        raise InputError("--images needs --root: the folder that holds the pictures of that file")
    if options.images is None and options.device != "auto":
        raise InputError("--device does nothing without --images: the detections of the test split are there already")
    if options.images is None and options.root is not None and config.data.kind != "coco":
        raise InputError(
            f"--root does nothing for data of kind '{config.data.kind}', which are exported from the records"
        )


def _tested(
    record: CellRecord, config: CellConfig, root: Path | None, console: Console
) -> tuple[dict[str, Any], Path | None]:
    """The detections of the test split, and the user's annotation file that they fit.

    Where there is no such file (other data than COCO's), or a detector sees one class alone, the file that they fit is
    written too: ids of images as in the records, categories counted from 1 in the order of the classes.
    """
    classes, agnostic = _classes(record)
    names = ["object"] if agnostic else classes
    results = coco_results(_table(record, DETECTED, len(names)))
    images, objects = _table(record, IMAGES), _table(record, OBJECTS, len(classes))
    if config.data.kind == "coco" and not agnostic:
        path = _annotations(record, config, root)
        found = read_instances(path, bare=not record.measurable)
        ids = {name: number for number, name in found.categories.items()}
        tested, there = set(images.image_id.tolist()), set(found.images.tolist())
        if not tested <= there or not set(names) <= set(ids):
            raise InputError(f"{path}: lacks images or categories that the cell was tested on; name the right --root")
        _warn(path, len(there - tested), len(set(ids) - set(names)), console)
        return {DETECTIONS: _numbered(results, [ids[name] for name in names])}, path
    truth = coco_ground_truth(images, objects.assign(label=0) if agnostic else objects, names)
    difficult = int((objects.difficult & ~objects.crowd).sum())
    if difficult:
        told = "are ignored in the cell's AP, and have `ignore` in that file; pycocotools by itself counts them"
        console.print(f"note: {difficult} difficult object{'s' * (difficult != 1)} {told}", markup=False)
    for entry, name in zip(truth["images"], images["name"], strict=True):
        entry["file_name"] = str(name)
    return {DETECTIONS: results, ANNOTATIONS: truth}, None


def _warn(path: Path, images: int, categories: int, console: Console) -> None:
    """Where the file holds more than the cell was tested on, its AP is another one than the cell's."""
    for count, what, why in (
        (images, "images", "left out of the test split as unusable"),
        (categories, "categories", "not among the classes of the study"),
    ):
        if count:
            console.print(f"note: {path.name} holds {count} {what} {why}; AP on all of it counts them", markup=False)


def _on_images(
    record: CellRecord, config: CellConfig, options: argparse.Namespace, console: Console
) -> tuple[dict[str, Any], Path]:
    """The detections on the images of a file without annotations, by the names of its categories."""
    classes, agnostic = _classes(record)
    names = ["object"] if agnostic else classes
    data, ids = read_unannotated(options.images, options.root, tuple(classes))
    missing = [name for name in names if name not in ids]
    if missing:
        raise InputError(
            f"{options.images}: has no category '{missing[0]}', which the cell detects (categories of the file: "
            f"{', '.join(list(ids)[:MOST_NAMED]) or 'none'}); give the file the categories, with the ids that the "
            "results shall have"
        )
    from assignbench.commands.devices import choose_device
    from assignbench.engine.detecting import detect

    device, line = choose_device(options.device)
    console.print(line, markup=False)
    found = detect(record.folder, config, data, device, lambda text: console.print(text, markup=False))
    return {DETECTIONS: _numbered(coco_results(found), [ids[name] for name in names])}, options.images


def _classes(record: CellRecord) -> tuple[list[str], bool]:
    """The classes in the order of their labels, and whether the detector sees one class alone. Raises InputError."""
    about = record.environment
    if "classes" not in about:
        raise InputError(f"{record.folder / 'environment.json'}: names no classes; {REDO}")
    return [str(name) for name in about["classes"]], bool(about["class_agnostic"])


def _table(record: CellRecord, schema: TableSchema, labels: int | None = None) -> pd.DataFrame:
    """A table of the records, checked, whose labels are below `labels`. Raises InputError for one that is spoilt."""
    path = str(record.folder / schema.file)
    table = schema.table(record.table(schema.name), path)
    numbers = table.select_dtypes("number")[[c for c in ("x1", "y1", "x2", "y2", "score", "area") if c in table]]
    sound = bool(np.isfinite(numbers.to_numpy(float)).all())
    if not sound or (labels is not None and not table.label.between(0, labels - 1).all()):
        raise InputError(f"{path}: holds numbers that are not finite, or labels of no class; {REDO}")
    return table


def _numbered(results: Sequence[Mapping[str, Any]], ids: Sequence[int]) -> list[dict[str, Any]]:
    """Results whose categories count from 1, with the ids of an annotation file."""
    return [{**entry, "category_id": ids[entry["category_id"] - 1]} for entry in results]


def _annotations(record: CellRecord, config: CellConfig, root: Path | None) -> Path:
    """The annotation file of the cell's COCO test split. Raises InputError where it is not there or was changed."""
    local = LocalPaths.model_validate(read_json(record.folder / "local.json")) if root is None else None
    split = config.evaluation.split
    name = config.data.pairs(split)[0][0]
    path = within(root or Path(local.root if local else ""), name, f"{record.folder / 'config.json'}, data.{split}")
    if not path.is_file():
        raise InputError(
            f"{path}: the annotation file that the cell was tested on is not there, and the ids of its categories are "
            "needed; name the root of the data set with --root"
        )
    group: FileGroup = "val annotations" if split == "val" else "test annotations"
    listed = read_listing(record.folder, read_inputs(record.folder)).get(group, {})
    if name in listed and listed[name] != digest_of(path):
        raise InputError(f"{path}: has changed since the cell was tested on it; name the former's root with --root")
    return path


def _weights(record: CellRecord, config: CellConfig) -> bytes:
    """The final weights. What is needed to use them stands in the metadata, as texts and as JSON."""
    from safetensors.numpy import load, save

    classes, agnostic = _classes(record)
    content = load((record.folder / "checkpoint" / WEIGHTS).read_bytes())
    about = {
        "format": "pt",
        "version": assignbench.__version__,
        "cell": record.id,
        "classes": json.dumps(classes),
        "class_agnostic": json.dumps(agnostic),
        "detector": config.detector.model_dump_json(),
        "method": config.method.model_dump_json(),
        "data": config.data.model_dump_json(exclude={"root", "title", "obtain"}),
        "evaluation": config.evaluation.model_dump_json(),
    }
    return bytes(save({name.removeprefix("detector."): values for name, values in content.items()}, about))
