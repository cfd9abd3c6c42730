"""What a finished cell's files hold: checked before it is analysed, because a manifest tells of bytes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet

from assignbench.errors import InputError
from assignbench.records.documents import ENVIRONMENT, SUMMARY
from assignbench.records.files import read_json
from assignbench.records.schema import (
    ASSIGNMENTS,
    BOX_SHAPES,
    CANDIDATES,
    FORMULAS,
    GRIDS,
    PRE_NMS,
    PROBE_OBJECTS,
    PROBES,
)
from assignbench.records.store import REDO

_OF_SPLIT = ("split", "images", "objects", "fingerprint", "skipped")  # what environment.json tells of each split
_LATER = ("processes",)  # what trained cells of earlier versions do not tell
_NUMBERS = {
    "images": ("image_id", "width", "height"),
    "objects": ("image_id", "label", "x1", "y1", "x2", "y2", "area"),
    "detections": ("image_id", "label", "x1", "y1", "x2", "y2", "score"),
}


def read_environment(folder: Path) -> dict[str, Any]:
    """environment.json of a finished cell. Raises InputError naming the key that is missing or not what it must be."""
    path = folder / "environment.json"
    content = read_json(path)
    try:
        ENVIRONMENT.mapping(content, str(path))
        if not content["classes"] or not all(isinstance(c, str) for c in content["classes"]):
            raise InputError(f"{path}: 'classes' is {content['classes']!r:.80}, expected a list of names")
        wanted = [c.name for c in ENVIRONMENT.columns if c.name not in _LATER]
        for key in wanted if "device_name" in content else ():
            if key not in content:  # an imported cell has none of them, a trained one all
                raise InputError(f"{path}: has no '{key}'")
        for split in ("train", "test") if "data" in content else ():
            about = content["data"].get(split)
            for key in _OF_SPLIT:
                if not isinstance(about, dict) or key not in about:
                    raise InputError(f"{path}: 'data' has no '{split}' with '{key}'")
    except InputError as problem:
        raise InputError(f"{problem}; {REDO}") from None
    return content


def check_others(folder: Path) -> None:
    """Raises InputError where summary.json, or the beginning of a table that is read on demand, does not fit."""
    try:
        SUMMARY.values(read_json(folder / "summary.json"), str(folder / "summary.json"))
        for schema in (PRE_NMS, CANDIDATES, ASSIGNMENTS, FORMULAS, PROBES, PROBE_OBJECTS, GRIDS, BOX_SHAPES):
            for path in sorted(folder.glob(schema.file.replace("{n}", "*"))):
                schema.written(_first_row(path), str(path))
    except InputError as problem:
        raise InputError(f"{problem}; {REDO}") from None


def check_table(folder: Path, name: str, tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> None:
    """Raises InputError where one of images, objects and detections holds no sound ids, labels or numbers."""
    path, table = folder / f"{name}.parquet", tables[name]
    if table.columns.empty:
        raise InputError(f"{path} is missing; {REDO}")
    ids = table.image_id
    wrong = {c: (~np.isfinite(table[c].to_numpy(np.float64)), "is no finite number") for c in _NUMBERS[name]}
    if name == "images":
        wrong["image_id"] = (ids.duplicated().to_numpy(), "is there twice")
    else:
        wrong["image_id"] = (~ids.isin(tables["images"].image_id).to_numpy(), "is no id of images.parquet")
        told = f"is no place in the {len(classes)} classes of environment.json"
        wrong["label"] = (~table.label.between(0, len(classes) - 1).to_numpy(), told)
    for column, (rows, what) in wrong.items():
        if rows.any():
            row = int(np.flatnonzero(rows)[0])
            raise InputError(f"{path}: column '{column}', row {row}: {table[column].iloc[row]} {what}; {REDO}")


def _first_row(path: Path) -> pd.DataFrame:
    """The first row of a parquet table with its types. Raises InputError for a file that is none."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=1), None)
            return file.schema_arrow.empty_table().to_pandas() if batch is None else batch.to_pandas()
    except (OSError, ValueError) as problem:
        raise InputError(f"{path}: not readable as parquet ({problem!s:.120})") from None
