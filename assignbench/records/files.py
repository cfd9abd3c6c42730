"""Files that are there whole or not at all, and reading back what may have been damaged since."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from assignbench.errors import InputError
from assignbench.json_files import Limits, load
from assignbench.records.columns import TableSchema
from assignbench.records.processes import host_name

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
LIMITS = Limits(size=1 << 26, values=10_000_000)  # of one JSON file of a record


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path` to be filled, which then takes its place; an error leaves what was there.

    What was half written is removed, so that a full disk does not stay full because of it. A link that somebody put in
    the way is not followed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = f"{host_name()}-{os.getpid()}"  # runs side by side, also of several machines, share a study's folder
    partial = path.with_name(f"{path.name}.{mine}.partial")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a file that is there whole or not at all (`whole_file`)."""
    with whole_file(path) as partial:
        write(partial)


def write_new(path: Path, content: bytes) -> bool:
    """Writes a file where there is none; raises FileExistsError where there is one. Of many that try one succeeds.

    It is there whole at once, by a hard link. Where a file system has none (exFAT, many network and FUSE ones), it is
    there empty for a moment: false then.
    """
    partial = path.with_name(f"{path.name}.{host_name()}-{os.getpid()}.partial")
    try:
        write_bytes(partial, content)
        return link_new(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def link_new(path: Path, target: Path) -> bool:
    """Gives a file a second name, or its content to a new file, as `write_new` does."""
    try:
        os.link(path, target)
        return True
    except OSError as problem:
        if problem.errno not in _NO_LINKS:
            raise
    content = path.read_bytes()
    with target.open("xb") as file:
        file.write(content)
    return False


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    write_whole(path, lambda partial: partial.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: object) -> None:
    """JSON, written whole or not at all. Raises ValueError for NaN and infinities, which JSON does not know."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if the file is not there. Raises InputError if it is broken or larger than records are."""
    if not path.exists():
        return {}
    content = load(path, LIMITS)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__} where records hold a mapping")
    return content


def write_table(path: Path, table: pd.DataFrame, schema: TableSchema | None = None) -> None:
    """Parquet, written whole or not at all.

    With a schema, the table is checked first: InputError names the file and the column that is missing, unknown, there
    twice, of another type, or without a value where it needs one. Without, the table is the caller's own.
    """
    checked = table if schema is None else schema.table(table, str(path))
    write_whole(path, lambda partial: checked.to_parquet(partial, index=False))


def append_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Adds JSON lines and hands them to the operating system at once; a link in the way is not followed."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666), "a") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole JSON lines of a file; a line cut short by a crash ends the reading."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(row, dict):
                break
            rows.append(row)
    return rows


def digest_of(path: Path) -> str:
    """The sha256 of a file, worked out once per process for a file that is as it was."""
    about = path.stat()
    return _digest(path, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


@lru_cache(maxsize=65536)
def _digest(path: Path, size: int, modified: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
