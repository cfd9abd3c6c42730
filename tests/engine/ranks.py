"""Several processes of a test, joined by gloo. They are not forked: whoever has run autograd on several threads before,
as the process of other tests may have, cannot do so in a fork.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from assignbench.engine.distributed import World


def together(size: int, folder: Path, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(world, *arguments)` returns in each of `size` processes, by rank: tensors, numbers, lists, dicts."""
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_one, args=(folder, rank, size, work, arguments)) for rank in range(size)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    told = [path.read_text() for path in sorted(folder.glob("*.txt"))]
    assert not told, "\n".join(told)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _one(folder: Path, rank: int, size: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        torch.set_num_threads(1)
        store = dist.FileStore(str(folder / "store"), size)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timedelta(minutes=20))
        torch.save(work(World(rank, size), *arguments), folder / f"{rank}.pt")
        dist.destroy_process_group()
    except BaseException:
        (folder / f"{rank}.txt").write_text(f"rank {rank}: {traceback.format_exc()}")
