"""What a cell asks of a cluster. It is no part of a cell: the same cell trained elsewhere is the same cell."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assignbench.config.base import Config

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:=&|-]*$", max_length=200)]


class Cluster(Config):
    """Where and with what the cells of a study are trained by `--launcher slurm` or `--launcher ray`.

    `cpus` (empty: the threads and loader workers of the schedule, of each of its processes), `gpus` and `memory_gb` are
    those of one job, of a cell or a cohort. A part of a GPU, for Ray alone, lets jobs share one. Slurm alone reads
    `partition`, `account`, `qos`, `constraint`, `hours` (the time limit of a job: a cell that needs more goes on when
    its job comes again) and `notice_seconds` (how long before that a job is asked to write its checkpoint).
    """

    partition: Name = ""
    account: Name = ""
    qos: Name = ""
    constraint: Name = ""
    hours: float = Field(24.0, gt=0, le=8760)
    notice_seconds: int = Field(120, ge=10, le=3600)
    memory_gb: float | None = Field(None, gt=0, le=100_000)
    cpus: int | None = Field(None, ge=1, le=4096)
    gpus: float | None = Field(None, gt=0, le=64)


class OwnCluster(Cluster):
    """A cluster as a file of the user's own describes it, which may also name what a stranger's study must not.

    `setup` are lines of shell before a job of Slurm; `address` is that of a running Ray cluster, where without one Ray
    starts on this machine.
    """

    setup: list[Annotated[str, Field(max_length=1000)]] = Field([], max_length=50)
    address: Name = ""
