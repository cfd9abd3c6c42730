"""An offer, from its addresses to the folder that a study names."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from assignbench.downloads.ledger import FILE, Checked, Ledger, Wrong
from assignbench.downloads.offers import Archive, Offer
from assignbench.downloads.transfer import Stopped, Watch, download
from assignbench.downloads.unpack import finish, is_archive, unfinished, unpack
from assignbench.errors import InputError

Tell = Callable[[str], None]
Pause = Callable[[float], None]
COMING = ".downloads"  # where archives are until they are unpacked
SPARE = 1 << 28  # bytes that a file may have beyond twice what is known of it


def get(offer: Offer, data_folder: Path, tell: Tell, watch: Watch, *, pause: Pause = time.sleep) -> Path:
    """Downloads what is missing of an offer, checks and unpacks it, and returns its folder.

    An archive that somebody put into the data folder is taken instead of the server's, and left there. Raises
    InputError where something cannot be had, is not what it should be or does not fit on the disk; what came is kept,
    so that the same call goes on.
    """
    folder = data_folder / offer.folder
    if not any(_lacks(archive, folder) for archive in offer.archives):
        for archive in offer.archives:  # a call that was stopped behind its last step may have left one
            (data_folder / COMING / archive.file).unlink(missing_ok=True)
        return folder
    with _alone(data_folder):
        wanted = [a for a in offer.archives if _lacks(a, folder)]
        _check_room(wanted, data_folder)
        for archive in wanted:
            _bring(archive, data_folder, folder, tell, watch, pause)
        if offer.arrange is not None:
            offer.arrange(folder)
    lacking = [part for part in offer.holds if not (folder / part).exists()]
    if lacking:
        raise InputError(
            f"{folder}: {lacking[0]} was not in what was downloaded; the archive is no longer the one that is known "
            "here, so arrange the folder by hand, or ask for a newer AssignBench"
        )
    return folder


def _lacks(archive: Archive, folder: Path) -> bool:
    """Whether an archive is still to be had, or was only half put in place."""
    return unfinished(Path(archive.file), folder).exists() or not all((folder / p).exists() for p in archive.holds)


def _bring(archive: Archive, data_folder: Path, folder: Path, tell: Tell, watch: Watch, pause: Pause) -> None:
    """One archive, to its place in the offer's folder."""
    brought, coming = data_folder / archive.file, data_folder / COMING / archive.file
    ledger = Ledger(data_folder / FILE)
    finish(coming, folder)
    if not _lacks(archive, folder):
        coming.unlink(missing_ok=True)
        return
    own = brought.is_file()
    if own:
        tell(f"{brought} is there")
        checked = ledger.check(brought, archive.address, archive.checksum)
    else:
        tell(archive.address)
        checked = _downloaded(archive, coming, brought, ledger, watch, pause)
    tell(checked.told)
    try:
        _place(brought if own else coming, folder, archive, keep=own)
    except InputError as problem:
        if own:
            raise
        coming.unlink()
        raise InputError(f"{problem}; it was removed, and the same command downloads it again") from None
    ledger.keep(archive.address, checked)


def _downloaded(archive: Archive, coming: Path, brought: Path, ledger: Ledger, watch: Watch, pause: Pause) -> Checked:
    """Downloads an archive unless it is there; returns what is known of its checksum."""
    most = 2 * archive.size + SPARE
    for again in (True, False):
        try:
            continued = coming.is_file() or download(archive.address, coming, watch, most=most, pause=pause)
        except Stopped as problem:
            raise InputError(
                f"{problem}; what came is kept and the same command goes on, or put the file there yourself: {brought}"
            ) from None
        except InputError as problem:
            raise InputError(f"{problem}; where you have the file, put it there: {brought}") from None
        try:
            return ledger.check(coming, archive.address, archive.checksum)
        except Wrong as problem:
            coming.unlink()
            if not (again and continued):  # two parts may be of two files, so all of it is tried once
                raise InputError(
                    f"{problem}; it was removed. The same command tries again; where you have the right file, put it "
                    f"there: {brought}"
                ) from None
    raise AssertionError  # the second time either returns or raises


def _place(file: Path, folder: Path, archive: Archive, *, keep: bool) -> None:
    """Unpacks an archive, or moves a file that is none; `keep` leaves it where it is."""
    if is_archive(file):
        unpack(file, folder, strip=archive.strip, only=archive.only)
        if not keep:
            file.unlink()
        return
    folder.mkdir(parents=True, exist_ok=True)
    if keep:
        shutil.copyfile(file, folder / f"{file.name}.copy")
        (folder / f"{file.name}.copy").replace(folder / file.name)
    else:
        file.replace(folder / file.name)


def _check_room(wanted: list[Archive], data_folder: Path) -> None:
    """Raises InputError where the archives, and what they unpack to, cannot fit: a guess before hours of waiting."""
    if not wanted:
        return
    need = sum(a.size for a in wanted) + max(a.size for a in wanted)
    free = shutil.disk_usage(data_folder).free
    there = sum(p.stat().st_size for a in wanted for p in (data_folder / COMING).glob(f"{a.file}*"))
    if need > free + there:
        raise InputError(
            f"{data_folder}: about {need / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; make room, or "
            "point ASSIGNBENCH_DATA at a folder on another disk"
        )


@contextmanager
def _alone(data_folder: Path) -> Iterator[None]:
    """One process at a time downloads into a data folder. Raises InputError for a second one."""
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
        lock = (data_folder / ".downloads.lock").open("w")
    except OSError as problem:
        told = f"{data_folder}: cannot be written to ({problem.strerror})"
        raise InputError(f"{told}; point ASSIGNBENCH_DATA at another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{data_folder}: another process downloads into it; wait for its end") from None
        yield
