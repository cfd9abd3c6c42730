"""What `assignbench show` draws of networks: what methods assign on an image, and anchors (Mutual Guidance, Fig. 2)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assignbench.commands.scenes import scene_cache
from assignbench.errors import InputError
from assignbench.report import pictures
from assignbench.view import View, open_view

SIGMA = 2.0  # Mutual Guidance's own choice in Eq. 1, whatever the method that is looked at
SHOWN = 13


def draw(options: argparse.Namespace, console: Console, trained: bool) -> int:
    """Draws a picture of an image's assignment, or of one object's anchors, and prints the numbers beside it."""
    wanted = [m for m in (options.methods or "").split(",") if m]
    cache = scene_cache(options.target) if trained else _cache_here()
    view = open_view(options.target, image=options.image, data=options.data, methods=wanted, cache=cache)
    if options.what == "anchors":
        return _anchors(view, options, console)
    names, shown = wanted or view.shown_methods(), _objects_of(view, options.object)
    tables = {name: view.table(name) for name in names}
    tables = {name: table[table.object.isin(shown)] for name, table in tables.items()}
    path = pictures.assignment_picture(tables, view.pixels, [view.boxes[i] for i in shown], options.picture)
    _print_counts(console, tables, view, shown)
    left = [name for name in view.methods if name not in names]
    if left and not wanted:
        console.print(f"not drawn: {', '.join(left)}; name up to four with --methods", markup=False)
    console.print(f"picture: {path}", markup=False)
    return 0


def _cache_here() -> Path | None:
    """The scenes that a run in this folder has rendered, if there was one."""
    cache = Path("runs/.cache")
    return cache.resolve() if cache.is_dir() else None


def _objects_of(view: View, asked: int | None) -> list[int]:
    """The one object that is asked for, or all. Raises InputError for one that the image does not have."""
    count = len(view.boxes)
    if asked is None:
        return list(range(count))
    if asked >= count:
        there = f"0 to {count - 1}" if count > 1 else "0 alone" if count else "none"
        raise InputError(f"--object {asked}: image {view.name} has no object {asked}; it has {there}")
    return [asked]


def _print_counts(console: Console, tables: dict[str, pd.DataFrame], view: View, shown: Sequence[int]) -> None:
    """Positives per object, task and level, one row per object and method."""
    levels = sorted({int(v) for t in tables.values() for v in t.level.unique()})
    moment = "at the end of training" if view.trained else "before training"
    table = Table(title=f"{view.name}: positives per object, {moment}", box=None)
    for column in ("object", "class", "method", "cls", "box", *(f"level {v}" for v in levels)):
        table.add_column(column, justify="right" if column not in ("class", "method") else "left")
    for number in shown:
        for method, rows in tables.items():
            mine = rows[rows.object == number]
            cls, box = int(mine.positive_cls.sum()), int(mine.positive_box.sum())
            per_level = [str(int(mine[mine.level == v].positive_cls.sum())) for v in levels]
            told = [Text(f"{v} orphan", style="red") if v == 0 else str(v) for v in (cls, box)]
            table.add_row(str(number), view.classes[view.labels[number]], method, *told, *per_level)
    console.print(table, soft_wrap=True)


def _anchors(view: View, options: argparse.Namespace, console: Console) -> int:
    """The anchors that overlap an object most, with IoU, regressed IoU, class score and amplified IoU (Eq. 1)."""
    (number,) = _objects_of(view, options.object or 0)
    rows = view.table()
    mine = rows[rows.object == number].sort_values("prior_iou", ascending=False, kind="stable").head(SHOWN)
    if mine.empty:
        raise InputError(f"--object {number}: no anchor overlaps this object of image {view.name}")
    amplified = mine.prior_iou ** ((SIGMA - mine.cls_score) / SIGMA)
    table = Table(title=f"{view.name}, object {number}", box=None)
    for column in ("anchor", "IoU_anchor", "IoU_regressed", "score", f"IoU_amplified (σ = {SIGMA:g})"):
        table.add_column(column, justify="right")
    for place, (row, value) in enumerate(zip(mine.itertuples(index=False), amplified, strict=True)):
        numbers = (row.prior_iou, row.iou, row.cls_score, value)
        table.add_row(chr(ord("A") + place), *(f"{100 * v:.0f}%" for v in numbers))
    console.print(table, soft_wrap=True)
    path = pictures.anchor_picture(mine.assign(amplified=amplified), view.pixels, view.boxes[number], options.picture)
    console.print(f"picture: {path}", markup=False)
    return 0
