"""Cells as processes on this machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from assignbench.launch.base import Job
from assignbench.starting import available_cores, end, start

GRACE_SECONDS = 60.0  # a step has to end and a checkpoint to be written


def default_workers(device: str, threads: int) -> int:
    """How many cells run side by side: one per GPU, or as many as the cores hold at `threads` threads each."""
    if device == "cuda":
        return 1
    return max(1, available_cores() // max(1, threads))


@dataclass(frozen=True)
class LocalProcesses:
    """Starts the engine's command line with FOLDER... DEVICE PARENT; a process ends by itself when its parent is gone.

    What it prints goes to the log.txt of the first cell.
    """

    device: str

    def submit(self, job: Job) -> subprocess.Popen[bytes]:
        """Starts the process of a cell and those beside it."""
        with job.log.open("ab") as log:
            return start(job.folders, self.device, job.config.schedule.threads, log)

    def poll(self, handle: subprocess.Popen[bytes]) -> int | None:
        """The exit code of a process that has ended."""
        return handle.poll()

    def ask(self, handle: subprocess.Popen[bytes]) -> None:
        """Asks a process to end."""
        handle.terminate()

    def cancel(self, handle: subprocess.Popen[bytes]) -> int:
        """Asks a process to end, and kills it if it does not within `GRACE_SECONDS`."""
        return end(handle, GRACE_SECONDS)
