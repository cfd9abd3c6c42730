"""Who trains a cell: claim.json, which one process at a time holds.

A claim is created by a hard link, or where there are none as a new file, which one of two processes fails at, and
changes hands under a lock on the cell's
folder. On its own machine a claim ends with its process, which is known by its number and the moment at which it
began: no clock is asked. On other machines it is a lease, which its holder renews: it ends when whoever wants the cell
has seen it unchanged for `LEASE_SECONDS` of its own time, so that clocks which differ decide nothing. A holder whose
claim went to another one, because it slept or lost the shared folder for so long, leaves at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from assignbench.errors import InputError
from assignbench.records.files import link_new, read_json, write_json, write_new
from assignbench.records.processes import began_of, boot, host_name

CLAIM = "claim.json"
LEASE_SECONDS = 90.0
RENEWAL_SECONDS = 15.0
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
# How a cell's process tells its launcher what became of the cell, beside 0 for done.
EXIT_FAILED, EXIT_CLAIMED, EXIT_STOPPED = 1, 4, 130
PATIENCE_SECONDS = 20.0  # how long an orphan may take to write its checkpoint and leave
LOOK_SECONDS = 0.2  # between two looks at a claim that is waited for


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
        return (self.host, self.boot) == (host_name(), boot())

    @property
    def mine(self) -> bool:
        """Whether it is this very process."""
        return self.here and (self.pid, self.began) == (os.getpid(), began_of(os.getpid()))

    @property
    def training(self) -> bool:
        """Whether the cell's own process holds it, and not the one that launches it later."""
        return self.launcher != self.pid

    @property
    def alive(self) -> bool:
        """Whether the process is there; of another machine's only what its clock says, which decides nothing."""
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


@dataclass
class Signs:
    """When each claim of another machine was last seen to change, by the time of this process alone."""

    _seen: dict[Path, tuple[Holder, float]] = field(default_factory=dict)
    _renewed: set[Path] = field(default_factory=set)

    def alive(self, folder: Path, holder: Holder) -> bool:
        """Whether the holder may live: it does on this machine, or its claim changed within `LEASE_SECONDS`."""
        if holder.here:
            return holder.alive
        now = time.monotonic()
        before, since = self._seen.get(folder, (None, now))
        if before != holder:
            self._seen[folder] = (holder, now)
            if before is not None:
                self._renewed.add(folder)
            return True
        return now - since < LEASE_SECONDS

    def certain(self, folder: Path, holder: Holder) -> bool:
        """Whether it is certain that the holder lives; one of another machine has to renew its claim first."""
        return self.alive(folder, holder) and (holder.here or folder in self._renewed)


