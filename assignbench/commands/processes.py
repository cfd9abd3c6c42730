"""How many processes train each cell of a run: `--nproc`, or as many as torchrun has started."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from assignbench.config.cluster import Cluster
from assignbench.errors import InputError
from assignbench.launch.torchrun import crew
from assignbench.study.grid import Cell


@dataclass(frozen=True)
class Processes:
    """So many processes train each cell; with a `meeting` they are there already, and train one cell at a time."""

    number: int = 1
    meeting: str = ""

    def local(self) -> dict[str, int | str]:
        """What a cell's local.json says of it."""
        return {"processes": self.number, "meeting": self.meeting}


def processes_of(options: argparse.Namespace, cells: Sequence[Cell], device: str, cluster: Cluster) -> Processes:
    """What the options and torchrun say. Raises InputError for what does not go together.

    The processes of a cell run on the machine of its process of rank 0, which a launcher may choose in `cluster`.
    """
    others = crew()
    if others is not None:
        if options.launcher != "local":
            raise InputError(
                f"--launcher {options.launcher}: torchrun has started {others.size} processes, which train the cells "
                "themselves; leave out --launcher, or run without torchrun and with --nproc"
            )
        for name, value, plain in (("--nproc", options.nproc, 1), ("--workers", options.workers, None)):
            if value not in (plain, None):
                raise InputError(
                    f"{name} {value}: torchrun has started {others.size} processes, which train one cell at a time "
                    f"together; leave out {name}, or run without torchrun"
                )
    number, told = (options.nproc, "--nproc") if others is None else (others.size, "torchrun's processes")
    if number == 1:
        return Processes()
    if options.cohort not in ("auto", "off", "1"):
        raise InputError(
            f"{told} {number}, --cohort {options.cohort}: cells that several processes train are trained one by one; "
            "leave out one of them"
        )
    for cell in cells:
        images = cell.config.schedule.batch_size
        if number > images:
            raise InputError(
                f"{told} {number}: each needs an image of every batch, and those of {cell.slug} hold {images}; name at "
                f"most {images}, or a larger schedule.batch_size"
            )
    if device == "cuda" and others is None:
        _check_gpus(number, options.launcher, cluster)
    return Processes(number, "" if others is None else others.meeting)


def _check_gpus(number: int, launcher: str, cluster: Cluster) -> None:
    """Raises InputError where there are fewer GPUs for a cell than processes."""
    if launcher != "local":
        if cluster.gpus is not None and cluster.gpus < number:
            raise InputError(
                f"--nproc {number}: each process needs a GPU, and cells ask for {cluster.gpus:g} (cluster.gpus); write "
                f"{number} there"
            )
        return
    import torch

    there = torch.cuda.device_count()
    if number > there:
        raise InputError(f"--nproc {number}: each process needs a GPU, and here are {there}; name at most so many")
