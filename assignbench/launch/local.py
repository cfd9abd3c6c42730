"""Runs cells in processes of their own, several at a time, and notices when one dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assignbench.errors import InputError
from assignbench.records import CellRecord, read_json, write_json

POLL_SECONDS = 0.25
STALE_SECONDS = 30.0


@dataclass(frozen=True)
class Job:
    """A cell to run: its name for people, its folder, and the files that its folder starts with."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    local: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """Where a running cell stands."""

    name: str
    phase: str
    step: int
    steps: int
    images_per_second: float
    seconds_left: float | None


def choose_device(wanted: str) -> tuple[str, str]:
    """The device for `auto`, `cpu` or `cuda`, and a line that says what was chosen and why."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise InputError("--device cuda: torch finds no usable GPU here; use --device cpu or auto")
    if wanted == "cuda" or (wanted == "auto" and available):
        return "cuda", f"device: cuda ({torch.cuda.get_device_name(0)})"
    why = "asked for" if wanted == "cpu" else "no GPU found"
    return "cpu", f"device: cpu ({why}; {os.cpu_count()} cores)"


def default_workers(device: str, threads: int) -> int:
    """How many cells run side by side: one per GPU, or as many as the cores hold at `threads` threads each."""
    if device == "cuda":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, threads))


def run_jobs(
    jobs: Sequence[Job], device: str, workers: int, watch: Callable[[list[Progress], int], None] = lambda p, d: None
) -> None:
    """Runs all jobs; each leaves its state in its folder. `watch` gets the running ones and how many have ended."""
    for job in jobs:
        _await_free(job)
        write_json(job.folder / "config.json", job.config)
        write_json(job.folder / "local.json", job.local)
        write_json(job.folder / "status.json", {**CellRecord(job.folder).status, "state": "pending"})
    waiting, running = list(jobs), dict[str, tuple[Job, subprocess.Popen[bytes]]]()
    speeds: dict[str, tuple[float, int]] = {}
    ended = 0
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                running[job.name] = (job, _start(job, device))
            time.sleep(POLL_SECONDS)
            for name, (job, process) in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    ended += 1
                    _settle(job, process.returncode)
            watch([_progress(job, speeds) for job, _ in running.values()], ended)
    finally:
        for _, process in running.values():
            process.terminate()
        for job, process in running.values():
            process.wait(timeout=30)
            _settle(job, process.returncode)


def _start(job: Job, device: str) -> subprocess.Popen[bytes]:
    threads = str(job.config["schedule"]["threads"])
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, threads), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    command = [sys.executable, "-m", "assignbench.launch.local", str(job.folder), device, str(os.getpid())]
    with (job.folder / "log.txt").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )


def _settle(job: Job, code: int) -> None:
    """A process that died without a word leaves a failed cell with the reason."""
    record = CellRecord(job.folder)
    if record.state not in ("running", "pending"):
        return
    if code < 0:
        reason = f"the process was ended by signal {-code}"
        if code == -9:
            reason += " (out of memory, or killed)"
    else:
        reason = f"the process ended with code {code}; see {job.folder / 'log.txt'}"
    state = "pending" if code in (-2, -15, 130) else "failed"
    write_json(job.folder / "status.json", {**record.status, "state": state, "reason": reason})


def _await_free(job: Job) -> None:
    """Waits for a process that is about to leave the cell. Raises InputError if one keeps training it."""
    deadline = time.time() + 10
    while True:
        status = CellRecord(job.folder).status
        fresh = time.time() - float(status.get("heartbeat", 0)) < STALE_SECONDS
        here = status.get("host") == socket.gethostname()
        if status.get("state") != "running" or (here and not _alive(int(status.get("pid", 0)))) or not fresh:
            return
        if time.time() > deadline:
            raise InputError(
                f"cell {job.name} is being trained by process {status.get('pid')} on {status.get('host')}; "
                "wait for it, or end it and run again"
            )
        time.sleep(0.5)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _progress(job: Job, seen: dict[str, tuple[float, int]]) -> Progress:
    status = CellRecord(job.folder).status
    step, steps = int(status.get("step", 0)), int(status.get("steps", 0))
    if job.name not in seen and step:
        seen[job.name] = (time.time(), step)
    begun, first = seen.get(job.name, (time.time(), step))
    rate = (step - first) / max(time.time() - begun, 1e-9)
    speed = rate * int(job.config["schedule"]["batch_size"])
    left = (steps - step) / rate if rate > 0 else None
    return Progress(
        job.name, str(status.get("phase") or ("finishing" if step else "starting")), step, steps, speed, left
    )


def main(arguments: list[str]) -> int:
    """Entry of a cell's own process: FOLDER DEVICE PARENT."""
    from assignbench.engine.trainer import run_cell

    folder, device, parent = Path(arguments[0]), arguments[1], int(arguments[2])
    if not read_json(folder / "config.json"):
        return 1
    return 0 if run_cell(folder, device, lambda: os.getppid() == parent) == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
