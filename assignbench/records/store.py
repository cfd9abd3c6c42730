"""A cell's folder, read back without torch or the rest of AssignBench; what is damaged in it ends no reading."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
from pydantic import ValidationError

from assignbench.config.cell import FORMAT, CellConfig, id_of, is_id
from assignbench.config.tuned import Tuned
from assignbench.errors import InputError
from assignbench.records.documents import ENVIRONMENT, STATUS, STUDY, TRAINING
from assignbench.records.files import digest_of, read_json, read_lines, write_json
from assignbench.records.imported import ImportedConfig
from assignbench.records.manifest import MANIFEST, damage_of
from assignbench.records.schema import SCHEMAS

AnyConfig = CellConfig | ImportedConfig
State = Literal["pending", "running", "done", "failed", "diverged", "damaged"]


def write_config(folder: Path, config: AnyConfig) -> None:
    """A cell's config.json, as `CellRecord.config` reads it."""
    write_json(folder / "config.json", config.model_dump(mode="json"))


@dataclass(frozen=True)
class CellRecord:
    """One cell's folder, read on demand. `thorough`: a finished one is whole only if every byte is what it was, as
    `digest` tells, which gives the sha256 of a file.
    """

    folder: Path
    thorough: bool = False
    digest: Callable[[Path], str] = field(default=digest_of, repr=False, compare=False)

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
    def measurable(self) -> bool:
        """Whether the objects of its test split are known; where they are not, nothing can be measured."""
        return bool(self.environment.get("data", {}).get("test", {}).get("annotated", True))

    @property
    def status(self) -> dict[str, Any]:
        """state, step, steps, pid, host, heartbeat, reason, notes; a broken file is told as the reason."""
        path = self.folder / "status.json"
        try:
            content = read_json(path)
            if not content:
                return {"state": "pending"}
            STATUS.mapping(content, str(path))
        except InputError:
            return {"state": "pending", "reason": "status.json is broken; `assignbench run` writes it anew"}
        return content if content["state"] in get_args(State) else {**content, "state": "pending"}

    @property
    def state(self) -> State:
        """Where the cell stands: done if its manifest is whole, damaged if it was done and is not whole any more.

        What lies in the folder of another cell is damaged, however far it is.
        """
        if self.misplaced:
            return "damaged"
        if (self.folder / MANIFEST).exists():
            return "damaged" if self.damage else "done"
        state: State = self.status["state"]
        return "damaged" if state == "done" else state

    @property
    def lends(self) -> bool:
        """Whether another cell can take its training: one that came to its end, even if what followed did not."""
        if self.state in ("done", "damaged"):
            return self.state == "done"
        try:
            newest = self._newest
            return newest is not None and "weights.safetensors" in read_json(newest).get("files", {})
        except (InputError, TypeError):
            return False

    @property
    def saved_step(self) -> int:
        """The step of its newest checkpoint; 0 without one."""
        number = "" if self._newest is None else self._newest.stem.removeprefix("step-")
        return int(number) if number.isdecimal() else 0

    @property
    def _newest(self) -> Path | None:
        return max((self.folder / "checkpoint").glob("step-*.json"), default=None)

    @property
    def reason(self) -> str:
        """Why the cell is not done, with the way out, or what is worth knowing of how it was done; "" for nothing."""
        state, status = self.state, self.status
        if state == "damaged":
            return f"{self.folder}: {self.damage}; {self._again}"
        told = [] if state == "done" else [str(status.get("reason", ""))]
        return "; ".join(t for t in [*told, *(str(n) for n in status.get("notes", []))] if t)

    @property
    def damage(self) -> str:
        """Where the folder is not what its manifest says, or not the cell of its name; "" if it is whole."""
        return self.misplaced or damage_of(self.folder, thorough=self.thorough, digest=self.digest)

    @property
    def misplaced(self) -> str:
        """Whose records lie here, if the folder's name is the id of another cell; "" if they are its own.

        A copy under any other name is no cell of a study and takes nobody's place.
        """
        if not is_id(self.folder.name):
            return ""
        target = self.folder.resolve()
        if self.folder.is_symlink() and target.name != self.folder.name:
            return f"the folder is a link to {target}"
        found = self.own_id
        return f"config.json is that of cell {found}" if found not in ("", self.folder.name) else ""

    @property
    def own_id(self) -> str:
        """The id that config.json makes; "" where it cannot be read, and for imported cells, which have none."""
        try:
            config = self.config
            content = read_json(self.folder / "config.json")
        except InputError:
            return ""
        return id_of(config.slug, content) if isinstance(config, CellConfig) else ""

    def require_done(self) -> None:
        """Raises InputError naming the folder, what is wrong and the way out unless the cell is finished and whole."""
        try:
            state = self.state
        except OSError as problem:  # such as a name that no file system takes
            raise InputError(f"{self.folder}: cannot be read ({problem.strerror}); name a cell's folder") from None
        if state == "done":
            return
        damage = self.damage if state == "damaged" else ""
        if not (self.folder / "config.json").exists() and not damage:
            what = "no cell's folder" if self.folder.is_dir() else "no such folder"
            raise InputError(
                f"{self.folder}: {what}; cells lie under runs/<study>/, `assignbench status STUDY` names them"
            )
        refuse_old(self)
        if damage:
            raise InputError(f"{self.folder}: this cell is damaged: {damage}; {self._again}")
        why = f": {self.reason}" if self.reason else ""
        raise InputError(f"{self.folder}: this cell is {state}{why}; only finished cells can be used here")

    @property
    def _again(self) -> str:
        if self.misplaced:
            return self.remedy
        return "read its predictions again" if self.folder.name.startswith("imported-") else REDO

    @property
    def remedy(self) -> str:
        """The way out for what is misplaced. Nothing is removed unasked: the records may be all that there is."""
        if self.folder.is_symlink():
            return f"remove the link ({self.folder}); `assignbench run` with its study then trains the cell"
        return "move the folder to where it belongs; `assignbench run` with its study and --fresh trains this cell anew"

    @property
    def summary(self) -> dict[str, Any]:
        """AP and its relatives, cost; empty until the cell is done."""
        return read_json(self.folder / "summary.json") if self.state == "done" else {}

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, device, data fingerprints; empty where the cell has not come that far or the file is broken."""
        path = self.folder / "environment.json"
        try:
            content = read_json(path)
            if content:
                ENVIRONMENT.mapping(content, str(path))
        except InputError:
            return {}
        return content

    @property
    def training(self) -> dict[str, Any]:
        """Whose training this is: cell, weights (sha256); empty for a cell that was trained itself."""
        path = self.folder / TRAINING.file
        try:
            content = read_json(path)
            if content:
                TRAINING.mapping(content, str(path))
        except InputError:
            return {}
        return content

    def metrics(self) -> pd.DataFrame:
        """One row per logging step."""
        return pd.DataFrame(read_lines(self.folder / "metrics.jsonl"))

    def holds(self, name: str) -> bool:
        """Whether a table was recorded: an import comes without those that only a training has."""
        return (self.folder / f"{name}.parquet").is_file()

    def table(self, name: str) -> pd.DataFrame:
        """objects, images, candidates, pre_nms, detections or assignments; empty where an import came without it.

        Raises InputError naming the file if it is no parquet table, or a column that does not fit its schema.
        """
        path = self.folder / f"{name}.parquet"
        if not self.holds(name):
            return pd.DataFrame()
        try:
            found = pd.read_parquet(path)
        except (OSError, ValueError) as problem:
            raise InputError(f"{path}: not readable as parquet ({problem}); {REDO}") from problem
        try:
            SCHEMAS[name].written(found, str(path))
        except InputError as problem:
            raise InputError(f"{problem}; {REDO}") from None
        return found

    def probe_visits(self) -> list[Path]:
        """The probe tables in the order of their visits."""
        return sorted((self.folder / "probes").glob("visit-*.parquet"))


@dataclass(frozen=True)
class Snapshot(CellRecord):
    """A cell's folder as it was when it was first asked: a report asks for a cell's state beside each of its tables."""

    @cached_property
    def config(self) -> AnyConfig:
        """As `CellRecord.config`."""
        return super().config

    @cached_property
    def state(self) -> State:
        """As `CellRecord.state`."""
        return super().state

    @cached_property
    def environment(self) -> dict[str, Any]:
        """As `CellRecord.environment`."""
        return super().environment


def read_config(folder: Path) -> AnyConfig:
    """A cell folder's config.json, parsed.

    Raises InputError naming the folder, what was found and the way out, if it is missing, of another format (folders
    of AssignBench 0.1 have format 1) or not what this version writes.
    """
    path = folder / "config.json"
    if not path.exists():
        raise InputError(f"{folder}: has no config.json, so it is no cell's folder")
    try:
        content = read_json(path)
    except InputError as problem:
        raise InputError(f"{problem}; {REDO}") from problem
    found = content.get("format", 1)
    if type(found) is int and found in OLDER:
        raise OldRecords(
            f"{folder}: records of format {found}, this version reads format {FORMAT}; run the study again into "
            f"another --out, or read the folder with the version that wrote it (AssignBench {OLDER[found]})"
        )
    if found != FORMAT:
        raise InputError(f"{path}: records of format {found!r}, this version reads format {FORMAT}; {REDO}")
    try:
        return _parsed(json.dumps(content))
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise InputError(
            f"{path}: {place}: {first['msg']} (got {first.get('input')!r}), though it says format {FORMAT}; {REDO}"
        ) from problem


OLDER = {1: "0.1", 2: "0.2", 3: "0.3"}  # formats that this version does not read, and who wrote them
REDO = "`assignbench run` with its study redoes the cell"


class OldRecords(InputError):
    """A folder that an earlier version wrote: no damage, and no other cell of its study can be read either."""


@lru_cache(maxsize=4096)
def _parsed(text: str) -> AnyConfig:
    kind: type[AnyConfig] = ImportedConfig if json.loads(text).get("imported") else CellConfig
    return kind.model_validate_json(text)


def read_cells(study_folder: Path) -> list[CellRecord]:
    """All cells of a study's run folder, by id."""
    return [CellRecord(p.parent) for p in sorted(study_folder.glob("*/config.json"))]