def take(folder: Path, *, launcher: int = 0, signs: Signs | None = None) -> None:
    """Makes this process the holder of a cell; again if it is already.

    A claim may be taken over from a process that is gone, and by a process from its `launcher`. Raises Claimed if
    another one holds it, or if the `signs` do not say yet that it is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    me, signs = _me(launcher), signs or Signs()
    with _locked(folder) as alone:
        found = holder_of(folder)
        if found is not None and found.here and found.pid in (me.pid, launcher) and found.alive:
            write_json(folder / CLAIM, asdict(replace(me, since=found.since)))
            return
        if found is not None and signs.alive(folder, found):
            raise Claimed(
                f"{folder}: this cell is being trained by {found}; wait for it, or end that process and run again"
            )
        _remove_dead(folder, found)
        linked = _create(folder, me)
        if not (alone and linked):
            _settled(folder)


def take_patiently(folder: Path, *, launcher: int = 0, signs: Signs | None = None) -> None:
    """As `take`, but waits for orphans to leave, and until it is certain whether a process of another machine lives."""
    signs, deadline = signs or Signs(), time.monotonic() + PATIENCE_SECONDS
    while True:
        found = holder_of(folder)
        leaving = found is not None and found.alive and found.orphaned and time.monotonic() < deadline
        doubtful = found is not None and signs.alive(folder, found) and not signs.certain(folder, found)
        if found is None or found.mine or not (leaving or doubtful):
            take(folder, launcher=launcher, signs=signs)
            return
        time.sleep(LOOK_SECONDS)


@contextmanager
def all_kept(folders: Sequence[Path]) -> Iterator[None]:
    """Holds all cells or none for the time of a block. Raises Claimed naming one that lives elsewhere; waits for
    orphans to leave."""
    taken: list[Path] = []
    try:
        for folder in sorted(folders):  # the same order for everyone: of two runs one gets all that it asks for
            take_patiently(folder)
            taken.append(folder)
        with renewing(lambda: taken, restore=True):
            yield
    finally:
        for folder in taken:
            release(folder)


def renew(folder: Path, *, restore: bool = False) -> bool:
    """Says that the holder lives, if it is this process; False if the claim is another one's.

    With `restore`, a claim that somebody removed is made again: for who knows that it has the cell.
    """
    with suppress(OSError, Claimed), _locked(folder):
        found = holder_of(folder)
        if found is None and restore:
            _remove_dead(folder, None)
            _create(folder, _me(0))
        elif found is None:
            return True
        elif found.mine:
            write_json(folder / CLAIM, {**asdict(found), "renewed": time.time()})
        else:
            return False
    return True


def release(folder: Path) -> None:
    """Gives a cell back that this process holds, or that a process which is gone left behind on this machine."""
    with suppress(OSError), _locked(folder):
        found = holder_of(folder)
        if found is not None and found.here and (found.pid == os.getpid() or not found.alive):
            (folder / CLAIM).unlink(missing_ok=True)


def holder_of(folder: Path) -> Holder | None:
    """Who holds a cell, alive or not; None where nobody does, or where the file is no claim."""
    return _holder_in(folder / CLAIM)


def _holder_in(path: Path) -> Holder | None:
    try:
        content: dict[str, Any] = read_json(path)
    except (InputError, OSError):  # removed between two looks
        return None
    known = {f.name: _KINDS[str(f.type)] for f in fields(Holder)}
    if content.keys() != known.keys() or not all(isinstance(content[n], k) for n, k in known.items()):
        return None
    return Holder(**content)


@contextmanager
def kept(folder: Path, launcher: int = 0, lost: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a cell for the time of a block and renews the claim meanwhile; `lost` is called if it is another one's.

    Raises Claimed as `take_patiently` does.
    """
    take_patiently(folder, launcher=launcher)
    try:
        with renewing(lambda: [folder], lost, restore=True):
            yield
    finally:
        release(folder)


@contextmanager
def renewing(
    folders: Callable[[], Iterable[Path]], lost: Callable[[], None] = lambda: None, *, restore: bool = False
) -> Iterator[None]:
    """Renews claims for the time of a block, in a thread: a step or an evaluation may last longer than a lease."""
    over = threading.Event()

    def renew_all() -> None:
        while not over.wait(RENEWAL_SECONDS):
            if not all([renew(folder, restore=restore) for folder in list(folders())]):
                lost()

    thread = threading.Thread(target=renew_all, daemon=True, name="claims")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _me(launcher: int) -> Holder:
    now, parent = time.time(), launcher or os.getpid()
    pid = os.getpid()
    return Holder(host_name(), boot(), pid, began_of(pid), parent, began_of(parent), now, now)


def _remove_dead(folder: Path, dead: Holder | None) -> None:
    """Moves the claim of a process that is gone out of the way, or a file that is no claim.

    Where folders cannot be locked, another one may have put its claim there meanwhile: that one is put back. Raises
    Claimed then.
    """
    aside = folder / f"{CLAIM}.{host_name()}-{os.getpid()}.partial"
    try:
        (folder / CLAIM).rename(aside)
    except FileNotFoundError:
        return
    found = _holder_in(aside)
    try:
        if found is not None and found != dead:
            with suppress(OSError):
                link_new(aside, folder / CLAIM)
            raise Claimed(f"{folder}: {found} has just begun to train this cell; wait for it")
    finally:
        aside.unlink(missing_ok=True)


def _create(folder: Path, me: Holder) -> bool:
    """Writes a claim where there is none; of two that try one fails, also where folders cannot be locked.

    False if it stood there empty for a moment.
    """
    try:
        return write_new(folder / CLAIM, json.dumps(asdict(me)).encode())
    except (FileExistsError, FileNotFoundError):  # the cell's process, which has it by now, tidies what is half written
        raise Claimed(f"{folder}: another process has just begun to train this cell; wait for it") from None


def _settled(folder: Path) -> None:
    """Waits for those who saw what was there before the claim, maybe an empty file: who took it away is through then.

    Raises Claimed if the cell went to another one meanwhile.
    """
    time.sleep(LOOK_SECONDS)
    found = holder_of(folder)
    if found is None or not found.mine:
        raise Claimed(f"{folder}: another process has just begun to train this cell; wait for it")


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Alone in the folder for a moment; the lock ends with its process. Network folders may know no locks: false."""
    handle = os.open(folder, os.O_RDONLY)
    locked = False
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
            locked = True
        yield locked
    finally:
        os.close(handle)
