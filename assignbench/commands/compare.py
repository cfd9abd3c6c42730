"""`assignbench compare CELL CELL`: where two finished cells differ, by group and by image, with a sheet of pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from assignbench.analysis import CellData
from assignbench.analysis.classes import class_curves, held_by_class
from assignbench.analysis.estimates import Measured, estimates
from assignbench.analysis.images import MOST, ends, image_differences
from assignbench.analysis.measures import LEAST_IMAGES, REPLICATES, freedom_of, measured, replicated
from assignbench.analysis.parts import STANDARD_AREAS, area_groups, object_groups, sampled
from assignbench.commands.folders import check_there
from assignbench.commands.pixels import Pixels
from assignbench.errors import InputError
from assignbench.measure.groups import CROWDING, ELONGATION
from assignbench.measure.matching import Floats
from assignbench.records import CellRecord, write_table, write_text
from assignbench.report.render.markdown import markdown_table
from assignbench.report.tables import tidy_table

LONGEST_SIDE = 65_535  # px


def compare(options: argparse.Namespace, console: Console) -> int:
    """Prints the differences by group, writes them and the picture sheet. Raises InputError for unusable cells."""
    for path in options.cells:
        check_there(path, "cell ")
    if options.images is not None:
        check_there(options.images, "--images ")
    if (options.out / "config.json").exists():
        raise InputError(f"{options.out}: is a cell's folder, whose tables would be replaced; name another --out")
    first, second = (_open(path) for path in options.cells)
    if first.cell.folder.resolve() == second.cell.folder.resolve():
        raise InputError(f"{options.cells[0]}: is compared with itself; name two cells")
    if not first.images.image_id.equals(second.images.image_id) or len(first.objects) != len(second.objects):
        raise InputError(
            f"{first.cell.id} and {second.cell.id} were tested on different images; compare cells of one data set"
        )
    for cell in (first.cell, second.cell):
        if cell.own_id not in ("", cell.id):
            console.print(f"note: {cell.folder} holds cell {cell.own_id}", markup=False)
    out: Path = options.out
    groups = group_differences(first, second)
    table = tidy_table(f"{second.cell.id} minus {first.cell.id}", groups, UNITS, [RULE, NOTE])
    text = markdown_table(table)
    images = image_differences(first, second)
    from assignbench.report.sheet import difference_sheet  # what draws is loaded once there is something to draw

    chosen = ends(images)
    chosen = chosen if len(chosen) else images.head(MOST)  # where they never differ, the first images show it
    # First of all, because a picture may be missing: then nothing is printed or written.
    path = difference_sheet(first, second, chosen, Pixels(first, options.images), out / "compare.jpg")
    console.print(text, markup=False)
    write_text(out / "compare.md", text + "\n")
    write_table(out / "images.parquet", images)
    console.print(f"pictures: {path}\ntables: {out / 'compare.md'}, {out / 'images.parquet'}", markup=False)
    return 0


UNITS = {name: "AP" for name in ("AP_first", "AP_second", "difference", "low", "high")}
RULE = (
    "AP of a group: objects outside it are left out, an unmatched detection counts with the group's share of the "
    "objects of its class (the report's rule); areas by COCO's rule."
)
NOTE = (
    f"low, high: 95 % interval around the difference for other test images (jackknife, {REPLICATES} replicates) "
    "of this one trained pair; it says nothing about other seeds. Not for a group or class "
    f"of which fewer than {LEAST_IMAGES} images hold an object."
)


def _open(path: Path) -> CellData:
    record = CellRecord(path, thorough=True)
    record.require_done()
    if not record.measurable:
        raise InputError(
            f"{path}: its test split has no annotations, so nothing can be compared; name cells of another data set"
        )
    cell = CellData(record)
    cell.check()
    for about in cell.images[
        ~cell.images[["width", "height"]].isin(range(1, LONGEST_SIDE + 1)).all(axis=1)
    ].itertuples():
        raise InputError(
            f"{path / 'images.parquet'}: image {about.image_id} is {about.width} x {about.height} px, which no picture "
            f"is (1 to {LONGEST_SIDE}); the records are spoilt, run the cell again"
        )
    return cell


def group_differences(first: CellData, second: CellData) -> pd.DataFrame:
    """by, group, objects, AP of both, difference, low, high: all objects, crowdedness, aspect ratio, area, class.

    The groups, their rules and what is told of other images are the report's (`analysis.parts`).
    """
    count = len(first.images)
    rows = [_row("all", "all", len(first.objects), _of_whole(count), _of_all(first), _of_all(second))]
    grouped = (
        ("crowdedness", object_groups(CROWDING, first)),
        ("aspect ratio", object_groups(ELONGATION, first)),
        ("area", area_groups(STANDARD_AREAS, first)),
    )
    for by, parts in grouped:
        for part in (p for p in parts if p.about["objects"]):
            curves = (part.curve(cell)[:, 0] for cell in (first, second))
            rows.append(_row(by, part.name, int(part.about["objects"]), _of_part(part.images), *curves))
    images = held_by_class(first)[0]
    for label, name in enumerate(first.classes):
        objects = int((first.objects.label == label).sum())
        if objects and len(first.classes) > 1:
            curves = (class_curves(cell)[:, label] for cell in (first, second))
            rows.append(_row("class", name, objects, _of_part(int(images[label])), *curves))
    return pd.DataFrame(rows)


def _of_all(cell: CellData) -> Floats:
    """AP [1 + R] of all images, as it was recorded, and of their replicates."""
    return np.asarray(np.r_[measured(cell, "AP"), replicated(cell, "AP")])


def _of_part(images: int) -> Callable[[Floats], Measured]:
    """What a curve of so many images tells: of too few nothing of others."""
    return lambda curves: sampled(curves, images)


def _of_whole(images: int) -> Callable[[Floats], Measured]:
    """The same where they are all that there are: of a single one nothing."""
    return lambda curves: Measured(curves[0], curves[1:] if images > 1 else None, freedom_of(images))


def _row(
    by: str, name: str, objects: int, told: Callable[[Floats], Measured], first: Floats, second: Floats
) -> dict[str, Any]:
    """AP of both in a group, from curves [1 + R], and the interval of the difference."""
    gap = second - first
    (estimate,) = estimates([told(gap[:, None])], [""])
    low, high = gap[0] - estimate.images_half, gap[0] + estimate.images_half
    row = {"by": by, "group": name, "objects": objects, "AP_first": float(first[0]), "AP_second": float(second[0])}
    return row | {"difference": float(gap[0]), "low": float(low), "high": float(high)}
