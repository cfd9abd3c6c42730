"""The folder that `analyze` writes: replaced as a whole, and only where nothing in it is somebody else's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from assignbench.errors import InputError
from assignbench.records import read_json
from assignbench.records.manifest import CACHE
from assignbench.report.folder import PARTS

# What `analyze` writes into the folder of a cell.
_CELL = (
    *("config.json", "environment.json", "status.json", "summary.json", "manifest.json"),
    *("images.parquet", "objects.parquet", "detections.parquet", "pre_nms.parquet"),
)
# The folders below a report, a cell and the result itself, with the kinds of file that they hold.
_FOLDERS = {
    "figures": (".svg", ".pdf", ".png", ".jpg"),
    "tables": (".csv", ".tex", ".md"),
    "cells": (".parquet",),
    CACHE: (".json", ".bin"),
}


def check_results(target: Path) -> None:
    """Raises InputError unless there is no such folder, or one that holds nothing but a former result of `analyze`."""
    other = "move it away, or name another folder with --name or --out"
    if target.is_symlink():
        raise InputError(f"{target}: is a link, and a result is never written through a link; {other}")
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise InputError(f"{target}: is no folder, where the result would be; {other}")
    foreign = next(_foreign(target), None)
    if foreign is not None:
        raise InputError(f"{target}: would be replaced, but holds {foreign}, which `analyze` did not write; {other}")


def _foreign(target: Path) -> Iterator[str]:
    """Whatever in the folder no `analyze` wrote."""
    for path in sorted(target.iterdir()):
        sound = path.is_dir() and not path.is_symlink()
        if path.name == "study.json":
            if not _imported(path):
                yield path.name
        elif path.name == "report" and sound:
            yield from _others(path, PARTS, target)
        elif path.name.startswith("imported-") and sound:
            yield from _others(path, (*_CELL, CACHE), target)
        elif path.name == CACHE and sound:
            yield from _of_other_kinds(path, target)
        else:
            yield path.name


def _others(folder: Path, known: tuple[str, ...], target: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        sound = path.name in known and not path.is_symlink()
        if sound and path.name in _FOLDERS and path.is_dir():
            yield from _of_other_kinds(path, target)
        elif not sound or not path.is_file():
            yield path.relative_to(target).as_posix()


def _of_other_kinds(folder: Path, target: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.suffix not in _FOLDERS[folder.name] or not path.is_file() or path.is_symlink():
            yield path.relative_to(target).as_posix()


def _imported(path: Path) -> bool:
    try:
        return read_json(path).get("imported") is True
    except InputError:
        return False
