"""Weights and training state on disk, in two generations: a kill at any moment leaves a whole one.

A generation is step-STEP.json, written last, with the cell's id and the checksums of the weights, of the state of
training, and of the records that a resumed cell goes on with. One of another cell, or whose files are not what it says,
is passed over, and the one before it is taken. When training is complete, weights.safetensors and its generation stay,
without a state of training. Such a generation, and the records that it names, are all that another cell needs to take
that training.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save as saved
from torch import nn

from assignbench.engine.learner import Learner
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json, write_bytes, write_json
from assignbench.records.documents import TRAINING
from assignbench.records.store import REDO

FOLDER = "checkpoint"
FINAL = "weights.safetensors"
METRICS = "metrics.jsonl"
KEPT = 2  # generations


@dataclass(frozen=True)
class Resumed:
    """Where training goes on: its step, the seconds that were spent before, and what was passed over on the way."""

    step: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def save(cell: Path, step: int, learner: Learner, seconds: float) -> None:
    """Writes a generation into the cell's folder; the last but one of the older ones goes."""
    state = learner.state()
    buffer = io.BytesIO()
    torch.save({part: content for part, content in state.items() if part != "weights"}, buffer)
    _write(cell, step, seconds, {
        f"weights-{step:08d}.safetensors": _bytes_of(learner.model),
        f"training-{step:08d}.pt": buffer.getvalue(),
    })  # fmt: skip
    _forget(cell / FOLDER, KEPT)


def complete(cell: Path, learner: Learner, seconds: float) -> None:
    """Writes the weights of a training that has come to its end: nothing after it can lose the training."""
    _write(cell, learner.steps, seconds, {FINAL: _bytes_of(learner.model)})


def clean(cell: Path) -> None:
    """Leaves the generation of a finished training alone, without what a stop after its last step had written."""
    _forget(cell / FOLDER, 1)
    for path in _resumable(cell / FOLDER):
        path.unlink()


def restore(cell: Path, learner: Learner) -> Resumed:
    """Puts the newest whole generation into the learner, and the records of the cell back to its step.

    Raises InputError for a whole generation that does not fit the learner: it belongs to something else.
    """
    warnings: list[str] = []
    for path in _generations(cell / FOLDER):
        try:
            about = _whole(cell, path)
        except InputError as problem:
            warnings.append(str(problem))
            continue
        try:
            _into(learner, cell / FOLDER, about)
        except (KeyError, ValueError, RuntimeError) as problem:
            raise InputError(
                f"{path}: the checkpoint does not fit the network ({str(problem).splitlines()[0]}); "
                "was the code of a detector or an assigner changed? `--fresh` trains the cell anew"
            ) from problem
        _rewind(cell, int(about["step"]), int(about["records"].get(METRICS, {}).get("bytes", 0)))
        if warnings:
            warnings.append(f"went on from the checkpoint of step {about['step']}")
        return Resumed(int(about["step"]), float(about["seconds"]), tuple(warnings))
    _rewind(cell, 0, 0)
    (cell / TRAINING.file).unlink(missing_ok=True)  # what was taken is gone; what follows is the cell's own
    if warnings:
        warnings.append("trained anew")
    return Resumed(0, 0.0, tuple(warnings))


def take(cell: Path, other: Path, declare: Callable[[str], None]) -> None:
    """Copies the complete training of another cell; `declare` gets the sha256 of its weights before the copy counts.

    A kill at any moment leaves the whole copy or none that counts. Raises InputError if the other training is not
    complete and whole.
    """
    path, about = _complete(other)
    digest = str(about["files"][FINAL]["sha256"])
    mine = {**about, "cell": CellRecord(cell).own_id}
    if _is_there(cell, mine):
        declare(digest)
        return
    shutil.rmtree(cell / FOLDER, ignore_errors=True)
    _rewind(cell, 0, 0)
    for name, entry in about["records"].items():
        write_bytes(cell / name, (other / name).read_bytes()[: entry["bytes"]])
    for name in about["files"]:
        write_bytes(cell / FOLDER / name, (other / FOLDER / name).read_bytes())
    declare(digest)
    write_json(cell / FOLDER / path.name, mine)
    _complete(cell)


def seconds_of(cell: Path) -> float:
    """How long the complete training of a cell took. Raises InputError if it is not complete and whole."""
    return float(_complete(cell)[1]["seconds"])


def _complete(cell: Path) -> tuple[Path, dict[str, Any]]:
    """The generation of a training that has come to its end. Raises InputError without a whole one."""
    path = next(iter(_generations(cell / FOLDER)), None)
    about = {} if path is None else _whole(cell, path)
    if path is None or FINAL not in about["files"]:
        raise InputError(f"{cell / FOLDER}: holds no training that has come to its end; {REDO}")
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in (*about["files"], *about["records"])):
        raise InputError(f"{path}: names files outside of its cell; {REDO}")
    return path, about


