"""Cells and cohorts as jobs of Slurm, submitted as arrays by submitit. They go on when who submitted them ends."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from assignbench.config.cluster import OwnCluster
from assignbench.errors import InputError
from assignbench.launch.base import Job, code_of_all, declare
from assignbench.launch.queue import JobState, ask_slurm, job_of, note_job
from assignbench.launch.slurm_task import Task
from assignbench.records import CellRecord
from assignbench.records.claim import EXIT_CLAIMED, EXIT_FAILED, EXIT_STOPPED

LOOK_SECONDS = 10.0  # between two questions to Slurm, which serves everybody
LOOKS = 2  # without a job before it has ended: a shared folder may show the end of a cell a little later
LARGEST_ARRAY = 500
PROGRAMS = ("sbatch", "squeue", "srun", "scontrol")


@dataclass
class Submitted:
    """The cells of a job, and by their folders the numbers of the jobs of Slurm that have them.

    It is one job, but for cells that an earlier run has submitted otherwise; `mine` are the cells of no such job, whose
    number is empty until the array that they belong to is submitted.
    """

    job: Job
    numbers: dict[Path, str]
    mine: list[Path]


class SlurmJobs:
    """A launcher whose jobs are gathered until the first look at one of them, and then submitted as arrays.

    A cell whose job is in the queue already, of an earlier run, is not submitted again, also where it would now be
    beside others. `folder` gets submitit's files; `at_once` bounds how many of the submitted jobs run side by side:
    arrays share it, and those that are more, or come later, wait for others to end. Raises InputError where Slurm or
    submitit is missing.
    """

    def __init__(self, device: str, cluster: OwnCluster, folder: Path, at_once: int | None = None) -> None:
        self.device, self.cluster, self.at_once = device, cluster, at_once
        self.folder = folder.resolve()
        missing = [name for name in PROGRAMS if which(name) is None]
        if missing:
            raise InputError(
                f"--launcher slurm: the command {missing[0]} is not here; give the command on a machine of the cluster "
                "that may submit jobs"
            )
        if cluster.gpus is not None and cluster.gpus != int(cluster.gpus):
            raise InputError(
                f"cluster.gpus: {cluster.gpus:g} is a part of a GPU, which Slurm does not give; write a whole number"
            )
        _submitit()
        self._gathered: list[Submitted] = []
        self._places = [""] * (at_once or 0)  # which array has each; those that were given last stand last
        self._states: Mapping[str, JobState] = self._asked()
        self._looked = time.monotonic()
        self._numbers: dict[str, None] = {}
        self._missed: dict[str, int] = {}

    def submit(self, job: Job) -> Submitted:
        """Gathers a job; cells whose jobs are in the queue are followed."""
        numbers = {folder: self._queued(folder) for folder in job.folders}
        self._numbers.update(dict.fromkeys(number for number in numbers.values() if number))
        found = Submitted(job, numbers, [folder for folder in job.folders if not numbers[folder]])
        if found.mine:
            self._gathered.append(found)
        return found

    def _queued(self, folder: Path) -> str:
        """The job of Slurm that will train a cell or does so; "" for none."""
        known = self._states.get(job_of(folder))
        return "" if known is None or known.ended else job_of(folder)

    def poll(self, handle: Submitted) -> int | None:
        """What became of a job's cells, when Slurm knows nothing of the job any more or says that it has ended."""
        if self._gathered:
            self._submit_all()
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._look()
        if any(self._missed.get(number, 0) < LOOKS for number in handle.numbers.values()):
            return None
        return code_of_all([self._end_of(cell, handle) for cell in handle.job.cells])

    def ask(self, handle: Submitted) -> None:
        """Nothing: the job goes on."""

    def cancel(self, handle: Submitted) -> int | None:
        """Leaves a job in the queue; EXIT_STOPPED for one that was not submitted."""
        return None if any(handle.numbers.values()) else EXIT_STOPPED

    def farewell(self) -> list[str]:
        """How to follow and to cancel what goes on."""
        left = [n for n in self._numbers if not self._missed.get(n)]  # also those submitted since the last look
        if not left:
            return []
        arrays = " ".join(dict.fromkeys(n.partition("_")[0] for n in left))
        told = f"{len(left)} {'jobs go' if len(left) > 1 else 'job goes'} on in Slurm"
        return [
            f"{told}; `assignbench status` with the study follows, the same command waits for them again, "
            f"`scancel {arrays}` ends them"
        ]

    def _look(self) -> None:
        """Asks Slurm again; what does not answer now may answer the next time."""
        self._looked = time.monotonic()
        states = ask_slurm()
        if states is not None:
            self._states = states
            self._missed = {n: self._missed.get(n, 0) + 1 if self._over(n) else 0 for n in self._numbers}

    def _over(self, number: str) -> bool:
        found = self._states.get(number)
        return found is None or found.ended

    def _asked(self) -> Mapping[str, JobState]:
        states = ask_slurm()
        if states is None:
            raise InputError("--launcher slurm: squeue does not answer; is Slurm's controller running?")
        return states

    def _end_of(self, cell: Job, handle: Submitted) -> int:
        """The exit code that tells how a cell stands whose job has ended; what only Slurm knows is written down."""
        record, number = CellRecord(cell.folder), handle.numbers[cell.folder]
        if record.state == "done":
            return 0
        if record.state == "pending" and record.reason.startswith("stopped"):
            return EXIT_STOPPED
        if record.state in ("pending", "running"):
            found = self._states.get(number)
            state = "" if found is None else found.state
            # It found the cell in the hands of another one, or had left a failed cell behind that is to be tried again.
            followed = cell.folder not in handle.mine
            if state == "COMPLETED" or (state == "FAILED" and followed and record.state == "pending"):
                return EXIT_CLAIMED
            if state == "OUT_OF_MEMORY" and len(handle.job.cells) > 1:
                return -signal.SIGKILL
            told = f"ended as {state}" if state else "is gone"
            logs = self.folder / f"{number}_0_log.err"
            declare(
                cell.folder,
                "failed",
                reason=f"Slurm job {number} {told}; see {handle.job.log} and {logs}; the same command goes on from its "
                "last checkpoint",
            )
        return EXIT_FAILED

    def _submit_all(self) -> None:
        """Submits what was gathered: an array for the jobs that ask for the same."""
        gathered, self._gathered = self._gathered, []
        alike: dict[tuple[int, int], list[Submitted]] = {}
        for one in gathered:
            alike.setdefault((self._cpus(one.job), self._gpus(one.job)), []).append(one)
        arrays = [
            (needs, group[first : first + LARGEST_ARRAY])
            for needs, group in alike.items()
            for first in range(0, len(group), LARGEST_ARRAY)
        ]
        shares = shared(self.at_once, [len(group) for _, group in arrays])
        for ((cpus, gpus), group), share in zip(arrays, shares, strict=True):
            self._submit_array(cpus, gpus, group, share)
        self._looked = time.monotonic()

    def _lives(self, array: str) -> bool:
        return any(n.partition("_")[0] == array and not self._missed.get(n) for n in self._numbers)

    def _submit_array(self, cpus: int, gpus: int, group: Sequence[Submitted], share: int) -> None:
        """Submits an array of which so many jobs run side by side, after those whose places it takes."""
        self._places.sort(key=self._lives)  # free ones first, then those that were given first
        before = list(dict.fromkeys(array for array in self._places[:share] if self._lives(array)))
        submitit = _submitit()
        executor = submitit.SlurmExecutor(self.folder, python=f"{shlex.quote(sys.executable)} -P")
        executor.update_parameters(**self._parameters(cpus, gpus, share, before))
        tasks = [
            Task(tuple(str(f.resolve()) for f in one.mine), self.device, one.job.config.schedule.threads)
            for one in group
        ]
        try:
            with executor.batch():
                jobs = [executor.submit(task) for task in tasks]
            numbers = [str(job.job_id) for job in jobs]
        except (RuntimeError, OSError) as problem:
            told = str(problem).strip().splitlines()
            raise InputError(f"--launcher slurm: sbatch refused the jobs: {told[-1] if told else problem!r}") from None
        for one, number in zip(group, numbers, strict=True):
            one.numbers.update(dict.fromkeys(one.mine, number))
            self._numbers[number] = None
            for folder in one.mine:
                note_job(folder, number)
        if self._places:
            self._places = self._places[share:] + [numbers[0].partition("_")[0]] * share

    def _cpus(self, job: Job) -> int:
        return self.cluster.cpus or job.cores

    def _gpus(self, job: Job) -> int:
        return int(self.cluster.gpus or (job.paths.processes if self.device == "cuda" else 0))

    def _parameters(self, cpus: int, gpus: int, share: int, before: Sequence[str]) -> dict[str, Any]:
        """The options of sbatch."""
        after = {"dependency": f"afterany:{':'.join(before)}"} if before else {}
        cluster = self.cluster
        named = {name: getattr(cluster, name) for name in ("partition", "account", "qos", "constraint", "setup")}
        memory = {} if cluster.memory_gb is None else {"mem": f"{max(1, round(1024 * cluster.memory_gb))}MB"}
        return {
            "job_name": "assignbench",
            "time": max(1, round(60 * cluster.hours)),
            "cpus_per_task": cpus,
            "signal_delay_s": cluster.notice_seconds,
            "array_parallelism": share,
            "additional_parameters": {"requeue": True, "ntasks": 1, **after},
            **memory,
            **({"gpus_per_node": gpus} if gpus else {}),
            **{name: value for name, value in named.items() if value},
        }


def shared(at_once: int | None, sizes: Sequence[int]) -> list[int]:
    """How many jobs of each array run side by side, so that all arrays together keep to `at_once`; one at least."""
    if at_once is None:
        return [LARGEST_ARRAY] * len(sizes)
    shares = [1] * len(sizes)
    for _ in range(at_once - len(sizes)):
        wants = [size / share if share < size else 0.0 for size, share in zip(sizes, shares, strict=True)]
        shares[wants.index(max(wants))] += bool(max(wants))
    return shares


def _submitit() -> Any:
    """The package submitit. Raises InputError where it is not installed."""
    try:
        import submitit
    except ImportError:
        raise InputError(
            "--launcher slurm: the package submitit is not installed; pip install 'assignbench[slurm]'"
        ) from None
    return submitit
