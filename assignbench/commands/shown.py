"""What `assignbench show` draws: what methods assign on an image, and anchors as in Mutual Guidance, Fig. 2."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assignbench import methods as known_methods
from assignbench.commands.scenes import scene_cache
from assignbench.config import LocalPaths
from assignbench.contract import Context
from assignbench.data.base import DetectionData
from assignbench.data.stream import Batch, evaluation_batches
from assignbench.engine import checkpoint
from assignbench.engine.cell import Cell, build_cell
from assignbench.engine.probing import probe_tables
from assignbench.errors import InputError, nearest
from assignbench.methods import Built, build, resolve
from assignbench.records import CellRecord, read_json
from assignbench.records.store import REDO
from assignbench.report import pictures
from assignbench.study.grid import cells_of
from assignbench.study.reading import read_study

SHOWN = 13


def draw(options: argparse.Namespace, console: Console, trained: bool) -> int:
    """Draws a picture of an image's assignment, or of one object's anchors, and prints the numbers beside it."""
    wanted = [m for m in (options.methods or "").split(",") if m]
    cell = _trained(options.target) if trained else _untrained(options, wanted)
    data, index = _find(cell, options.image)
    (batch,) = evaluation_batches(data, [index], cell.config.data, 1, training=True)
    name = data.images[index].name
    context = Context(progress=1.0 if trained else 0.0, image_ids=batch.image_ids, image_hw=batch.sizes[0])
    if options.what == "anchors":
        return _anchors(cell, batch, context, options, console, name)
    methods = {n: _fitting(n, cell) for n in wanted} or {cell.config.method.name: cell.learner.method}
    tables = {n: probe_tables(cell.learner.detector, m, [batch], context)[0] for n, m in methods.items()}
    path = pictures.assignment_picture(tables, batch.images[0].permute(1, 2, 0).numpy(), _boxes(batch), options.picture)
    _print_counts(console, tables, batch, data.classes, name)
    console.print(f"picture: {path}", markup=False)
    return 0


def _trained(folder: Path) -> Cell:
    """A finished cell with its final weights. Raises InputError where these are gone."""
    weights = folder / "checkpoint" / checkpoint.FINAL
    if not weights.is_file():  # looked for first: building the cell renders scenes
        raise InputError(f"{weights}: the cell's weights are not there; {REDO}")
    local = LocalPaths.model_validate(read_json(folder / "local.json"))
    local = local.model_copy(update={"cache": str(scene_cache(folder) or "")})
    cell = build_cell(folder, CellRecord(folder).trained, local, "cpu")
    checkpoint.load_final(folder / "checkpoint", cell.learner.model)
    return cell


def _fitting(name: str, cell: Cell) -> Built:
    """A method by its preset's name. Raises InputError unless it works on the cell's detector and quality head."""
    method = resolve(name)
    known_methods.check(method.model_copy(update={"quality": cell.config.method.quality}), cell.config.detector.spec)
    return build(method)


def _untrained(options: argparse.Namespace, methods: list[str]) -> Cell:
    """The first cell of a study with its initial weights: enough for methods that do not read predictions."""
    study = read_study(options.target, data=options.data)
    cache = Path("runs/.cache")
    found = cells_of(study, known_methods, cache=cache.resolve() if cache.is_dir() else None)
    for name in methods:
        resolve(name)
    chosen = next((c for c in found if c.config.method.name in methods), found[0])
    return build_cell(Path(), chosen.config, chosen.paths, "cpu")


def _find(cell: Cell, wanted: str | None) -> tuple[DetectionData, int]:
    """The image of that name or id in the test or training split; the first with two objects if none is named."""
    splits = (cell.test, cell.train)
    if wanted is None:
        record = max(range(min(50, len(cell.test))), key=lambda i: min(len(cell.test.images[i].labels), 4))
        return cell.test, record
    for data in splits:
        for index, image in enumerate(data.images):
            if wanted in (image.name, Path(image.name).stem, str(image.id)):
                return data, index
    known = [i.name for data in splits for i in data.images]
    raise InputError(f"no image '{wanted}' in {cell.config.data.name}{nearest(wanted, known)[:400]}")


def _boxes(batch: Batch) -> list[list[float]]:
    boxes: list[list[float]] = batch.objects.boxes[0][batch.objects.valid[0]].tolist()
    return boxes


def _print_counts(
    console: Console, tables: dict[str, pd.DataFrame], batch: Batch, classes: tuple[str, ...], name: str
) -> None:
    """Positives per object, task and level, one row per object and method."""
    levels = sorted({int(v) for t in tables.values() for v in t.level.unique()})
    table = Table(title=f"{name}: positives per object", box=None)
    for column in ("object", "class", "method", "cls", "box", *(f"level {v}" for v in levels)):
        table.add_column(column, justify="right" if column not in ("class", "method") else "left")
    labels = batch.objects.labels[0][batch.objects.valid[0]].tolist()
    for number, label in enumerate(labels):
        for method, rows in tables.items():
            mine = rows[rows.object == number]
            cls, box = int(mine.positive_cls.sum()), int(mine.positive_box.sum())
            per_level = [str(int(mine[mine.level == v].positive_cls.sum())) for v in levels]
            shown = [Text(f"{v} orphan", style="red") if v == 0 else str(v) for v in (cls, box)]
            table.add_row(str(number), classes[label], method, *shown, *per_level)
    console.print(table, soft_wrap=True)


def _anchors(
    cell: Cell, batch: Batch, context: Context, options: argparse.Namespace, console: Console, name: str
) -> int:
    """The anchors that overlap an object most, with IoU, regressed IoU, class score and amplified IoU (Eq. 1)."""
    rows, _ = probe_tables(cell.learner.detector, cell.learner.method, [batch], context)
    mine = rows[rows.object == options.object].sort_values("prior_iou", ascending=False, kind="stable").head(SHOWN)
    if mine.empty:
        raise InputError(
            f"image {name} has no object {options.object} with an anchor; it has {len(_boxes(batch))} objects"
        )
    sigma = 2.0
    amplified = mine.prior_iou ** ((sigma - mine.cls_score) / sigma)
    table = Table(title=f"{name}, object {options.object}", box=None)
    for column in ("anchor", "IoU_anchor", "IoU_regressed", "score", "IoU_amplified"):
        table.add_column(column, justify="right")
    for place, (row, value) in enumerate(zip(mine.itertuples(index=False), amplified, strict=True)):
        numbers = (row.prior_iou, row.iou, row.cls_score, value)
        table.add_row(chr(ord("A") + place), *(f"{100 * v:.0f}%" for v in numbers))
    console.print(table, soft_wrap=True)
    pixels: Any = batch.images[0].permute(1, 2, 0).numpy()
    path = pictures.anchor_picture(
        mine.assign(amplified=amplified), pixels, _boxes(batch)[options.object], options.picture
    )
    console.print(f"picture: {path}", markup=False)
    return 0
