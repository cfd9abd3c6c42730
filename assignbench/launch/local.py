"""Cells as processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from assignbench.launch.base import Job

# With -P the current folder is not looked into, where a user's copy.py would stand in for Python's own; modules of a
# study's own are found by plugins.py. The package is this very one, wherever another may be installed.
START = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r}); import assignbench; "
    "sys.path.append(sys.path.pop(0)); from assignbench.engine.run import main; sys.exit(main(sys.argv[1:]))"
)
GRACE_SECONDS = 60.0  # a step has to end and a checkpoint to be written


def default_workers(device: str, threads: int) -> int:
    """How many cells run side by side: one per GPU, or as many as the cores hold at `threads` threads each."""
    if device == "cuda":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, threads))


@dataclass(frozen=True)
class LocalProcesses:
    """Starts the engine's command line with FOLDER DEVICE PARENT; a process ends by itself when its parent is gone.

    What it prints goes to the cell's log.txt.
    """

    device: str

    def submit(self, job: Job) -> subprocess.Popen[bytes]:
        """Starts a cell's process."""
        threads = str(job.config.schedule.threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        command = [sys.executable, "-P", "-c", START, str(job.folder), self.device, str(os.getpid())]
        with (job.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )

    def poll(self, handle: subprocess.Popen[bytes]) -> int | None:
        """The exit code of a process that has ended."""
        return handle.poll()

    def ask(self, handle: subprocess.Popen[bytes]) -> None:
        """Asks a process to end."""
        handle.terminate()

    def cancel(self, handle: subprocess.Popen[bytes]) -> int:
        """Asks a process to end, and kills it if it does not within `GRACE_SECONDS`."""
        handle.terminate()
        try:
            return handle.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            handle.kill()
            return handle.wait()