def _is_there(cell: Path, about: dict[str, Any]) -> bool:
    """Whether a cell holds that training already, whole."""
    try:
        return _complete(cell)[1] == about
    except InputError:
        return False


def newest(cell: Path) -> int:
    """The step of the newest generation, 0 without one."""
    generations = _generations(cell / FOLDER)
    return int(generations[0].stem.removeprefix("step-")) if generations else 0


def load_final(folder: Path, model: nn.Module) -> None:
    """Reads the weights of a finished training."""
    model.load_state_dict(load((folder / FINAL).read_bytes()))


def _write(cell: Path, step: int, seconds: float, files: dict[str, bytes]) -> None:
    folder = cell / FOLDER
    for name, content in files.items():
        write_bytes(folder / name, content)
    records = {p.relative_to(cell).as_posix(): _told(p.read_bytes()) for p in _records(cell)}
    told = {name: _told(content) for name, content in files.items()}
    about = {"cell": CellRecord(cell).own_id, "step": step, "seconds": seconds, "files": told, "records": records}
    write_json(folder / f"step-{step:08d}.json", about)


def _told(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _records(cell: Path) -> list[Path]:
    """What training has recorded so far."""
    metrics = cell / METRICS
    tables = [*(cell / "assignments").glob("part-*.parquet"), *(cell / "probes").glob("*-*.parquet")]
    return [*([metrics] if metrics.is_file() else []), *sorted(tables)]


def _generations(folder: Path) -> list[Path]:
    """The generations' files, the newest first."""
    return sorted(folder.glob("step-*.json"), reverse=True)


def _forget(folder: Path, kept: int) -> None:
    """Removes all but the newest generations, and files that belong to none (of a kill between two writes)."""
    generations = _generations(folder)
    for old in generations[kept:]:
        old.unlink()
    steps = {p.stem.removeprefix("step-") for p in generations[:kept]}
    for path in _resumable(folder):
        if path.stem.partition("-")[2] not in steps:
            path.unlink()


def _resumable(folder: Path) -> list[Path]:
    """The weights and states of unfinished trainings."""
    return [*folder.glob("weights-*.safetensors"), *folder.glob("training-*.pt")]


def _whole(cell: Path, path: Path) -> dict[str, Any]:
    """A generation whose files are what it says. Raises InputError naming the one that is not."""
    about = read_json(path)
    told: dict[Path, Any] = {}
    for part, folder in (("files", cell / FOLDER), ("records", cell)):
        entries = about.get(part)
        if not isinstance(entries, dict):
            raise InputError(f"{path} is broken")
        told |= {folder / str(name): entry for name, entry in entries.items()}
    if not all(isinstance(e, dict) and isinstance(e.get("bytes"), int) for e in told.values()):
        raise InputError(f"{path} is broken")
    if not isinstance(about.get("step"), int) or not isinstance(about.get("seconds"), (int, float)):
        raise InputError(f"{path} is broken")
    made, own = about.get("cell"), CellRecord(cell).own_id
    if own and made != own:
        raise InputError(f"{path} is that of another cell, {made!s:.200}")
    for file, entry in told.items():
        try:
            content = file.read_bytes()
        except OSError as problem:
            raise InputError(f"{file}: {problem.strerror}") from problem
        if file.name == METRICS:  # more lines may have been added since
            content = content[: entry["bytes"]]
        if _told(content) != entry:
            raise InputError(f"{file} is damaged")
    return about


def _into(learner: Learner, folder: Path, about: dict[str, Any]) -> None:
    if FINAL in about["files"]:
        learner.settle(load((folder / FINAL).read_bytes()))
        return
    step = f"{about['step']:08d}"
    content = io.BytesIO((folder / f"training-{step}.pt").read_bytes())
    training = torch.load(content, map_location="cpu", weights_only=True)
    weights = load((folder / f"weights-{step}.safetensors").read_bytes())
    learner.restore({**training, "weights": weights})


def _rewind(cell: Path, step: int, size: int) -> None:
    """Drops what a killed run recorded past the checkpoint that it goes on from."""
    metrics = cell / METRICS
    if metrics.is_file() and metrics.stat().st_size != size:
        write_bytes(metrics, metrics.read_bytes()[:size])
    for path in _records(cell):
        if path != metrics and (step == 0 or int(path.stem.split("-")[1]) > step):
            path.unlink()


def _bytes_of(model: nn.Module) -> bytes:
    return bytes(saved({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}))
