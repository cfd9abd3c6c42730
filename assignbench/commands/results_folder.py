"""The folder that `analyze` writes: replaced as a whole, and only where nothing in it is somebody else's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from assignbench.errors import InputError
from assignbench.records import read_json
from assignbench.report.folder import PARTS

# What `analyze` writes into the folder of a cell.
_CELL = (
    *("config.json", "environment.json", "status.json", "summary.json", "manifest.json"),
    *("images.parquet", "objects.parquet", "detections.parquet", "pre_nms.parquet"),
)
_PICTURES = (".png", ".jpg")


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
            yield from _others(path, _CELL, target)
        else:
            yield path.name


def _others(folder: Path, known: tuple[str, ...], target: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        sound = path.name in known and not path.is_symlink()
        if sound and path.name == "figures" and path.is_dir():
            for figure in sorted(path.iterdir()):
                if figure.suffix not in _PICTURES or not figure.is_file() or figure.is_symlink():
                    yield figure.relative_to(target).as_posix()
        elif not sound or not path.is_file():
            yield path.relative_to(target).as_posix()


def _imported(path: Path) -> bool:
    try:
        return read_json(path).get("imported") is True
    except InputError:
        return False


@contextmanager
def in_place_of(target: Path) -> Iterator[Path]:
    """A new folder beside the target, which takes its place at the end; after an error all is as it was before."""
    parent = target.parent
    made = [p for p in (parent, *parent.parents) if not p.exists()]
    try:
        folder = parent / f".{target.name}-{os.getpid()}"
        folder.mkdir(parents=True)
    except OSError as problem:
        raise InputError(
            f"{parent}: cannot be written to ({problem.strerror}); name another folder with --out"
        ) from None
    former = folder.with_name(f"{folder.name}.former")
    try:
        yield folder
        check_results(target)  # once more: somebody may have put something there meanwhile
        if target.exists():
            target.rename(former)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if former.exists() and not target.exists():
            former.rename(target)
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise
    shutil.rmtree(former, ignore_errors=True)
