"""A run whose processes torchrun has started, on one machine or on several that share the run folder.

All of them are given the same command. That of rank 0 runs the study, one cell after the other; the others wait at
torchrun's store until a cell is announced, and start a process that helps to train it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from assignbench.errors import InputError
from assignbench.starting import OVER, attempt, command, key_of

POLL_SECONDS = 0.2
PATIENCE = timedelta(hours=1)  # until all machines are there
_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class _Board(Protocol):
    """What is asked of torch's store here: whether all of these keys are set."""

    def check(self, keys: list[str], /) -> bool: ...


@dataclass(frozen=True)
class Crew:
    """This process among the `size` of a run, the number of its GPU on its machine, and where the store is."""

    rank: int
    size: int
    number: int
    host: str
    port: int

    @property
    def meeting(self) -> str:
        """HOST:PORT of the store."""
        return f"{self.host}:{self.port}"


def crew() -> Crew | None:
    """What torchrun's variables say; None without them, or of a process alone. Raises InputError for no numbers."""
    told = {name: os.environ.get(name, "") for name in _NAMES}
    if not all(told.values()):
        return None
    try:
        rank, size, number, port = (int(told[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"))
    except ValueError:
        said = ", ".join(f"{name}={value:.40}" for name, value in told.items())
        raise InputError(f"{said}: expected numbers, as torchrun sets them; unset RANK to run without it") from None
    return Crew(rank, size, number, told["MASTER_ADDR"], port) if size > 1 else None


@contextmanager
def crewed() -> Iterator[bool]:
    """For the time of a block the others of a crew help this process; yields True where it was one of these, which
    have nothing left to do when the block begins. Without a crew it does nothing.
    """
    mine = crew()
    if mine is None:
        yield False
        return
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    hosts = mine.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    server = TCPStore(mine.host, mine.port, is_master=hosts, wait_for_workers=False, timeout=PATIENCE)
    store = PrefixStore(attempt(), server)
    if mine.rank > 0:
        # The signals reach all processes: this one leaves when rank 0, which may still save, has no more cells.
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        _help(mine, store)
        yield True
        return
    try:
        yield False
    finally:
        store.set(OVER, "")


def _help(mine: Crew, store: _Board) -> None:
    """Starts a process for every cell that is announced, until no other will be."""
    number, helper = 0, None
    while not store.check([OVER]):
        key = key_of(number)
        if store.check([key]):
            _end(helper)
            place = [mine.host, str(mine.port), f"{attempt()}/{key}"]
            helper = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                command("assignbench.engine.peer", [*place, str(mine.rank), str(mine.number), str(os.getpid())]),
                stdin=subprocess.DEVNULL,
            )
            number += 1
        time.sleep(POLL_SECONDS)
    _end(helper)


def _end(helper: subprocess.Popen[bytes] | None) -> None:
    """Ends a process whose cell rank 0 has left: it has ended by itself, or waits in vain."""
    if helper is not None:
        helper.kill()
        helper.wait()
