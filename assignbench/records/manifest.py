"""The manifest of a finished cell: every file with its bytes and checksum, written last. Without it nothing is done."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow.parquet

from assignbench.config.cell import FORMAT
from assignbench.errors import InputError
from assignbench.records.files import digest_of, read_json, write_json

MANIFEST = "manifest.json"
CACHE = "cache"  # what reports keep under a cell for the next one; it can be removed at any time
# What may change when a cell is finished (where its data lies, who looks at it), or tells nothing that is counted on.
NOT_LISTED = (
    *(MANIFEST, "status.json", "claim.json", "local.json", "queued.json", "log.txt", "error.txt", "*.partial"),
    *("tensorboard/*", f"{CACHE}/*"),
)

_TOLD = {"bytes", "sha256", "modified"}  # of every file


def listed(folder: Path) -> list[Path]:
    """The files that make a finished cell, in a fixed order."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return [p for p in found if not any(fnmatchcase(p.relative_to(folder).as_posix(), n) for n in NOT_LISTED)]


def finish(folder: Path, **status: Any) -> None:
    """Declares a cell finished: its status (with what `status` adds), and then the manifest of all its files."""
    write_json(folder / "status.json", {"state": "done", "heartbeat": time.time(), **status})
    files = {path.relative_to(folder).as_posix(): _entry(path) for path in listed(folder)}
    write_json(folder / MANIFEST, {"format": FORMAT, "files": files})


def _entry(path: Path) -> dict[str, Any]:
    about = path.stat()
    entry = {"bytes": about.st_size, "sha256": digest_of(path), "modified": about.st_mtime_ns}
    if path.suffix == ".parquet":
        entry["rows"] = int(pyarrow.parquet.read_metadata(path).num_rows)
    elif path.suffix == ".jsonl":
        entry["rows"] = path.read_bytes().count(b"\n")
    return entry


def damage_of(folder: Path, *, thorough: bool = False, digest: Callable[[Path], str] = digest_of) -> str:
    """Where a folder is not what its manifest says, in one sentence; "" if it is whole.

    status.json has to say that the cell is done. Sizes are always compared. Contents are compared where a file was
    written to since, or copied, and with `thorough` everywhere; `digest` gives a file's sha256.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except InputError:
        return f"{MANIFEST} is broken"
    files = manifest.get("files")
    if not manifest:
        return f"{MANIFEST} is missing"
    if manifest.get("format") != FORMAT or not isinstance(files, dict) or not files:
        return f"{MANIFEST} is broken"
    found = [told for name, entry in files.items() if (told := _difference(folder, str(name), entry, thorough, digest))]
    found += [told] if (told := _status(folder)) else []
    more = f" (and {len(found) - 1} more files)" if len(found) > 1 else ""
    return found[0] + more if found else ""


def differing(folder: Path) -> list[Path]:
    """The files that are there but not as the manifest says. Raises InputError for a broken manifest."""
    files = read_json(folder / MANIFEST).get("files")
    if not isinstance(files, dict):
        raise InputError(f"{folder / MANIFEST}: names no files")
    wrong = [
        folder / str(name) for name, entry in files.items() if _difference(folder, str(name), entry, True, digest_of)
    ]
    return [path for path in wrong if path.is_file()]


def _status(folder: Path) -> str:
    try:
        content = read_json(folder / "status.json")
    except InputError:
        return "status.json is broken"
    said = content.get("state")
    return "" if said == "done" else f"status.json says {str(said)[:20]!r}" if content else "status.json is missing"


def _difference(folder: Path, name: str, entry: Any, thorough: bool, digest: Callable[[Path], str]) -> str:
    told = set(entry) if isinstance(entry, dict) else set()
    if not told >= _TOLD or told - _TOLD - {"rows"} or ".." in Path(name).parts or Path(name).is_absolute():
        return f"{MANIFEST} is broken at {name!r:.200}"
    path = folder / name
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # to read a pipe is to wait for ever
            return f"{name} is no regular file"
        if about.st_size != entry.get("bytes"):
            return f"{name} has {about.st_size} bytes where {MANIFEST} says {entry.get('bytes')}"
        same = about.st_mtime_ns == entry.get("modified") and not thorough
        return "" if same or digest(path) == entry.get("sha256") else f"{name} has another content than {MANIFEST} says"
    except FileNotFoundError:
        return f"{name} is missing"
    except (OSError, ValueError) as problem:  # ValueError: a NUL, or half of a surrogate pair
        return f"{name!r:.200} cannot be read ({getattr(problem, 'strerror', 'no name of a file')})"
