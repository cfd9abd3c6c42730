"""How processes of this very package are started, and where those find each other that torchrun has started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

ANNOUNCED = "cells"  # how many cells have been announced to the processes of a run
OVER = "over"  # no other will be


def command(module: str, arguments: Sequence[str]) -> list[str]:
    """The command line that calls `main` of a module of the package, wherever another package may be installed.

    With -P the current folder is not looked into, where a user's copy.py would stand in for Python's own; modules of a
    study's own are found by plugins.py. What is imported is never garbage: not looking for any saves a seventh of the
    four seconds that PyTorch's modules take.
    """
    code = (
        "import gc, sys; gc.disable(); "
        f"sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r}); import assignbench; "
        f"sys.path.append(sys.path.pop(0)); from {module} import main; gc.enable(); sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-P", "-c", code, *arguments]


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(
    folders: Sequence[Path], device: str, threads: int, log: IO[bytes], more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts the process of cells, by which every launcher trains them on whatever machine.

    It ends when this process is gone, and what it prints goes to `log`. `more` is added to its environment.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        **(more or {}),
    }
    started = command("assignbench.engine.run", [*map(str, folders), device, str(os.getpid())])
    return subprocess.Popen(  # noqa: S603 (our own interpreter and module)
        started, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
    )


def end(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Asks a process to end, and kills it if it does not in time; its exit code, also of one that has ended before."""
    process.terminate()
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def attempt() -> str:
    """What stands before all keys of a run in torchrun's store, which outlives a run that torchrun starts again."""
    return f"assignbench/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def key_of(number: int) -> str:
    """What stands before the keys of a cell, `number` of which were announced before; alone: that it is announced."""
    return f"cell{number}"
