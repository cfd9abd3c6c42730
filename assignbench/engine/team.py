"""How the processes that train one cell find each other, and what becomes of one that cannot go on.

The process of rank 0 runs the cell. It opens a store (torch's: a server of keys and values) and starts the others, or
they wait already at a store that torchrun has opened for all cells of a run. Each of the others builds the cell from
what the store says (`peer.py`), and gets weights and state from rank 0: it reads and writes nothing of the cell's
folder.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # torch exports them, but not by its own list

from assignbench.config.cell import LocalPaths
from assignbench.engine.cell import Cell
from assignbench.engine.distributed import ALONE, World
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Diverged
from assignbench.engine.stopping import Stopped, Wish
from assignbench.errors import InputError
from assignbench.records import read_json
from assignbench.starting import ANNOUNCED, attempt, command, key_of

# Alone, rank 0 visits probes and saves: the others wait so long. One that is gone is noticed at once.
PATIENCE = timedelta(hours=1)
GRACE_SECONDS = 60.0  # after the last step the others have nothing to do but to leave
POLL_SECONDS = 0.05
REASON_SECONDS = 5.0  # how long rank 0 waits for the reason of one that broke off


@contextmanager
def assembled(cell: Cell, first: int, wish: Wish, *, exact: bool = True) -> Iterator[World]:
    """For the time of a block, as many processes as local.json says train a cell with this one from step `first` on.

    The cell's learner has joined them; `exact` is what its Guard is. Where nothing is left to be trained, it goes on
    alone. Raises InputError with the reason if one of the others cannot go on, and Stopped on the wish.
    """
    local = LocalPaths.model_validate(read_json(cell.folder / "local.json"))
    size, device = local.processes, cell.learner.device.type
    if size == 1 or first >= cell.learner.steps:
        yield ALONE
        return
    if size > cell.loader.batch:
        raise InputError(
            f"{cell.folder / 'local.json'}: processes is {size}, but a batch holds {cell.loader.batch} images; name "
            "fewer (--nproc), or a larger schedule.batch_size"
        )
    server, key = _store(local.meeting)
    store = PrefixStore(key, server)
    about = {"config": cell.config.model_dump(mode="json"), "local": local.model_dump(mode="json")}
    store.set("job", json.dumps({**about, "size": size, "device": device, "exact": exact}))
    if local.meeting:
        server.set(key, "")
    started = [] if local.meeting else _started(server.port, key, size)
    clean = False
    try:
        _await(store, size, started, wish)
        store.set("begin", str(first))
        world = entered(store, 0, size, device)
        joined(cell.learner, world)
        yield world
        clean = True
    except Stopped:  # which all have agreed on
        clean = dist.is_initialized()
        raise
    except Exception as problem:
        told = _reason(store, size, started)
        if told:
            raise InputError(told) from problem
        raise
    finally:
        _end(store, started, clean=clean)


def agreed(world: World, learner: Learner, *, wanted: bool) -> bool:
    """Whether training stops after a step, which all processes decide alike. Raises what has stopped the learner of
    this one alone: nobody may wait for it.
    """
    problem = learner.stopped
    if world.size > 1 and problem is not None:
        if isinstance(problem, Diverged):  # for all of them alike
            return False
        learner.stopped = None
        raise problem
    return world.any(wanted)


def _store(meeting: str) -> tuple[TCPStore, str]:
    """The store where the processes meet, and what stands before this cell's keys in it."""
    host, _, port = meeting.rpartition(":")
    if not host:
        return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=PATIENCE), key_of(0)
    store = TCPStore(host, int(port), is_master=False, timeout=PATIENCE)
    number = PrefixStore(attempt(), store).add(ANNOUNCED, 1) - 1
    return store, f"{attempt()}/{key_of(number)}"


def _started(port: int, key: str, size: int) -> list[subprocess.Popen[bytes]]:
    """The processes of ranks 1 and up on this machine, which print where this one prints."""
    place, me = ["127.0.0.1", str(port), key], str(os.getpid())
    return [
        subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command("assignbench.engine.peer", [*place, str(rank), str(rank), me]), stdin=subprocess.DEVNULL
        )
        for rank in range(1, size)
    ]


def _await(store: Store, size: int, started: Sequence[subprocess.Popen[bytes]], wish: Wish) -> None:
    """Waits until all are ready. Raises RuntimeError if one breaks off before."""
    while not store.check([f"ready/{rank}" for rank in range(1, size)]):
        wish.heed()
        if _broken(store, size, started):
            raise RuntimeError("not all processes of the cell began")
        time.sleep(POLL_SECONDS)


def entered(store: Store, rank: int, size: int, device: str) -> World:
    """Joins the processes of a cell; returns when all of them have."""
    backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
    group = PrefixStore("group", store)
    dist.init_process_group(backend, store=group, rank=rank, world_size=size, timeout=PATIENCE)
    return World(rank, size)


def joined(learner: Learner, world: World) -> None:
    """Makes a learner one of several with the same weights, optimiser and averages: those of rank 0."""
    learner.join(world)
    buffer = io.BytesIO()
    if world.leads:
        torch.save(learner.state(), buffer)
    content = world.given(buffer.getvalue())
    if not world.leads:
        learner.restore(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))


def _broken(store: Store, size: int, started: Sequence[subprocess.Popen[bytes]]) -> str:
    """What one of the others says of why it broke off, or what its end says; empty while all go on.

    One that was killed comes first: it says nothing, and the others tell of the connection that it left behind.
    """
    ends = {rank: process.poll() or 0 for rank, process in enumerate(started, start=1)}
    killed = next((rank for rank, code in ends.items() if code < 0), 0)
    if killed:
        return _ended(killed, f"signal {-ends[killed]}" + (" (out of memory, or killed)" if ends[killed] == -9 else ""))
    for rank in range(1, size):
        if store.check([f"failed/{rank}"]):
            return f"process of rank {rank}: {store.get(f'failed/{rank}').decode()}"
    return next((_ended(rank, str(code)) for rank, code in ends.items() if code), "")


def _ended(rank: int, how: str) -> str:
    return f"the process of rank {rank} ended by {how}; the same command goes on from the last checkpoint"


def _reason(store: Store, size: int, started: Sequence[subprocess.Popen[bytes]]) -> str:
    """The same, waited for: what is heard first is that a connection broke."""
    deadline = time.monotonic() + REASON_SECONDS
    told = _broken(store, size, started)
    while not told and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        told = _broken(store, size, started)
    return told


def _end(store: Store, started: Sequence[subprocess.Popen[bytes]], *, clean: bool) -> None:
    """Leaves the others: after a common end they leave by themselves, else they are killed; they hold nothing."""
    if clean and dist.is_initialized():
        dist.destroy_process_group()
    store.set("over", "")
    for process in started:
        try:
            process.wait(GRACE_SECONDS if clean else 0.1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if started and dist.is_initialized():  # nobody is left to be waited for
        dist.destroy_process_group()
