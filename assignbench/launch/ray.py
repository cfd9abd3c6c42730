"""Cells and cohorts as tasks of Ray, on a running cluster or on one that starts on this machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assignbench.config.cluster import OwnCluster
from assignbench.errors import InputError
from assignbench.launch.base import LOST, SHARED_ENDS, Job, declare
from assignbench.launch.errands import Desk, Errand, run_there
from assignbench.records import CellRecord, write_text
from assignbench.records.claim import EXIT_FAILED, EXIT_STOPPED

GRACE_SECONDS = 90.0  # a step has to end, a checkpoint to be written, and to come back
MARKER = ".launch"  # the file by which nodes know the run folder


@dataclass(frozen=True)
class Running:
    """A task of Ray and its job."""

    job: Job
    reference: Any


class RayTasks:
    """A launcher whose jobs are tasks that ask for the resources of `cluster`; Ray places them.

    `folder` is the run folder, which every node looks for under the same path, and `jobs` are those that will come.
    Raises InputError where Ray is missing, does not answer, or runs on this machine alone, which has not what one of
    them asks for.
    """

    def __init__(self, device: str, cluster: OwnCluster, folder: Path, jobs: Sequence[Job]) -> None:
        self.device, self.cluster = device, cluster
        self._ray = _connected(cluster)
        self._check_room(jobs)
        self._marker, self._word = folder.resolve() / f"{MARKER}.{uuid.uuid4().hex}", uuid.uuid4().hex
        write_text(self._marker, self._word)
        here = self._ray.get_runtime_context().get_node_id()
        near = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        desk = self._ray.remote(Desk)
        self._desk = desk.options(num_cpus=0, scheduling_strategy=near).remote()
        self._task = self._ray.remote(run_there)

    def submit(self, job: Job) -> Running:
        """Hands a job to Ray."""
        after = "" if job.after is None else str(job.after.resolve())
        errand = Errand(
            folders=_homes(job),
            local=tuple(cell.paths.model_dump(mode="json") for cell in job.cells),
            after=after,
            device=self.device,
            threads=job.config.schedule.threads,
            marker=str(self._marker),
            word=self._word,
        )
        wanted = self._wanted(job)
        task = self._task.options(
            name=f"{job.name}{f' and {len(job.beside)} beside it' if job.beside else ''}",
            num_cpus=wanted["CPU"],
            num_gpus=wanted["GPU"],
            max_retries=0,  # what is lost goes on from its checkpoint, which the cell's notes tell
            **({"memory": wanted["memory"]} if "memory" in wanted else {}),
        )
        return Running(job, task.remote(errand, self._desk))

    def poll(self, handle: Running) -> int | None:
        """The exit code of a job's process on its node; LOST where its node or the task's own process is gone."""
        if not self._ray.wait([handle.reference], timeout=0)[0]:
            return None
        return self._result(handle)

    def ask(self, handle: Running) -> None:
        """Asks a task to end."""
        self._ray.cancel(handle.reference)

    def cancel(self, handle: Running) -> int:
        """Asks a task to end, and ends it if it does not within `GRACE_SECONDS`."""
        if not self._ray.wait([handle.reference], timeout=GRACE_SECONDS)[0]:
            self._ray.cancel(handle.reference, force=True)
        return self._result(handle)

    def close(self) -> None:
        """Leaves the cluster; one that runs on this machine for this launcher alone ends."""
        self._marker.unlink(missing_ok=True)
        self._ray.shutdown()

    def _wanted(self, job: Job) -> dict[str, float]:
        """What a job asks for, by Ray's names: cores, GPUs, and bytes where the cluster says how many."""
        own, memory = self.cluster, self.cluster.memory_gb
        gpus = float(job.paths.processes) if self.device == "cuda" else 0.0
        wanted = {"CPU": own.cpus or job.cores, "GPU": own.gpus or gpus}
        return wanted if memory is None else {**wanted, "memory": memory * 2**30}

    def _result(self, handle: Running) -> int:
        errors = self._ray.exceptions
        try:
            return int(self._ray.get(handle.reference))
        except errors.RayError as problem:
            self._ray.get([self._desk.end.remote(home) for home in _homes(handle.job)])
            if isinstance(problem, errors.TaskCancelledError):
                return EXIT_STOPPED
            if isinstance(problem, (errors.WorkerCrashedError, errors.NodeDiedError)):
                return LOST
            if isinstance(problem, errors.OutOfMemoryError):
                return -9
            told = str(problem).strip().splitlines()
            for cell in handle.job.cells:
                if CellRecord(cell.folder).state not in ("done", *SHARED_ENDS):
                    declare(cell.folder, "failed", reason=f"Ray ended the task: {told[-1] if told else problem!r}")
            return EXIT_FAILED

    def _check_room(self, jobs: Sequence[Job]) -> None:
        """On this machine alone nothing that is missing will ever come."""
        if self.cluster.address or os.environ.get("RAY_ADDRESS"):
            return
        there = self._ray.cluster_resources()
        for job in jobs:
            for name, wanted in self._wanted(job).items():
                if wanted > there.get(name, 0):
                    self._ray.shutdown()
                    unit, of = ("GiB of memory", 2**30) if name == "memory" else (name, 1)
                    raise InputError(
                        f"--launcher ray: {job.name} asks for {wanted / of:g} {unit} ({self._source(name, job)}), this "
                        f"machine has {there.get(name, 0) / of:.3g}; ask for less, or name a running cluster as "
                        "cluster.address"
                    )

    def _source(self, name: str, job: Job) -> str:
        """What of the user's asks for a resource."""
        key = {"CPU": "cpus", "GPU": "gpus", "memory": "memory_gb"}[name]
        if getattr(self.cluster, key) is not None:
            return f"cluster.{key}"
        each = "--device cuda" if name == "GPU" else "schedule.threads and schedule.loader_workers"
        return each if job.paths.processes == 1 else f"{each}, times --nproc {job.paths.processes}"


def _homes(job: Job) -> tuple[str, ...]:
    """The folders of a job's cells on this machine."""
    return tuple(str(folder.resolve()) for folder in job.folders)


def _connected(cluster: OwnCluster) -> Any:
    """The package ray, connected. Raises InputError where it is not installed, or where no cluster answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell a host on the net
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise InputError("--launcher ray: the package ray is not installed; pip install 'assignbench[ray]'") from None
    if not ray.is_initialized():
        named = {"address": cluster.address} if cluster.address else {}
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(**named, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as problem:
            where = cluster.address or "this machine"
            told = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
            raise InputError(f"--launcher ray: no cluster answers at {where} ({told})") from None
    return ray
