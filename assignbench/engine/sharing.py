"""A training that is taken from another cell, whose configuration differs only in how a trained network is read."""

from __future__ import annotations

from pathlib import Path

from assignbench.config.cell import LocalPaths
from assignbench.config.inputs import of_training, stale_reasons
from assignbench.engine import checkpoint
from assignbench.engine.cell import Cell
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json, write_json
from assignbench.records.documents import TRAINING
from assignbench.records.identity import read_inputs, read_listing

COST = ("train_seconds", "peak_memory_mib")


def take_training(cell: Cell) -> list[str]:
    """Copies the training that local.json names into the cell's folder; nothing where it names none.

    Afterwards the cell stands where a cell of its own training stands after the last step, and training.json says whose
    training it is. Copies, not links: one damaged file must not damage two cells. The other cell need not be finished:
    its training must. Returns what is to be known of that training. Raises InputError where it is not finished and
    whole, or where it was made from something else.
    """
    name = LocalPaths.model_validate(read_json(cell.folder / "local.json")).training
    if not name:
        return []
    source = CellRecord(cell.folder.parent / name, thorough=True)
    if not source.lends:
        source.require_done()
    _check(cell, source)
    about = source.training or {"cell": source.id, **_cost(source)}
    checkpoint.take(cell.folder, source.folder, lambda digest: _declare(cell.folder, {**about, "weights": digest}))
    return [f"of its training, {about['cell']}: {note}" for note in source.status.get("notes", [])]


def _cost(source: CellRecord) -> dict[str, float]:
    """What the training cost; of a cell that is not evaluated yet only its checkpoint knows it."""
    if source.state != "done":
        return {"train_seconds": checkpoint.seconds_of(source.folder)}
    return {name: source.summary[name] for name in COST if source.summary.get(name) is not None}


def _declare(folder: Path, about: dict[str, object]) -> None:
    """Says whose training it is; not where the cell gets its own back from one that had taken it."""
    path = folder / TRAINING.file
    if about["cell"] == folder.name:
        path.unlink(missing_ok=True)
        return
    TRAINING.mapping(about, str(path))
    write_json(path, about)


def _check(cell: Cell, source: CellRecord) -> None:
    """The training must be the one that this cell would have had."""
    again = f"{cell.folder}: cannot take the training of {source.id}"
    if source.trained.training() != cell.config.training():
        raise InputError(f"{again}, whose configuration is another one; run the study again")
    theirs, ours = read_inputs(source.folder), read_inputs(cell.folder)
    before, after = read_listing(source.folder, theirs), read_listing(cell.folder, ours)
    reasons = stale_reasons(of_training(theirs), of_training(ours), before, after)
    if reasons:
        raise InputError(f"{again}, which was made from other inputs: {'; '.join(reasons)}; run the study again")
