"""Folders that the command line names, checked before anything is read, printed or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from assignbench.config.words import shown
from assignbench.errors import InputError


def is_folder(path: Path) -> bool:
    """Whether there is a folder; not so for what can be no path, such as a name of 5000 letters or with a NUL."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_there(folder: Path, what: str = "") -> None:
    """Raises InputError unless there is a folder; `what` stands before its name, e.g. "--images "."""
    if not is_folder(folder):
        raise InputError(f"{what}{folder!s:.300}: no such folder")


def check_out(out: Path) -> None:
    """Raises InputError where there can be no folder, or something else than a folder is in its way."""
    for path in (out, *out.parents):
        if os.path.lexists(path) and not is_folder(path):
            raise InputError(f"--out {out}: {path} is no folder; name another place, or move that file away")
    try:
        out.lstat()
    except FileNotFoundError:  # it will be made
        return
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise InputError(f"--out {shown(str(out))}: no folder can be called so ({why})") from None


@contextmanager
def in_place_of(target: Path) -> Iterator[Path]:
    """A new folder beside the target, which takes its place at the end; after an error all is as it was before.

    Raises InputError where nothing can be written.
    """
    parent = target.parent
    made = [p for p in (parent, *parent.parents) if not p.exists()]
    try:
        folder = parent / f".{target.name}-{os.getpid()}"
        folder.mkdir(parents=True)
    except OSError as problem:
        raise InputError(
            f"{parent}: cannot be written to ({problem.strerror}); name another folder with --out"
        ) from None
    try:
        yield folder
        former = folder.with_name(f"{folder.name}.former")
        if target.exists():
            target.rename(former)
        folder.rename(target)
        shutil.rmtree(former, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise
