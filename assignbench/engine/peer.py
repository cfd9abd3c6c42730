"""The process of a rank above 0: it learns from its share of every batch, and records and saves nothing.

Started with HOST PORT KEY RANK DEVICE-NUMBER PARENT by the process of rank 0, or by a run under torchrun.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # torch exports them, but not by its own list

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.engine.cell import build_cell
from assignbench.engine.failure import reason_of
from assignbench.engine.hooks import Guard, Tell
from assignbench.engine.loop import loop
from assignbench.engine.outcome import Diverged
from assignbench.engine.run import settle
from assignbench.engine.staging import prepared, staged
from assignbench.engine.stopping import Stopped
from assignbench.engine.team import PATIENCE, POLL_SECONDS, agreed, entered, joined


def main(arguments: list[str]) -> int:
    """Helps to train the cell that the store names; returns 0 unless it could not."""
    host, port, key, rank, number, parent = arguments
    # A terminal's Ctrl-C and a cluster's warning reach all processes: when to stop, all of them agree on in a step.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(int(parent),), daemon=True).start()
    store = PrefixStore(key, TCPStore(host, int(port), is_master=False, timeout=PATIENCE))
    try:
        help_training(store, int(rank), int(number))
    except Exception as problem:
        store.set(f"failed/{rank}", reason_of(problem))
        sys.stderr.write(f"rank {rank}: {traceback.format_exc()}")
        return 1
    return 0


def help_training(store: Store, rank: int, number: int) -> None:
    """Builds the cell, waits for the others and trains with them to the end, or until they agree to stop.

    `number` is that of the GPU, where the cell is trained on GPUs.
    """
    job = json.loads(store.get("job"))
    device = f"cuda:{number}" if job["device"] == "cuda" else str(job["device"])
    if job["device"] == "cuda":
        torch.cuda.set_device(number)
    config, local = CellConfig.model_validate(job["config"]), LocalPaths.model_validate(job["local"])
    settle(config.schedule, device)
    cell = build_cell(Path(), config, local, device)
    store.set(f"ready/{rank}", "")
    while not store.check(["begin"]):
        if store.check(["over"]):
            return
        time.sleep(POLL_SECONDS)
    first, learner = int(store.get("begin")), cell.learner
    world = entered(store, rank, int(job["size"]), str(job["device"]))
    joined(learner, world)
    loader = prepared(replace(cell.loader, share=(rank, world.size)), learner.device)
    batches = staged(loader.batches(first, learner.steps), learner.device)
    hooks = [Guard(learner, None, lazily=not job["exact"]), Tell(learner)]
    with suppress(Stopped):  # rank 0 has written the checkpoint
        loop(batches, [learner], hooks, first, lambda: agreed(world, learner, wanted=False))
    if learner.stopped is not None and not isinstance(learner.stopped, Diverged):
        raise learner.stopped
    dist.destroy_process_group()


def _leave_with(parent: int) -> None:
    """Ends this process when the one that started it is gone: nobody else would."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
