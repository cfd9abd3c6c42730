"""What a job of Slurm does on its node."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from types import FrameType

from assignbench.launch.base import INTERRUPTED, SHARED_ENDS, code_of_all, note_again
from assignbench.records import CellRecord
from assignbench.records.claim import EXIT_CLAIMED, EXIT_STOPPED, Claimed, release, take
from assignbench.starting import start

MOST_RESTARTS = 10  # of a job that makes no step in any of them


@dataclass(frozen=True)
class Task:
    """What a job of Slurm runs on its node: the engine's command line, begun again where it was interrupted.

    Slurm asks by SIGTERM before it gives the node to another job, and by SIGUSR2 before the time is over. The cell then
    writes its checkpoint, and the job goes back into the queue unless Slurm has put it there or it was cancelled. Of
    several cells those that have ended are not begun again then. If their process is killed, each that is left gets one
    of its own.
    """

    folders: tuple[str, ...]
    device: str
    threads: int

    def __call__(self) -> int:
        """The exit code of the cells' process. Raises RuntimeError where a cell failed: then the job has, too."""
        folders = [Path(folder) for folder in self.folders]
        before, heard = _steps(folders), [0]
        processes: list[subprocess.Popen[bytes]] = []

        def hear(number: int, frame: FrameType | None) -> None:
            heard[0] = number
            for process in processes:
                process.terminate()

        def run(some: Sequence[Path]) -> int:
            with (some[0] / "log.txt").open("ab") as log:
                processes.append(start(some, self.device, self.threads, log))
            if heard[0]:  # before there was a process to tell
                processes[-1].terminate()
            return processes[-1].wait()

        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, hear)
        left = [folder for folder in folders if not _ended(folder)]
        codes = [run(left)] if left else []
        if len(left) > 1 and codes[0] < 0 and codes[0] not in INTERRUPTED:
            left = [folder for folder in left if not _ended(folder)]
            _note_all(left, codes[0])
            codes = [run([folder]) for folder in left]
        interrupted, code = any(c == EXIT_STOPPED or c in INTERRUPTED for c in codes), code_of_all(codes)
        tried = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        if heard[0] and interrupted and (_steps(folders) > before or tried < MOST_RESTARTS):
            _requeue()
        failed = [folder for folder in folders if CellRecord(folder).state in SHARED_ENDS]
        # Cells that others have must not be taken for failed: a job that has failed says nothing of them.
        if not interrupted and code != EXIT_CLAIMED and (failed or code):
            told = f"the process ended with code {code}; see {left[0] / 'log.txt' if left else 'its log'}"
            raise RuntimeError("\n".join(f"{f}: {CellRecord(f).reason or told}" for f in failed or left))
        return code


def _note_all(folders: Sequence[Path], code: int) -> None:
    """Cells whose common process was killed tell that they are begun again, but for those that others have by now."""
    for folder in folders:
        with suppress(Claimed):
            take(folder)
            note_again(folder, code)
            release(folder)


def _ended(folder: Path) -> bool:
    """Whether a cell came to its end since it was submitted, when it was pending."""
    return CellRecord(folder).state in ("done", *SHARED_ENDS)


def _steps(folders: Sequence[Path]) -> int:
    """How many steps cells have made, all together."""
    return sum(int(CellRecord(folder).status.get("step", 0)) for folder in folders)


def _requeue() -> None:
    """Puts the job of this process back into the queue, if Slurm lets it run: not one that it ends or has put back."""
    raw, array = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_JOB_ID")
    number = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else raw
    squeue, scontrol = (which(name) for name in ("squeue", "scontrol"))
    if squeue is None or scontrol is None:
        return
    command = [squeue, "--noheader", f"--jobs={raw}", "--format=%T"]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    if state == "RUNNING":
        subprocess.run([scontrol, "requeue", number], check=False)  # noqa: S603
