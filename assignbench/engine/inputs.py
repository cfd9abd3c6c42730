"""What a cell is trained on: recorded before its first checkpoint, looked at again before the cell counts as done."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import Future
from pathlib import Path

from assignbench.config.cell import LocalPaths
from assignbench.config.inputs import FileGroup, Inputs, Listing, stale_reasons
from assignbench.config.sources import own_parts, sources_of
from assignbench.engine import checkpoint
from assignbench.engine.cell import Cell
from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json
from assignbench.records.hashes import FileHashes, changed_at
from assignbench.records.identity import Identity, is_computed, paths_below, read_inputs, read_listing, write_inputs

MANY = 2000  # files: looking at fewer takes no time
_ONE_AT_A_TIME = threading.Lock()


class Look:
    """The look at the inputs of a cell that begins or goes on, by which they are recorded.

    Many files, which may have to be read whole, are looked at `beside` the first steps by a thread; not so where a
    cell goes on or takes a training. `since` is the time in ns at which reading the data began.
    """

    def __init__(self, cell: Cell, since: int) -> None:
        self._cell, self._since = cell, since
        self._found: Future[tuple[Inputs, Listing]] = Future()
        local = LocalPaths.model_validate(read_json(cell.folder / "local.json"))
        many = len(cell.train.files) + len(cell.test.files) >= MANY
        self.beside = many and not local.training and not is_computed(CellRecord(cell.folder))
        if self.beside:
            threading.Thread(target=self._take, daemon=True).start()

    def record(self) -> list[str]:
        """Records the inputs, to be called before anything is kept that was computed from them; for a cell that goes
        on, they must be those that it began with.

        Where the record of them is damaged, nobody can say so: the cell begins anew, and what is returned tells it.
        Raises InputError if the inputs are others, or if they changed since reading began.
        """
        if not self.beside:
            self._take()
        inputs, listing = self._found.result()
        cell, told = self._cell, []
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

    def _take(self) -> None:
        """Looks at the files. Cells of a cohort have the same: the first reads them, and the others find the hashes."""
        try:
            with _ONE_AT_A_TIME:
                inputs, listing, paths = _taken(self._cell)
            for path in paths:
                if changed_at(path) > self._since:
                    raise InputError(f"{path}: changed while the cell was being prepared; run it again")
            self._found.set_result((inputs, listing))
        except BaseException as problem:  # told where it is asked for
            self._found.set_exception(problem)


def confirm(cell: Cell) -> None:
    """Raises InputError if an input is no longer what the cell began with: its numbers would be of a mixture."""
    inputs, listing, _ = _taken(cell)
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


def _taken(cell: Cell) -> tuple[Inputs, Listing, list[Path]]:
    """The cell's inputs as they are now, and the files that they are read from."""
    local = LocalPaths.model_validate(read_json(cell.folder / "local.json"))
    groups: dict[FileGroup, tuple[Path, ...]] = {
        "train annotations": cell.train.sources,
        "train images": cell.train.files,
        **_measured(cell),
    }
    files = paths_below(Path(local.root), groups)
    identity = Identity(FileHashes(Path(local.cache) / "hashes.json" if local.cache else None))
    inputs, listing = identity.take(cell.config, local, files)
    read = [p for named in files.values() for p in named.values()]
    read += [Path(local.weights)] if local.weights else []
    read += [p for module in own_parts(cell.config).values() for p in sources_of(module).values()]
    return inputs, listing, read


def _measured(cell: Cell) -> dict[FileGroup, tuple[Path, ...]]:
    """The files of the split that the cell is measured on, by what that split is."""
    annotations, images = cell.test.sources, cell.test.files
    if cell.config.evaluation.split == "val":
        return {"val annotations": annotations, "val images": images}
    return {"test annotations": annotations, "test images": images}


def _refuse(reasons: list[str], when: str) -> None:
    if reasons:
        raise InputError(f"{'; '.join(reasons)} {when}")
