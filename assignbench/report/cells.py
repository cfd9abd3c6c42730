"""The numbers of every cell that a published report is made of, as small tables: whoever doubts one works it out again.

From `measures` and `replicates` follow all averages, differences, intervals and verdicts; from `groups` and `classes`
the tables by group and category.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from assignbench.analysis import StudyRecord
from assignbench.analysis.averages import METRICS
from assignbench.analysis.base import CellData
from assignbench.analysis.claim_forms import parse
from assignbench.analysis.curves_by_group import NUMBERS
from assignbench.analysis.differences import METRICS as COMPARED, primary_metric
from assignbench.analysis.measures import measured, replicated
from assignbench.analysis.parts import image_groups, object_groups
from assignbench.measure.groups import CROWDING, ELONGATION, IMAGE_CROWDING, PER_IMAGE
from assignbench.records import write_table
from assignbench.records.columns import Column, TableSchema

NOTE = (
    "The tables cells/measures.parquet (every measure of every cell), replicates.parquet (the same measures as far "
    "apart as draws of the test images put them, of which intervals over images are made), groups.parquet and "
    "classes.parquet hold what this page is computed from; docs/definitions.md says how, under Recomputing a published "
    "table. Shares and APs lie between 0 and 1, but for those of replicates, which may lie beyond."
)
_KEYS = (
    Column("data", "text", "Data set."),
    Column("detector", "text", "Label of the detector."),
    Column("method", "text", "Label of the method."),
    Column("seed", "int", "Seed of the training."),
)
MEASURES = TableSchema(
    "published_measures",
    "cells/measures.parquet",
    "One row per finished cell and measure.",
    (
        *_KEYS,
        Column("baseline", "text", "What the method is compared with there, empty for nothing."),
        Column("images", "int", "Test images; one less are the degrees of freedom of their share of an interval."),
        Column("measure", "text", "AP, AP50, AR100, NR, ..."),
        Column("value", "float", "The measure on all test images.", missing="where the cell's records do not hold it"),
    ),
)
REPLICATES = TableSchema(
    "published_replicates",
    "cells/replicates.parquet",
    "One row per finished cell and replicate, which leaves out a fifth of the images; of one number they are the same.",
    (
        *_KEYS,
        Column("replicate", "int", "Number of the replicate."),
        Column(
            "{measure}",
            "float",
            "The measure without them, moved from the replicates' mean to where a draw of all images might lie.",
            missing="where the cell's records do not hold it",
        ),
    ),
)
_PRECISION = tuple(
    Column(name, "float", f"{name} of it.", missing="where it holds no object that counts")
    for name in ("AP", "AP50", "AP75")
)
GROUPS = TableSchema(
    "published_groups",
    "cells/groups.parquet",
    "One row per finished cell and group of objects or images.",
    (
        *_KEYS,
        Column(
            "by", "text", "What the groups are made by; those of image_crowdedness and objects_in_image are images."
        ),
        Column("group", "text", "The group."),
        Column("count", "int", "Objects of the group, or images."),
        *_PRECISION,
    ),
)
CLASSES = TableSchema(
    "published_classes",
    "cells/classes.parquet",
    "One row per finished cell and class that has objects.",
    (
        *_KEYS,
        Column("category", "text", "The class."),
        Column("objects", "int", "Objects of the class."),
        *_PRECISION,
    ),
)
KEYS = [c.name for c in _KEYS]
GROUPINGS = (
    *((CROWDING, object_groups), (ELONGATION, object_groups)),
    *((IMAGE_CROWDING, image_groups), (PER_IMAGE, image_groups)),
)


def write_cells(study: StudyRecord, folder: Path) -> None:
    """Writes measures, replicates, groups and classes of the finished cells; nothing where none is finished."""
    cells = study.data()
    if not cells:
        return
    asked = compared(study)
    write_table(folder / "measures.parquet", _measures(study, asked), MEASURES)
    write_table(folder / "replicates.parquet", pd.concat([_replicates(c, asked) for c in cells]), REPLICATES)
    write_table(folder / "groups.parquet", pd.concat([_groups(c) for c in cells]), GROUPS)
    write_table(folder / "classes.parquet", pd.concat([_classes(c) for c in cells]), CLASSES)


def compared(study: StudyRecord) -> list[str]:
    """The measures on which the study compares methods: in its differences and in its claims."""
    claims = [parse(entry["claim"]) for entry in study.about.get("claims") or []]
    named = [m for claim in claims for m in (claim.measure, claim.second) if m]
    return list(dict.fromkeys([primary_metric(study), *COMPARED, *named]))


def _measures(study: StudyRecord, asked: list[str]) -> pd.DataFrame:
    rows = []
    for cell in study.data():
        summary = cell.cell.summary
        known = {m: summary[m] for m in METRICS if summary.get(m) is not None}
        values = known | {m: measured(cell, m) for m in asked if m not in known}
        place = (cell.keys["data"], cell.keys["detector"])
        keys = {**cell.keys, "baseline": study.baseline_of(cell.keys["method"], place)}
        keys["images"] = len(cell.images)
        rows += [{**keys, "measure": m, "value": float(v)} for m, v in values.items()]
    return pd.DataFrame(rows)


def _replicates(cell: CellData, asked: list[str]) -> pd.DataFrame:
    drawn = {m: replicated(cell, m) for m in asked}
    return pd.DataFrame({**cell.keys, "replicate": np.arange(len(drawn[asked[0]])), **drawn})


def _groups(cell: CellData) -> pd.DataFrame:
    rows = []
    for grouping, parts_of in GROUPINGS:
        for part in parts_of(grouping, cell):
            row = {**cell.keys, "by": grouping.column, "group": part.name}
            row |= {"count": int(part.about.get("images", part.about["objects"]))}
            rows.append({**row, **dict(zip(NUMBERS, part.curve(cell)[0].tolist(), strict=True))})
    return pd.DataFrame(rows, columns=[*KEYS, "by", "group", "count", *NUMBERS])


def _classes(cell: CellData) -> pd.DataFrame:
    found = cell.precision()
    objects = cell.objects[~cell.overlaps.left_out].label.value_counts()
    rows = []
    for label, name in enumerate(cell.classes):
        if np.isfinite(found[:, label]).any():
            row = {**cell.keys, "category": name, "objects": int(objects.get(label, 0))}
            precision = {"AP": found[:, label].mean(), "AP50": found[0, label], "AP75": found[5, label]}
            rows.append({**row, **{k: float(v) for k, v in precision.items()}})
    return pd.DataFrame(rows, columns=[*KEYS, "category", "objects", "AP", "AP50", "AP75"])
