"""A report's folder on disk: written beside the old one and put in its place in one move."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assignbench.errors import InputError

PARTS = (
    "figures",
    "tables",
    "cells",
    "cite.bib",
    "report.md",
    "index.html",
)  # what a report consists of; the page that links is moved last
LEFTOVER_SECONDS = 3600.0  # an unfinished folder that nobody has touched for so long belongs to a process that died
_MADE = b"by assignbench "  # what stands in every page of a report
_FOLDERS = {
    "figures": (".svg", ".pdf", ".png", ".jpg"),
    "tables": (".csv", ".md", ".tex"),
    "cells": (".parquet",),
}
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100  # linux/fs.h


def check_publishable(folder: Path) -> None:
    """Raises InputError where writing a report into `folder` would replace what no report has written."""
    other = "it would be replaced; move it away, or name another folder"
    for name in ("report.md", "index.html"):
        path = folder / name
        if os.path.lexists(path) and not (path.is_file() and _MADE in path.read_bytes()):
            raise InputError(f"{path}: is no report of AssignBench's; {other}")
    for name, endings in _FOLDERS.items():
        part = folder / name
        if os.path.lexists(part) and not part.is_dir():
            raise InputError(f"{part}: is no folder of {name}; {other}")
        for path in sorted(part.iterdir()) if part.is_dir() else ():
            if path.suffix not in endings or not path.is_file():
                raise InputError(f"{path}: was not written by a report; {other}")


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `folder` at the end of the block.

    Until then, and for good if the block raises, the old folder stays as it was. On Linux the two change places in one
    system call; elsewhere there is a moment without a report, but never half a one. Where `folder` holds files that
    are no part of a report, these stay and the parts are replaced one by one. Raises InputError where `folder` is a
    file, or a link, since what is written would land elsewhere.
    """
    if folder.is_symlink():
        raise InputError(
            f"{folder}: is a link to {folder.readlink()}, and a report is never written through a link; remove it, "
            "or name the folder that it leads to"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, where a report needs a folder; name another one")
    mounted = folder.is_mount()  # such a folder cannot be moved
    beside = folder if mounted else folder.parent
    beside.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    new = beside / f".{folder.name}.{os.getpid()}-{time.time_ns()}"
    try:
        new.mkdir()  # in here: a signal's exception comes right after the call, where the machine is busy
        yield new
        if mounted or (folder.is_dir() and {p.name for p in folder.iterdir()} - set(PARTS)):
            for part in PARTS:
                _put(new / part, folder / part)
        else:
            _put(new, folder)
    finally:
        _remove(new)


def _put(new: Path, old: Path) -> None:
    """Moves `new` to where `old` is and removes `old`; a part that the new report lacks is removed."""
    if not new.exists():
        _remove(old)
    elif not os.path.lexists(old) and _renamed(new, old):
        return
    elif _exchanged(new, old):
        _remove(new)
    else:
        aside = new.with_name(new.name + ".old")
        old.rename(aside)
        new.rename(old)
        _remove(aside)


def _renamed(new: Path, old: Path) -> bool:
    """Whether `new` is now where nothing was; not if another run has put its report there meanwhile."""
    try:
        new.rename(old)
    except OSError as problem:
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two paths have changed places in one call, which Linux can on most file systems."""
    if not sys.platform.startswith("linux"):
        return False
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_leftovers(folder: Path) -> None:
    for path in folder.parent.glob(f".{folder.name}.*-*"):
        if path.is_dir() and not path.is_symlink() and time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
            _remove(path)
