"""sha256 of files, remembered by path, size and times, so that a data set is read whole only once."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from assignbench.records.files import write_text

Stamp = tuple[int, int, int]  # size, mtime_ns, ctime_ns
# A file that was changed less than this before it was hashed may change again without another time stamp.
SETTLED_NS = 2_000_000_000
TELL_SECONDS = 2.0


class FileHashes:
    """Hashes of the content of files; `cache` is a JSON file that keeps them for the next command (None: no file).

    Setting a file's mtime back changes its ctime, so that no edit goes unseen. A cache that is broken or cannot be
    written costs time, never an error.
    """

    def __init__(self, cache: Path | None) -> None:
        self.cache = cache
        self._known: dict[str, Any] | None = None  # as the file has it: what is asked for is looked at then
        self._new: dict[str, tuple[Stamp, str]] = {}

    def of(self, path: Path) -> str:
        """The sha256 of a file as 64 hex digits; empty where there is no regular file that can be read."""
        return self.of_all([path])[path]

    def of_all(self, paths: Iterable[Path], tell: Callable[[str], None] = lambda text: None) -> dict[Path, str]:
        """The same for many files, read side by side; `tell` hears once what takes long."""
        asked = list(dict.fromkeys(paths))
        patience = _Patience(f"looking at {len(asked)} files, whether they are what the cells were made from", tell)
        found, waiting = {}, []
        for path in asked:
            patience.wait()
            known = self._remembered(path)
            if known is None:
                waiting.append(path)
            else:
                found[path] = known
        if waiting:
            found |= self._read_all(waiting, patience)
            self._save()
        return found

    def _remembered(self, path: Path) -> str | None:
        """The hash of a file that has not changed since; empty for one that is not there; None if it must be read."""
        if self._known is None:
            self._known = _load(self.cache)
        stamp = _stamp(path)
        if stamp is None:
            return ""
        return _told(self._known.get(_key(path)), stamp)

    def _read_all(self, paths: list[Path], patience: _Patience) -> dict[Path, str]:
        found = {}
        with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
            for path, (stamp, digest) in zip(paths, pool.map(_hash, paths), strict=True):
                found[path] = digest
                if stamp is not None:
                    self._new[_key(path)] = (stamp, digest)
                patience.wait()
        return found

    def _save(self) -> None:
        """Adds what is new to what stands in the file by now, which another process may have written."""
        if self._known is None or not self._new:
            return
        new = {k: [*stamp, digest] for k, (stamp, digest) in self._new.items()}
        self._known |= new
        if self.cache is None:
            self._new.clear()
            return
        try:
            write_text(self.cache, json.dumps(_load(self.cache) | new))
        except OSError:
            return
        self._new.clear()


class _Patience:
    """Tells once what is going on when it takes long."""

    def __init__(self, text: str, tell: Callable[[str], None]) -> None:
        self._text, self._tell, self._until = text, tell, time.monotonic() + TELL_SECONDS

    def wait(self) -> None:
        """To be called again and again."""
        if time.monotonic() > self._until:
            self._until = float("inf")
            self._tell(self._text)


def _key(path: Path) -> str:
    return str(path.absolute())


def _stamp(path: Path) -> Stamp | None:
    """Size and times of a regular file; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a null character in a name is a ValueError
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else None


def _hash(path: Path) -> tuple[Stamp | None, str]:
    """A file's hash, and its stamp if the hash can be trusted for as long as the stamp stays."""
    before = _stamp(path)
    if before is None:
        return None, ""
    now = time.time_ns()
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None, ""
    settled = before == _stamp(path) and before[2] < now - SETTLED_NS
    return (before if settled else None), digest


def changed_at(path: Path) -> int:
    """When a file was last changed, its times included, in ns; 0 where there is none."""
    try:
        return path.stat().st_ctime_ns
    except (OSError, ValueError):
        return 0


def _told(entry: object, stamp: Stamp) -> str | None:
    """The hash of an entry of the cache, where it has the form of one and the file its stamp."""
    match entry:
        case [size, mtime, ctime, str(digest)] if len(digest) == 64 and (size, mtime, ctime) == stamp:
            return digest
    return None


def _load(cache: Path | None) -> dict[str, Any]:
    """The entries of a cache file, whatever they are; none where it is missing or broken."""
    if cache is None:
        return {}
    try:
        content = json.loads(cache.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
