"""Records on their way between machines that share no folder: what changed of a cell's folder, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from assignbench.errors import InputError
from assignbench.records import write_bytes
from assignbench.records.manifest import MANIFEST

STAYS = ("claim.json", "queued.json", "local.json")  # of each machine's own
LAST = ("status.json", MANIFEST)  # what says that the rest is there

Files = dict[str, bytes]


@dataclass
class Parcels:
    """Tells what of a folder has changed since the parcel before."""

    folder: Path
    _sent: dict[str, tuple[int, int]] = field(default_factory=dict)

    def next(self) -> tuple[Files, list[str]]:
        """The files that are new or changed, and the names of all that are there."""
        changed, names = {}, []
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if name in STAYS or name.endswith(".partial") or not path.is_file():
                continue
            try:
                about = path.stat()
                if self._sent.get(name) != (about.st_size, about.st_mtime_ns):
                    changed[name] = path.read_bytes()
                    self._sent[name] = (about.st_size, about.st_mtime_ns)
            except FileNotFoundError:  # a checkpoint that has made room for the next one
                continue
            names.append(name)
        return changed, names


def unpack(folder: Path, files: Mapping[str, bytes], names: list[str] | None = None) -> None:
    """Writes files into a folder, each whole; what the sender does not have any more (`names`) goes afterwards.

    What says that others are there is written after them: a checkpoint's own file, the status, the manifest. Raises
    InputError for a name that leads out of the folder.
    """
    for name in sorted(files, key=_rank):
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or name in STAYS:
            raise InputError(f"{folder}: was sent the file {name!r}, which is none of a cell's")
        write_bytes(folder / name, files[name])
    if names is not None:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and name not in STAYS and name not in names and not name.endswith(".partial"):
                path.unlink()


def _rank(name: str) -> tuple[int, str]:
    if name in LAST:
        return 2 + LAST.index(name), name
    return int(name.startswith("checkpoint/step-")), name
