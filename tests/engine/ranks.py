"""Several processes of a test, joined by gloo."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from assignbench.engine.distributed import World
from tests.forked import CONTEXT


def together(size: int, folder: Path, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(world, *arguments)` returns in each of `size` processes, by rank: tensors, numbers, lists, dicts."""
    folder.mkdir()
    ends = []
    for rank in range(size):
        here, there = CONTEXT.Pipe(duplex=False)
        CONTEXT.Process(target=_one, args=(folder, rank, size, there, work, arguments)).start()
        there.close()  # so that a process that is gone leaves nobody waiting
        ends.append(here)
    found = [torch.load(io.BytesIO(end.recv_bytes()), weights_only=True) for end in ends]
    told = [problem for problem, _ in found if problem]
    assert not told, "\n".join(told)
    return [result for _, result in found]


def _one(
    folder: Path, rank: int, size: int, to: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    try:
        torch.set_num_threads(1)
        store = dist.FileStore(str(folder / "store"), size)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timedelta(minutes=20))
        told = "", work(World(rank, size), *arguments)
        dist.destroy_process_group()
    except BaseException:
        told = f"rank {rank}: {traceback.format_exc()}", None
    sent = io.BytesIO()  # as bytes: tensors would be sent as names of memory that ends with this process
    torch.save(told, sent)
    to.send_bytes(sent.getvalue())
