"""Launchers beyond this machine: what `--launcher` and `--cluster` ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from assignbench.commands.devices import choose_device
from assignbench.config.cluster import Cluster, OwnCluster
from assignbench.errors import InputError
from assignbench.launch.base import Job, Jobs, Watch
from assignbench.study.cluster import read_cluster
from assignbench.study.reading import Study


def wanted_cluster(options: argparse.Namespace, study: Study) -> OwnCluster:
    """What cells ask of a cluster: the file of `--cluster`, or the study's own block. Raises InputError."""
    if options.cluster is not None:
        if options.launcher == "local":
            raise InputError(
                "--cluster: cells are trained on this machine; name --launcher slurm or --launcher ray too"
            )
        return read_cluster(options.cluster)
    own = study.spec.cluster or Cluster()
    return OwnCluster.model_validate(own.model_dump())


def device_of(options: argparse.Namespace, cluster: Cluster) -> tuple[str, str]:
    """The device of the cells, and a line that says what was chosen and why.

    The machines of a cluster are not asked: `auto` is what the cells ask for.
    """
    if options.launcher == "local":
        return choose_device(options.device)
    if options.device == "cpu" and cluster.gpus:
        raise InputError(f"--device cpu: cells ask for {cluster.gpus:g} GPU (cluster.gpus); leave one of the two out")
    device = ("cuda" if cluster.gpus else "cpu") if options.device == "auto" else options.device
    why = "asked for" if options.device != "auto" else f"cluster.gpus is {cluster.gpus or 'empty'}"
    return device, f"device: {device} ({why}) by {options.launcher}"


def trained_here(options: argparse.Namespace, cluster: OwnCluster) -> bool:
    """Whether the cells take cores of this machine: not those of Slurm's jobs, nor of a Ray that was running before."""
    if options.launcher == "ray":
        return not (cluster.address or os.environ.get("RAY_ADDRESS"))
    return bool(options.launcher == "local")


def run_apart(
    options: argparse.Namespace,
    device: str,
    cluster: OwnCluster,
    folder: Path,
    jobs: Sequence[Job],
    watch: Watch,
    tell: Callable[[], None],
) -> None:
    """Runs jobs of a run folder on a cluster to their end, after a call of `tell`.

    Raises InputError where the cluster cannot be used from here, before that.
    """
    if not jobs:
        return
    each = sum(len(job.cells) for job in jobs)  # those of a cohort may get jobs of their own later
    if options.launcher == "ray":
        from assignbench.launch.ray import RayTasks

        tasks = RayTasks(device, cluster, folder, jobs)
        try:
            tell()
            Jobs(tasks, options.workers or each, apart=True).run(jobs, watch)
        finally:
            tasks.close()
        return
    from assignbench.launch.slurm import SlurmJobs

    queue = SlurmJobs(device, cluster, folder / ".slurm", options.workers)
    tell()
    try:
        Jobs(queue, each, apart=True).run(jobs, watch)
    except KeyboardInterrupt as problem:
        raise KeyboardInterrupt(*queue.farewell()) from problem
