"""Who trains a cell: claim.json, which one process at a time holds.

A claim is created by a hard link, which one of two processes fails at, and changes hands under a lock on the cell's
folder. On its own machine a claim ends with its process, which is known by its number and the moment at which it
began: no clock is asked. On other machines it ends when it was not renewed for `LEASE_SECONDS`.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from assignbench.errors import InputError
from assignbench.records.files import read_json, write_json

CLAIM = "claim.json"
LEASE_SECONDS = 90.0
RENEWAL_SECONDS = 15.0
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
# How a cell's process tells its launcher what became of the cell, beside 0 for done.
EXIT_FAILED, EXIT_CLAIMED, EXIT_STOPPED = 1, 4, 130
PATIENCE_SECONDS = 20.0  # how long an orphan may take to write its checkpoint and leave


class Claimed(InputError):
    """The cell lives elsewhere; the message says who has it and since when."""


@dataclass(frozen=True)
class Holder:
    """A process that holds a claim. `began` is when it started, in ticks of its machine since the boot `boot`."""

    host: str
    boot: str
    pid: int
    began: int
    launcher: int
    launcher_began: int
    since: float
    renewed: float

    @property
    def here(self) -> bool:
        """Whether it ran on this machine since its last start."""
        return (self.host, self.boot) == (socket.gethostname(), _boot())

    @property
    def mine(self) -> bool:
        """Whether it is this very process."""
        return self.here and self.pid == os.getpid()

    @property
    def training(self) -> bool:
        """Whether the cell's own process holds it, and not the one that launches it later."""
        return self.launcher != self.pid

    @property
    def alive(self) -> bool:
        """Whether the process is there; one of another machine is believed until its lease is over."""
        if self.here:
            return self.began == began_of(self.pid) and self.began != 0
        return abs(time.time() - self.renewed) < LEASE_SECONDS

    @property
    def orphaned(self) -> bool:
        """Whether the process that launched it is gone, so that it is about to leave."""
        return self.here and (self.launcher_began == 0 or began_of(self.launcher) != self.launcher_began)

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since).astimezone().isoformat(sep=" ", timespec="seconds")
        return f"process {self.pid} on {self.host} since {since}"


def take(folder: Path, *, launcher: int = 0) -> None:
    """Makes this process the holder of a cell; again if it is already.

    A claim may be taken over from a process that is gone, and by a process from its `launcher`. Raises Claimed if
    another one holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    me = _me(launcher)
    with _locked(folder):
        found = holder_of(folder)
        if found is None:
            _create(folder, me)
            return
        mine = found.here and found.pid in (me.pid, launcher) and found.alive
        if found.alive and not mine:
            raise Claimed(
                f"{folder}: this cell is being trained by {found}; wait for it, or end that process and run again"
            )
        since = found.since if mine else me.since
        write_json(folder / CLAIM, {**asdict(me), "since": since})


@contextmanager
def all_kept(folders: Sequence[Path]) -> Iterator[None]:
    """Holds all cells or none for the time of a block, but those that went over to processes launched meanwhile.

    Raises Claimed naming one that lives elsewhere; waits for orphans to leave.
    """
    _await_signs(folders)
    taken: list[Path] = []
    try:
        for folder in sorted(folders):  # the same order for everyone: of two runs one gets all that it asks for
            _await_orphan(folder)
            take(folder)
            taken.append(folder)
        with _renewed(taken):
            yield
    finally:
        for folder in taken:
            release(folder)


def _await_signs(folders: Sequence[Path]) -> None:
    """Clocks of two machines may differ: whoever renews a claim that looks old lives, whatever the clocks say."""
    doubtful = {f: h for f in folders if (h := holder_of(f)) is not None and not h.here and not h.alive}
    if doubtful:
        time.sleep(1.5 * RENEWAL_SECONDS)
    for folder, before in doubtful.items():
        found = holder_of(folder)
        if found is not None and found.renewed != before.renewed:
            raise Claimed(f"{folder}: this cell is being trained by {found}; wait for it, or end that process")


def _await_orphan(folder: Path) -> None:
    """Waits for a process whose launcher is gone: it writes its checkpoint and leaves."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = holder_of(folder)
        if found is None or found.pid == os.getpid() or not (found.alive and found.orphaned):
            return
        time.sleep(0.2)


def renew(folder: Path) -> None:
    """Says that the holder lives, if it is this process."""
    with suppress(OSError), _locked(folder):
        found = holder_of(folder)
        if found is not None and found.mine:
            write_json(folder / CLAIM, {**asdict(found), "renewed": time.time()})


def release(folder: Path) -> None:
    """Gives a cell back that this process holds, or that a process which is gone left behind on this machine."""
    with suppress(OSError), _locked(folder):
        found = holder_of(folder)
        if found is not None and found.here and (found.pid == os.getpid() or not found.alive):
            (folder / CLAIM).unlink(missing_ok=True)


def holder_of(folder: Path) -> Holder | None:
    """Who holds a cell, alive or not; None where nobody does, or where the file is no claim."""
    try:
        content: dict[str, Any] = read_json(folder / CLAIM)
    except InputError:
        return None
    known = {f.name: _KINDS[str(f.type)] for f in fields(Holder)}
    if content.keys() != known.keys() or not all(isinstance(content[n], k) for n, k in known.items()):
        return None
    return Holder(**content)


@contextmanager
def kept(folder: Path, launcher: int = 0) -> Iterator[None]:
    """Holds a cell for the time of a block and renews the claim meanwhile. Raises Claimed as `take` does."""
    take(folder, launcher=launcher)
    try:
        with _renewed([folder]):
            yield
    finally:
        release(folder)


@contextmanager
def _renewed(folders: Sequence[Path]) -> Iterator[None]:
    """Renews claims for the time of a block, in a thread: a step or an evaluation may last longer than a lease."""
    over = threading.Event()

    def renewing() -> None:
        while not over.wait(RENEWAL_SECONDS):
            for folder in folders:
                renew(folder)

    thread = threading.Thread(target=renewing, daemon=True, name="claims")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def began_of(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if there is none, or only its exit code is waited for."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _signalled(pid) if not Path("/proc/self/stat").exists() else 0
    return 0 if after[0] in ("Z", "X") else int(after[19])


def _signalled(pid: int) -> int:
    """Without /proc: 1 if there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    except PermissionError:
        return 1
    return int(pid > 0)


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.is_file() else ""


def _me(launcher: int) -> Holder:
    now, parent = time.time(), launcher or os.getpid()
    pid = os.getpid()
    return Holder(socket.gethostname(), _boot(), pid, began_of(pid), parent, began_of(parent), now, now)


def _create(folder: Path, me: Holder) -> None:
    """Writes the first claim; of two that try one fails, also where folders cannot be locked."""
    partial = folder / f"{CLAIM}.{me.pid}.partial"
    broken = (folder / CLAIM).exists()
    write_json(partial, asdict(me))
    try:
        if broken:
            partial.replace(folder / CLAIM)
        else:
            os.link(partial, folder / CLAIM)
    except FileExistsError:
        raise Claimed(f"{folder}: another process has just begun to train this cell; wait for it") from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone in the folder for a moment; the lock ends with its process. Network folders may know no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
