"""Which cells are trained in one process: those that see the same batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from assignbench.launch.base import Job

# What of a schedule decides which batches there are, and how a process is set up for all of its cells.
_OF_ALL = ("epochs", "steps", "batch_size", "accumulate", "threads", "loader_workers", "deterministic")
ON_A_GPU = 8  # cells at once, of which the process puts off those that find no memory


def in_cohorts(jobs: Sequence[Job], most: int) -> list[Job]:
    """The jobs with cells of one detector, data set and seed put together, at most so many; the first one leads.

    They take the same schedule as far as batches and the process depend on it. Parts of a larger group are as equal as
    can be. A job that takes the training of another cell has nothing to share and stays alone. Order is kept.
    """
    groups: dict[str, list[Job]] = {}
    for number, job in enumerate(jobs):
        key = str(number) if job.after is not None or most <= 1 else _seen_by(job)
        groups.setdefault(key, []).append(job)
    parts = [part for group in groups.values() for part in _parts(group, max(1, most))]
    place = {job.folder: number for number, job in enumerate(jobs)}
    return [replace(p[0], beside=tuple(p[1:])) for p in sorted(parts, key=lambda part: place[part[0].folder])]


def most_together(choice: str, device: str, jobs: Sequence[Job], workers: int) -> int:
    """How many cells a cohort holds by the word `auto`, `off` or a number.

    `auto` on a GPU: as many as `ON_A_GPU`, or fewer where another GPU would be left idle. On a CPU there is only the
    reading of images to be saved: no core may be left idle for it, and scenes, which are read in no time, are trained
    one by one.
    """
    if choice != "auto":
        return 1 if choice == "off" else int(choice)
    trained = [job for job in jobs if job.after is None]
    if device == "cuda":
        return max(1, min(ON_A_GPU, -(-len(trained) // max(1, workers))))
    return max(1, sum(job.config.data.kind != "shapes" for job in trained) // max(1, workers))


def most_apart(choice: str, device: str, jobs: Sequence[Job], workers: int | None) -> int:
    """`most_together` on a cluster, of which is known only how many jobs may run at once, if that was said.

    `auto` leaves cells alone there, but on GPUs of which no more than `workers` may be used at once.
    """
    if choice == "auto" and (device != "cuda" or workers is None):
        return 1
    return most_together(choice, device, jobs, workers or 1)


def _seen_by(job: Job) -> str:
    """What cells of one cohort have in common."""
    config, schedule = job.config, job.config.schedule.model_dump(mode="json")
    return json.dumps(
        {
            "detector": config.detector.model_dump(mode="json"),
            "data": config.data.model_dump(mode="json"),
            "split": config.splits,
            "seed": config.seed,
            "schedule": {name: schedule[name] for name in _OF_ALL},
            "paths": [job.paths.root, job.paths.cache],
        },
        sort_keys=True,
    )


def _parts(group: Sequence[Job], most: int) -> list[Sequence[Job]]:
    """A group in as few parts of at most so many as there can be, as equal as can be."""
    count = -(-len(group) // most)
    bounds = [round(number * len(group) / count) for number in range(count + 1)]
    return [group[a:b] for a, b in pairwise(bounds)]
