"""Archives of strangers: only plain files and folders, only below the folder that they are meant for, and in bounds."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from assignbench.errors import InputError

MOST_MEMBERS = 2_000_000
CONTENT, WHOLE = "content", "whole"  # in the folder of an unfinished archive: its members, and the mark behind the last
GROWTH, SPARE = 20, 1 << 28  # what comes out may be so many times as large as the archive, and so many bytes more
_BROKEN = (
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


@dataclass(frozen=True)
class _Member:
    """A file of an archive: its name there, its bytes, how to open it; `odd` says what it is if it is no plain file."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]
    folder: bool = False
    odd: str = ""


def is_archive(path: Path) -> bool:
    """Whether the file's name says that it is unpacked."""
    return path.name.endswith((".zip", ".tar", ".tar.gz", ".tgz"))


def unpack(archive: Path, into: Path, *, strip: int = 0, only: tuple[str, ...] = ()) -> None:
    """Unpacks into a folder, which need not be there; the first `strip` folders of names are left out.

    Of the names that are left only those count that begin with one of `only`, if it names any. What is in the folder
    under the same name is replaced. An error leaves the folder as it was, but for what was put in place at the end.
    Raises InputError for a file that is no such archive or is damaged, and for one with a name that leads out of the
    folder, a link or a device, or far more bytes than it should have.
    """
    aside = unfinished(archive, into)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        _fill(aside, archive, strip, only)
    except _BROKEN as problem:
        raise InputError(f"{archive}: cannot be unpacked ({str(problem) or type(problem).__name__:.200})") from None
    except RuntimeError as problem:  # of zipfile, e.g. for a password
        raise InputError(f"{archive}: cannot be unpacked ({problem!s:.200})") from None
    finally:
        if not (aside / WHOLE).exists():
            shutil.rmtree(aside, ignore_errors=True)
    finish(archive, into)


def unfinished(archive: Path, into: Path) -> Path:
    """The folder that is there while an archive is being unpacked into another one."""
    return into / f".unpacking-{archive.name}"


def finish(archive: Path, into: Path) -> None:
    """Puts what was unpacked whole in its place; nothing where nothing waits for that."""
    aside = unfinished(archive, into)
    if not (aside / WHOLE).is_file():
        return
    _put(aside / CONTENT, into)
    shutil.rmtree(aside)


def _fill(aside: Path, archive: Path, strip: int, only: tuple[str, ...]) -> None:
    """Writes the members below the empty folder, and WHOLE beside them when all of them are there."""
    left = GROWTH * archive.stat().st_size + SPARE
    taken = 0
    for count, member in enumerate(_members(archive)):
        name = _below(member.name, archive)
        parts = name.parts[strip:]
        if count >= MOST_MEMBERS:
            raise InputError(f"{archive}: has more than {MOST_MEMBERS} members; nothing of it was unpacked")
        if not parts or member.folder or (only and not "/".join(parts).startswith(only)):
            continue
        if member.odd:
            told = f"'{member.name:.200}' is {member.odd}, which no data set needs"
            raise InputError(f"{archive}: {told}; nothing of it was unpacked")
        left -= member.size
        if left < 0:
            raise InputError(f"{archive}: holds far more bytes than its own; nothing of it was unpacked")
        path = aside.joinpath(CONTENT, *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        if source is None:
            raise InputError(f"{archive}: '{member.name:.200}' cannot be read; nothing of it was unpacked")
        with source, path.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        taken += 1
    if not taken:
        raise InputError(f"{archive}: holds none of the files that are looked for")
    (aside / WHOLE).touch()


def _members(archive: Path) -> Iterator[_Member]:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                odd = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link or a device"
                yield _Member(info.filename, info.file_size, lambda i=info: file.open(i), info.is_dir(), odd)  # type: ignore[misc]
        return
    with tarfile.open(archive) as tar:
        for entry in tar:
            odd = "" if entry.isreg() or entry.isdir() else "a link or a device"
            yield _Member(entry.name, entry.size, lambda e=entry: tar.extractfile(e), entry.isdir(), odd)  # type: ignore[misc]


def _below(name: str, archive: Path) -> PurePosixPath:
    """The name as a path below the folder. Raises InputError where it is none."""
    path = PurePosixPath(name)
    wild = not name.isprintable() or "\\" in name or ":" in name or any(len(p.encode()) > 255 for p in path.parts)
    if wild or path.is_absolute() or ".." in path.parts:
        raise InputError(f"{archive}: the name {name!r:.200} leads out of its folder; nothing of it was unpacked")
    return path


def _put(source: Path, target: Path) -> None:
    """Moves a file or folder; into a folder that is there already, entry by entry."""
    if source.is_dir() and target.is_dir():
        for entry in sorted(source.iterdir()):
            _put(entry, target / entry.name)
        return
    source.replace(target)
