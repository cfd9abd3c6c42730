"""Folders and pictures that the command line names, checked before anything is read, printed or written."""

from __future__ import annotations

import os
from pathlib import Path

from assignbench.config.words import shown
from assignbench.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg")  # what `report.style.save` writes


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


def check_picture(path: Path) -> None:
    """Raises InputError where `--picture` names no kind of picture that is drawn, or a place that no file can have."""
    if path.suffix.lower() not in PICTURES:
        ending = f"ends in {shown(path.suffix)}" if path.suffix else "has no ending"
        raise InputError(f"--picture {path!s:.300}: {ending}; write a name that ends in {', '.join(PICTURES)}")
    if is_folder(path):
        raise InputError(f"--picture {path}: is a folder; name a file in it")
    for folder in path.parents:
        if os.path.lexists(folder) and not is_folder(folder):
            raise InputError(f"--picture {path}: {folder} is no folder; name another place")
    try:
        path.lstat()
    except FileNotFoundError:  # it will be drawn
        return
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise InputError(f"--picture {shown(str(path))}: no file can be called so ({why})") from None
