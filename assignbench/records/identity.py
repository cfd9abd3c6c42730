"""inputs.json: what a cell was made from, written when training begins and compared with what lies there now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.formats import formats_of
from assignbench.config.inputs import FileGroup, FileSet, Inputs, Listing, file_sets, stale_reasons
from assignbench.config.sources import own_parts, sources_of
from assignbench.errors import InputError
from assignbench.records.files import read_json, write_json, write_table
from assignbench.records.hashes import FileHashes, Place
from assignbench.records.manifest import MANIFEST
from assignbench.records.schema import INPUT_FILES
from assignbench.records.store import CellRecord

FILE, TABLE = "inputs.json", INPUT_FILES.file


@dataclass(frozen=True)
class Comparison:
    """Why a cell is stale (nothing if it is not), and what of its inputs cannot be reached from here."""

    reasons: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def write_inputs(folder: Path, inputs: Inputs, listing: Listing) -> None:
    """inputs.json and the table of its files, which is written first."""
    columns = {
        "group": [group for group, files in listing.items() for _ in files],
        "file": [name for files in listing.values() for name in files],
        "sha256": [digest for files in listing.values() for digest in files.values()],
    }
    write_table(folder / TABLE, pd.DataFrame(columns), INPUT_FILES)
    write_json(folder / FILE, inputs.model_dump(mode="json"))


def read_inputs(folder: Path) -> Inputs:
    """What a cell was made from. Raises InputError where that is not recorded or not readable."""
    path = folder / FILE
    content = read_json(path)
    if not content:
        raise InputError(f"{folder}: has no {FILE}")
    try:
        return Inputs.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        raise InputError(f"{path}: {'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from None


def read_listing(folder: Path, inputs: Inputs) -> Listing:
    """The files that a cell was made from. Raises InputError where they are not those of its inputs.json."""
    path = folder / TABLE
    found: dict[FileGroup, dict[str, str]] = {group: {} for group in inputs.files}
    if inputs.files:
        try:
            table = pd.read_parquet(path)
            for group, name, digest in zip(table["group"], table["file"], table["sha256"], strict=True):
                found[group][name] = digest
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise InputError(f"{path}: cannot be read ({problem!s:.120})") from None
    if file_sets(found) != inputs.files:
        raise InputError(f"{path}: does not hold the files that {FILE} names")
    return found


def is_computed(record: CellRecord) -> bool:
    """Whether a folder holds anything that training it anew would lose."""
    return record.state == "done" or any((record.folder / "checkpoint").glob("*"))


def names_below(root: Path, groups: Mapping[FileGroup, Sequence[str]]) -> dict[FileGroup, dict[str, str]]:
    """Files of the data set, as pathlib writes them, by their names below its root."""
    start = root.as_posix().rstrip("/") + "/"
    return {group: {_below(p, root, start): p for p in paths} for group, paths in groups.items()}


def _below(path: str, root: Path, start: str) -> str:
    """A path below the root, whose own ends as `start`."""
    return path.removeprefix(start) if path.startswith(start) else Path(path).relative_to(root).as_posix()


class Identity:
    """Looks at inputs as they are now; what several cells share is looked at once. `tell` hears what takes long."""

    def __init__(self, hashes: FileHashes, tell: Callable[[str], None] = lambda text: None) -> None:
        self.hashes, self.tell = hashes, tell
        self._seen: dict[tuple[str, FileGroup, str], tuple[FileSet, Mapping[str, str], Mapping[str, str]]] = {}

    def take(
        self, config: CellConfig, paths: LocalPaths, files: Mapping[FileGroup, Mapping[str, str]]
    ) -> tuple[Inputs, Listing]:
        """The inputs of a cell that is about to be trained on `files` (paths by their names below the root)."""
        hashes = self.hashes.of_all([path for named in files.values() for path in named.values()], self.tell)
        listing = {
            group: {name: hashes[path] for name, path in named.items()} for group, named in files.items() if named
        }
        named = config.detector.weights
        weights = {named: self.hashes.of(Path(paths.weights))} if named else {}
        sources = {part: self._hashed(sources_of(module)) for part, module in own_parts(config).items()}
        inputs = Inputs(files=file_sets(listing), weights=weights, sources=sources, formats=formats_of(config))
        return inputs, listing

    def compare(self, record: CellRecord, paths: LocalPaths) -> Comparison:
        """Whether a cell's inputs are still what its numbers were made from.

        What is not there at all (another machine) is not compared; a cell that has computed nothing has nothing stale.
        """
        if not is_computed(record):
            return Comparison()
        try:
            recorded = read_inputs(record.folder)
            found = self._compared(record, recorded, paths)
            return Comparison((*found.reasons, *_training_reasons(record)), found.unchecked)
        except InputError as problem:
            return Comparison((f"what it was made from is not known: {problem}",))

    def _compared(self, record: CellRecord, recorded: Inputs, paths: LocalPaths) -> Comparison:
        config, unchecked = record.trained, []
        files, weights, sources = recorded.files, recorded.weights, {}
        before: dict[FileGroup, Mapping[str, str]] = {}
        after: dict[FileGroup, Mapping[str, str]] = {}
        if files and not Path(paths.root).is_dir():
            unchecked.append(f"data set '{config.data.name}': no folder {paths.root}")
        elif files:
            found = {group: self._files(record, recorded, group, Path(paths.root)) for group in files}
            files = {group: now for group, (now, _, _) in found.items()}
            before = {group: then for group, (_, then, _) in found.items()}
            after = {group: listed for group, (_, _, listed) in found.items()}
        if config.detector.weights and not (paths.weights and Path(paths.weights).exists()):
            unchecked.append(f"detector '{config.detector.label}': no weights file {paths.weights}")
        elif config.detector.weights:
            weights = {config.detector.weights: self.hashes.of(Path(paths.weights))}
        for part, module in own_parts(config).items():
            sources[part] = self._hashed(sources_of(module))
            if not sources[part] and recorded.sources.get(part):
                unchecked.append(f"{part}: no module {module} below {Path.cwd()} or among the installed ones")
                sources[part] = recorded.sources[part]
        now = Inputs(files=files, weights=weights, sources=sources, formats=formats_of(config))
        return Comparison(tuple(stale_reasons(recorded, now, before, after)), tuple(unchecked))

    def _files(
        self, record: CellRecord, recorded: Inputs, group: FileGroup, root: Path
    ) -> tuple[FileSet, Mapping[str, str], Mapping[str, str]]:
        """A group of files as it is now: its hash, and what its files were and are."""
        key = (str(root), group, recorded.files[group].sha256)
        if key not in self._seen:
            before = read_listing(record.folder, recorded)[group]
            after = self._hashed({name: str(root / name) for name in before if _is_below(name)})
            self._seen[key] = (file_sets({group: after})[group], before, after)
        return self._seen[key]

    def _hashed(self, files: Mapping[str, Place]) -> dict[str, str]:
        hashes = self.hashes.of_all(files.values(), self.tell)
        return {name: hashes[path] for name, path in files.items()}


def _training_reasons(record: CellRecord) -> list[str]:
    """Where a cell took its training from another one that has been trained again since, to other weights."""
    about = record.training
    try:
        name = LocalPaths(training=about.get("cell", "")).training
    except ValidationError:  # records may come from anywhere
        return []
    if not name:
        return []
    trained = CellRecord(record.folder.parent / name)
    if trained.state != "done":
        return []
    files = read_json(trained.folder / MANIFEST).get("files", {})
    now = files.get("checkpoint/weights.safetensors", {}).get("sha256")
    return [] if now == about["weights"] else [f"its training, that of {name}, was done again and has other weights"]


def _is_below(name: str) -> bool:
    """Whether a recorded name stays below the data root; records may come from anywhere."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts
