"""What a cell is trained on: recorded before the first step, and looked at again before the cell counts as done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from assignbench.config.cell import LocalPaths
from assignbench.config.inputs import FileGroup, Inputs, Listing, stale_reasons
from assignbench.config.sources import own_parts, sources_of
from assignbench.data.base import texts_of
from assignbench.engine import checkpoint
from assignbench.engine.cell import Cell
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json
from assignbench.records.hashes import FileHashes, changed_at
from assignbench.records.identity import Identity, is_computed, names_below, read_inputs, read_listing, write_inputs


def begin(cell: Cell, since: int) -> list[str]:
    """Records the inputs of a cell that begins; for one that goes on, they must be those that it began with.

    Where the record of them is damaged, nobody can say so: the cell begins anew, and what is returned tells it. `since`
    is the time in ns at which reading the data began. Raises InputError if the inputs are others, or if they changed
    while they were being read.
    """
    inputs, listing, paths, latest = _taken(cell)
    for path in paths if latest > since else ():
        if changed_at(path) > since:
            raise InputError(f"{path}: changed while the cell was being prepared; run it again")
    told = []
    if is_computed(CellRecord(cell.folder)):
        try:
            recorded = read_inputs(cell.folder)
            before = read_listing(cell.folder, recorded)
        except InputError as problem:
            shutil.rmtree(cell.folder / checkpoint.FOLDER, ignore_errors=True)
            told = [f"what it was trained on is not known ({problem}), so it was trained anew"]
        else:
            when = "since training began, so it cannot go on; `assignbench run` begins anew"
            _refuse(stale_reasons(recorded, inputs, before, listing), when)
    write_inputs(cell.folder, inputs, listing)
    return told


def confirm(cell: Cell) -> None:
    """Raises InputError if an input is no longer what the cell began with: its numbers would be of a mixture."""
    inputs, listing, *_ = _taken(cell)
    recorded = read_inputs(cell.folder)
    reasons = stale_reasons(recorded, inputs, read_listing(cell.folder, recorded), listing)
    _refuse(reasons, "while the cell was trained; run it again")


def known_hashes(cell: Cell) -> dict[Path, str]:
    """The sha256 of the cell's files by path, as they were recorded when it began; empty where they are not."""
    try:
        root = Path(LocalPaths.model_validate(read_json(cell.folder / "local.json")).root)
        listing = read_listing(cell.folder, read_inputs(cell.folder))
    except (InputError, ValueError):
        return {}
    return {root / name: digest for files in listing.values() for name, digest in files.items()}


def _taken(cell: Cell) -> tuple[Inputs, Listing, list[str], int]:
    """The cell's inputs as they are now, the files that they are read from, and the latest ctime of these in ns."""
    local = LocalPaths.model_validate(read_json(cell.folder / "local.json"))
    groups: dict[FileGroup, Sequence[str]] = {
        "train annotations": texts_of(cell.train.sources),
        "train images": texts_of(cell.train.files),
        **_measured(cell),
    }
    files = names_below(Path(local.root), groups)
    identity = Identity(FileHashes(Path(local.cache) / "hashes.json" if local.cache else None))
    inputs, listing = identity.take(cell.config, local, files)
    read = [p for named in files.values() for p in named.values()]
    read += [local.weights] if local.weights else []
    read += [str(p) for module in own_parts(cell.config).values() for p in sources_of(module).values()]
    return inputs, listing, read, identity.hashes.latest


def _measured(cell: Cell) -> dict[FileGroup, Sequence[str]]:
    """The files of the split that the cell is measured on, by what that split is."""
    annotations, images = texts_of(cell.test.sources), texts_of(cell.test.files)
    if cell.config.evaluation.split == "val":
        return {"val annotations": annotations, "val images": images}
    return {"test annotations": annotations, "test images": images}


def _refuse(reasons: list[str], when: str) -> None:
    if reasons:
        raise InputError(f"{'; '.join(reasons)} {when}")
