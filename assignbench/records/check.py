"""Reads a cell's whole folder and says where it is not what docs/records.md promises."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pandas as pd

from assignbench.errors import InputError
from assignbench.records.columns import TableSchema
from assignbench.records.documents import STUDY
from assignbench.records.files import read_json, read_lines
from assignbench.records.manifest import damage_of
from assignbench.records.schema import ASSIGNMENTS, OTHER_FILES, SCHEMAS
from assignbench.records.store import CellRecord

_PARTS = "assignments/part-*.parquet"


def problems_of(folder: Path) -> list[str]:
    """Everything that is wrong with a cell's folder: files missing or unknown, columns and keys that do not fit."""
    record = CellRecord(folder)
    found = _tried(lambda: record.config)
    done = record.state in ("done", "damaged")
    damage = damage_of(folder, thorough=True) if done else ""
    found += [f"{folder}: {damage}"] if damage else []
    needed = [s for s in SCHEMAS.values() if not s.optional and s is not STUDY and (done or s.name == "status")]
    found += [f"{folder}: has no {s.file}" for s in needed if not (folder / s.file).is_file()]
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        schema = ASSIGNMENTS if fnmatchcase(name, _PARTS) else schema_of(name)
        if schema is not None:
            found += _file(path, schema)
        elif not any(fnmatchcase(name, pattern) for pattern in OTHER_FILES):
            found.append(f"{path}: no file of that name belongs to a cell (see docs/records.md)")
    return found


def schema_of(name: str) -> TableSchema | None:
    """The schema of a file by its path inside the cell's folder."""
    for schema in SCHEMAS.values():
        if re.fullmatch(re.escape(schema.file).replace(r"\{n\}", r"\d+"), name):
            return schema
    return None


def _file(path: Path, schema: TableSchema) -> list[str]:
    if path.suffix == ".parquet":
        return _tried(lambda: schema.table(pd.read_parquet(path), str(path)))
    if path.suffix == ".jsonl":
        found = []
        for number, row in enumerate(read_lines(path), start=1):
            found += _tried(partial(schema.mapping, row, f"{path}, line {number}"))
        return found
    return _tried(lambda: schema.mapping(read_json(path), str(path)))


def _tried(action: Callable[[], object]) -> list[str]:
    try:
        action()
    except InputError as problem:
        return [str(problem)]
    return []
