"""What Slurm says of its jobs, and which job a cell waits for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from assignbench.errors import InputError
from assignbench.records import read_json, write_json
from assignbench.records.documents import QUEUED

ANSWER_SECONDS = 60.0
# States of a job from which it comes to its end by itself; in all others it has ended.
_BEFORE = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_DURING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
LIVES = frozenset(_BEFORE | _DURING)


@dataclass(frozen=True)
class JobState:
    """What the queue says of a job: its state, and why it waits or where it runs."""

    state: str
    where: str

    @property
    def ended(self) -> bool:
        """Whether it will not run any more."""
        return self.state not in LIVES

    def __str__(self) -> str:
        return f"{self.state.lower()} {self.where}".strip()


def ask_slurm() -> dict[str, JobState] | None:
    """The jobs of this user by their numbers, those that ended some minutes ago included; None without an answer."""
    program = which("squeue")
    if program is None:
        return None
    command = [program, "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%R"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.split("|", 2) for line in told.splitlines() if line.count("|") >= 2)
    return {number.strip(): JobState(state.strip(), where.strip()) for number, state, where in rows}


def note_job(folder: Path, number: str) -> None:
    """Writes queued.json into a cell's folder."""
    content = {"scheduler": "slurm", "job": number, "since": time.time()}
    QUEUED.mapping(content, str(folder / QUEUED.file))
    write_json(folder / QUEUED.file, content)


def job_of(folder: Path) -> str:
    """The job that a cell was last submitted as; "" for none."""
    path = folder / QUEUED.file
    try:
        content = read_json(path)
        if content:
            QUEUED.mapping(content, str(path))
    except InputError:
        return ""
    return str(content.get("job", ""))


def job_line(folder: Path, states: Mapping[str, JobState] | None) -> str:
    """What `status` says of the job of a cell that is not done; "" for none, or for one that has ended."""
    number = job_of(folder)
    if not number:
        return ""
    if states is None:
        return f"Slurm job {number}, of which squeue says nothing here"
    found = states.get(number)
    return "" if found is None or found.ended else f"Slurm job {number}: {found}"
