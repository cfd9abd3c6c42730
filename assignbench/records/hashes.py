"""sha256 of files, remembered by path, size and times, so that a data set is read whole only once."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from assignbench.records.files import write_text
from assignbench.starting import available_cores

Place = TypeVar("Place", Path, str)  # a text is as pathlib writes it: of 100,000 files, paths take seconds
Stamp = tuple[int, int, int]  # size, mtime_ns, ctime_ns
# A file that was changed less than this before it was hashed may change again without another time stamp.
SETTLED_NS = 2_000_000_000
TELL_SECONDS = 2.0
_AT_ONCE = 64  # files that a thread is given: one by one, handing them over takes as long as half of the reading
_BLOCK = 1 << 18  # bytes


class FileHashes:
    """Hashes of the content of files; `cache` is a JSON file that keeps them for the next command (None: no file).

    Setting a file's mtime back changes its ctime, so that no edit goes unseen. A cache that is broken or cannot be
    written costs time, never an error. `latest` is the latest ctime in ns among all files that were asked for, of
    those that were read the one after it.
    """

    def __init__(self, cache: Path | None) -> None:
        self.cache, self.latest = cache, 0
        self._known: dict[str, Any] | None = None  # as the file has it: what is asked for is looked at then
        self._new: dict[str, tuple[Stamp, str]] = {}

    def of(self, path: Path) -> str:
        """The sha256 of a file as 64 hex digits; empty where there is no regular file that can be read."""
        return self.of_all([path])[path]

    def of_all(self, paths: Iterable[Place], tell: Callable[[str], None] = lambda text: None) -> dict[Place, str]:
        """The same for many files, read side by side; `tell` hears once what takes long."""
        asked = list(dict.fromkeys(paths))
        patience = _Patience(f"looking at {len(asked)} files, whether they are what the cells were made from", tell)
        if self._known is None and asked:
            self._known = _load(self.cache)
        known = self._known or {}
        found, waiting = {}, []
        for number, path in enumerate(asked):
            if not number % _AT_ONCE:
                patience.wait()
            stamp = _stamp(path)
            digest = "" if stamp is None else _told(known.get(_key(path)), stamp)
            if digest is None:
                waiting.append(path)
            else:
                found[path] = digest
            if stamp is not None and stamp[2] > self.latest:
                self.latest = stamp[2]
        if waiting:
            found |= self._read_all(waiting, patience)
            self._save()
        return found

    def _read_all(self, paths: list[Place], patience: _Patience) -> dict[Place, str]:
        found = {}
        threads = min(16, 2 * available_cores())
        size = max(1, min(_AT_ONCE, len(paths) // (4 * threads)))
        parts = [paths[start : start + size] for start in range(0, len(paths), size)]
        with ThreadPoolExecutor(threads) as pool:
            for part, hashed in zip(parts, pool.map(_hash_all, parts), strict=True):
                for path, (stamp, digest, changed) in zip(part, hashed, strict=True):
                    found[path] = digest
                    self.latest = max(self.latest, changed)
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


def _key(path: Path | str) -> str:
    text = str(path)
    return text if text.startswith("/") else str(Path(text).absolute())


def stat_of(path: Path | str) -> os.stat_result | None:
    """What the system says of a file; None where there is none."""
    try:
        return os.stat(path)  # noqa: PTH116 (to make paths of 100,000 texts takes as long as to ask for all of them)
    except (OSError, ValueError):  # a null character in a name is a ValueError
        return None


def _stamp(path: Path | str) -> Stamp | None:
    """Size and times of a regular file; None where there is none."""
    found = stat_of(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _hash_all(paths: Sequence[Path | str]) -> list[tuple[Stamp | None, str, int]]:
    buffer = bytearray(_BLOCK)
    return [_hash(path, buffer) for path in paths]


def _hash(path: Path | str, buffer: bytearray) -> tuple[Stamp | None, str, int]:
    """A file's hash, its stamp if the hash can be trusted for as long as the stamp stays, and its ctime by now."""
    before = _stamp(path)
    if before is None:
        return None, "", 0
    now = time.time_ns()
    try:
        digest = _read(path, memoryview(buffer))
    except OSError:
        return None, "", before[2]
    after = _stamp(path)
    settled = before == after and before[2] < now - SETTLED_NS
    return (before if settled else None), digest, before[2] if after is None else after[2]


def _read(path: Path | str, block: memoryview) -> str:
    """The sha256 of a file's content, as `hashlib.file_digest` finds it, which makes a block of its own each time."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (as above)
        while length := file.readinto(block):
            digest.update(block[:length])
    return digest.hexdigest()


def changed_at(path: Path | str) -> int:
    """When a file was last changed, its times included, in ns; 0 where there is none."""
    found = stat_of(path)
    return 0 if found is None else found.st_ctime_ns


def _told(entry: object, stamp: Stamp) -> str | None:
    """The hash of an entry of the cache, where it has the form of one and the file its stamp."""
    if not isinstance(entry, list) or len(entry) != 4 or tuple(entry[:3]) != stamp:
        return None
    digest = entry[3]
    return digest if isinstance(digest, str) and len(digest) == 64 else None


def _load(cache: Path | None) -> dict[str, Any]:
    """The entries of a cache file, whatever they are; none where it is missing or broken."""
    if cache is None:
        return {}
    try:
        content = json.loads(cache.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
