"""What a cell leaves on disk: atomic writes, and reading back without torch or the rest of AssignBench."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import ValidationError

from assignbench.config.cell import FORMAT, CellConfig
from assignbench.errors import InputError
from assignbench.records.columns import TableSchema
from assignbench.records.imported import ImportedConfig

AnyConfig = CellConfig | ImportedConfig
State = Literal["pending", "running", "done", "failed", "diverged"]


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def write_json(path: Path, content: object) -> None:
    """JSON, written whole or not at all."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if the file is not there. Raises InputError if it is broken."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        raise InputError(
            f"{path}: not readable as JSON ({problem}); delete its folder and run the cell again"
        ) from problem
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__} where records hold a mapping")
    return content


def write_table(path: Path, table: pd.DataFrame, schema: TableSchema | None = None) -> None:
    """Parquet, written whole or not at all.

    With a schema, the table is checked first: InputError names the file and the column that is missing, unknown, there
    twice, of another type, or without a value where it needs one. Without, the table is the caller's own.
    """
    if schema is not None:
        table = schema.table(table, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    table.to_parquet(partial, index=False)
    partial.replace(path)


def write_config(folder: Path, config: AnyConfig) -> None:
    """A cell's config.json, as `CellRecord.config` reads it."""
    write_json(folder / "config.json", config.model_dump(mode="json"))


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Adds JSON lines and hands them to the operating system at once."""
    with path.open("a") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole JSON lines of a file; a line cut short by a crash ends the reading."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


@dataclass(frozen=True)
class CellRecord:
    """One cell's folder, read on demand."""

    folder: Path

    @property
    def id(self) -> str:
        """The cell id, which is the folder's name."""
        return self.folder.name

    @property
    def config(self) -> AnyConfig:
        """What the cell is: trained here (CellConfig) or read from a file of predictions (ImportedConfig).

        Raises InputError naming the folder where config.json is missing, of another format or unreadable.
        """
        return read_config(self.folder)

    @property
    def trained(self) -> CellConfig:
        """The configuration of a cell that was trained here. Raises InputError for an imported one."""
        config = self.config
        if isinstance(config, CellConfig):
            return config
        raise InputError(
            f"{self.folder}: holds predictions read by 'assignbench analyze', not a trained cell; "
            "name a cell's folder that 'assignbench run' wrote"
        )

    @property
    def status(self) -> dict[str, Any]:
        """state, step, steps, pid, host, heartbeat, reason."""
        return read_json(self.folder / "status.json") or {"state": "pending"}

    @property
    def state(self) -> State:
        """Where the cell stands."""
        state: State = self.status.get("state", "pending")
        return state

    @property
    def summary(self) -> dict[str, Any]:
        """AP and its relatives, cost; empty until the cell is done."""
        return read_json(self.folder / "summary.json")

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, device, data fingerprints."""
        return read_json(self.folder / "environment.json")

    def metrics(self) -> pd.DataFrame:
        """One row per logging step."""
        return pd.DataFrame(read_lines(self.folder / "metrics.jsonl"))

    def table(self, name: str) -> pd.DataFrame:
        """objects, images, candidates, pre_nms, detections or assignments; empty where an import came without it."""
        path = self.folder / f"{name}.parquet"
        return pd.read_parquet(path) if path.is_file() else pd.DataFrame()

    def probe_visits(self) -> list[Path]:
        """The probe tables in the order of their visits."""
        return sorted((self.folder / "probes").glob("visit-*.parquet"))


def read_config(folder: Path) -> AnyConfig:
    """A cell folder's config.json, parsed.

    Raises InputError naming the folder, what was found and the way out, if it is missing, of another format (folders
    of AssignBench 0.1 have format 1) or not what this version writes.
    """
    path = folder / "config.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise InputError(f"{folder}: has no config.json, so it is no cell's folder") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: cannot be read ({problem})") from problem
    try:
        content = json.loads(text)
    except json.JSONDecodeError as problem:
        raise InputError(f"{path}: not JSON ({problem}); {WAY_OUT}") from problem
    found = content.get("format", 1) if isinstance(content, dict) else "no object"
    if found != FORMAT:
        raise InputError(f"{folder}: records of format {found}, this version reads format {FORMAT}; {WAY_OUT}")
    try:
        return _parsed(text)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise InputError(
            f"{path}: {place}: {first['msg']} (got {first.get('input')!r}), though it says format {FORMAT}; {WAY_OUT}"
        ) from problem


WAY_OUT = "run the study again into another --out, or read the folder with the version that wrote it (AssignBench 0.1)"


@lru_cache(maxsize=4096)
def _parsed(text: str) -> AnyConfig:
    kind: type[AnyConfig] = ImportedConfig if json.loads(text).get("imported") else CellConfig
    return kind.model_validate_json(text)


def read_cells(study_folder: Path) -> list[CellRecord]:
    """All cells of a study's run folder, by id."""
    return [CellRecord(p.parent) for p in sorted(study_folder.glob("*/config.json"))]
