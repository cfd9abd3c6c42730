"""Cells as processes on this machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile

from assignbench.launch.base import Job
from assignbench.starting import available_cores, end, start

GRACE_SECONDS = 60.0  # a step has to end and a checkpoint to be written
_NAME = re.compile(r"\d|GPU-|MIG-")


def default_workers(device: str, threads: int, processes: int = 1) -> int:
    """How many cells run side by side when each is trained by `processes`: as many as there are GPUs for, or as the
    cores hold at `threads` threads for each process.
    """
    each = max(1, processes)
    if device == "cuda":
        return max(1, len(visible_gpus()) // each)
    return max(1, available_cores() // (max(1, threads) * each))


def visible_gpus() -> list[str]:
    """The GPUs of this process, by the names that CUDA_VISIBLE_DEVICES gives them, else by their numbers; none where
    its names are fewer than the GPUs that torch counts, so that nobody knows which is which.

    CUDA reads the names up to the first that stands for nothing. Of the parts of GPUs (MIG) a process sees only the
    first, but each can be given to another one.
    """
    import torch

    count, told = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        return [str(number) for number in range(count)]
    named = list(takewhile(_NAME.match, (name.strip() for name in told.split(","))))
    if count and named and all(name.startswith("MIG-") for name in named):
        return named
    return named[:count] if len(named) >= count else []


@dataclass
class LocalProcesses:
    """Starts the engine's command line with FOLDER... DEVICE PARENT; a process ends by itself when its parent is gone.

    What it prints goes to the log.txt of the first cell. On a machine of several GPUs it sees those alone that have the
    fewest of the running cells, one for each process that trains a cell.
    """

    device: str
    _held: dict[subprocess.Popen[bytes], list[str]] = field(default_factory=dict)

    def submit(self, job: Job) -> subprocess.Popen[bytes]:
        """Starts the process of a cell and those beside it."""
        gpus = self._idlest(job.paths.processes) if self.device == "cuda" and not job.paths.meeting else []
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
        with job.log.open("ab") as log:
            process = start(job.folders, self.device, job.config.schedule.threads, log, environment)
        self._held[process] = gpus
        return process

    def _idlest(self, number: int) -> list[str]:
        """So many GPUs, those that hold the fewest processes."""
        self._held = {process: gpus for process, gpus in self._held.items() if process.poll() is None}
        busy = Counter(gpu for gpus in self._held.values() for gpu in gpus)
        return sorted(visible_gpus(), key=lambda gpu: busy[gpu])[:number]

    def poll(self, handle: subprocess.Popen[bytes]) -> int | None:
        """The exit code of a process that has ended."""
        return handle.poll()

    def ask(self, handle: subprocess.Popen[bytes]) -> None:
        """Asks a process to end."""
        handle.terminate()

    def cancel(self, handle: subprocess.Popen[bytes]) -> int:
        """Asks a process to end, and kills it if it does not within `GRACE_SECONDS`."""
        return end(handle, GRACE_SECONDS)
