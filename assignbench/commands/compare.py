"""`assignbench compare CELL CELL`: where two finished cells differ, by group and by image, with a sheet of pictures."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from assignbench.analysis import CellData
from assignbench.analysis.estimates import Measured, estimates
from assignbench.analysis.images import MOST, ends, image_differences
from assignbench.analysis.measures import jackknife, stretched
from assignbench.analysis.parts import STANDARD_AREAS, Part, area_groups, object_groups
from assignbench.commands.folders import check_there
from assignbench.commands.pixels import Pixels
from assignbench.errors import InputError
from assignbench.measure.groups import CROWDING, ELONGATION
from assignbench.measure.matching import Floats
from assignbench.measure.precision import average_precision, mean_over_classes
from assignbench.records import CellRecord, write_table, write_text
from assignbench.report.render.markdown import markdown_table
from assignbench.report.tables import tidy_table

REPLICATES = 1000
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
    "low, high: 95 % interval around the difference for other test images (jackknife, 1000 replicates) "
    "of this one trained pair; it says nothing about other seeds."
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

    The groups and their rules are the report's (`analysis.parts`).
    """
    rows = [_row("all", "all", len(first.objects), first, second, _of_all)]
    grouped = (
        ("crowdedness", object_groups(CROWDING, first)),
        ("aspect ratio", object_groups(ELONGATION, first)),
        ("area", area_groups(STANDARD_AREAS, first)),
    )
    for by, parts in grouped:
        for part in (p for p in parts if p.about["objects"]):
            rows.append(_row(by, part.name, int(part.about["objects"]), first, second, partial(_of_part, part)))
    for label, name in enumerate(first.classes):
        count = int((first.objects.label == label).sum())
        if count and len(first.classes) > 1:
            rows.append(_row("class", name, count, first, second, partial(_of_class, label)))
    return pd.DataFrame(rows)


def _of_all(cell: CellData, weights: Floats) -> Floats:
    return mean_over_classes(average_precision(cell.matches, weights))


def _of_part(part: Part, cell: CellData, weights: Floats) -> Floats:
    return mean_over_classes(part.judge(cell, weights))


def _of_class(label: int, cell: CellData, weights: Floats) -> Floats:
    return np.asarray(average_precision(cell.matches, weights)[:, :, label].mean(axis=1))


def _row(
    by: str, name: str, objects: int, first: CellData, second: CellData, judge: Callable[[CellData, Floats], Floats]
) -> dict[str, Any]:
    """AP of both in a group and the jackknife of the difference; `judge` gives a cell's AP [R] by weights [R, I]."""
    draws = jackknife(len(first.images), REPLICATES)
    weights = np.concatenate([np.ones((1, draws.rows.shape[1])), draws.rows])
    both = [judge(cell, weights) for cell in (first, second)]
    gap = both[1] - both[0]
    (estimate,) = estimates(
        [Measured(gap[:1], stretched(gap[1:, None], draws.reach))], [""]
    )  # around the observed difference
    low, high = estimate.mean - estimate.images_half, estimate.mean + estimate.images_half
    row = {"by": by, "group": name, "objects": objects, "AP_first": float(both[0][0])}
    row |= {"AP_second": float(both[1][0]), "difference": float(gap[0]), "low": float(low), "high": float(high)}
    return row