def refuse_old(record: CellRecord) -> None:
    """Raises OldRecords, with the way out, for what an earlier version wrote; damage is told by the cell's state."""
    try:
        _ = record.config
    except OldRecords:
        raise
    except InputError:
        return


def read_about(study: Path) -> dict[str, Any]:
    """What a study's run folder says of the study (study.json); empty where nothing was run.

    Raises InputError naming the file and the entry that cannot be what `run` wrote.
    """
    path = study / "study.json"
    content = read_json(path)
    STUDY.values(content, str(path))
    for name in content.get("cells", []):
        if not isinstance(name, str) or not name.isprintable() or Path(name).name != name or name in ("", ".."):
            raise InputError(f"{path}: 'cells' names {name!r}, which is no cell's folder; run the study again")
    for name, keys in content.get("grid", {}).items():
        told = keys if isinstance(keys, dict) else {}
        if not all(isinstance(told.get(k), str) for k in ("data", "detector", "method")):
            raise InputError(f"{path}: 'grid' does not name data, detector and method of {name!r}; run the study again")
    if content.get("tuned"):
        try:
            Tuned.model_validate(content["tuned"])
        except ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(str(p) for p in ("tuned", *first["loc"]))
            raise InputError(f"{path}: {place}: {first['msg']}; run the study again") from None
    return content


def clear_folder(folder: Path) -> None:
    """Removes a cell's records; whoever holds the cell's claim keeps it."""
    for path in _records(folder):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def move_records(folder: Path, to: Path) -> None:
    """Moves a cell's records into a new folder; whoever holds the cell's claim keeps it."""
    to.mkdir(parents=True)
    for path in _records(folder):
        shutil.move(path, to / path.name)


def _records(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name != "claim.json"] if folder.is_dir() else []
