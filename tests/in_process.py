"""Trainings in the process of the tests: the start of another one costs more than a few steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from assignbench.commands import run as run_command
from assignbench.engine import run as engine
from assignbench.launch.base import Job


class InProcess:
    """A launcher that trains a cell at once and in this process, which spares the start of others."""

    def __init__(self, device: str) -> None:
        self.device = device

    def free(self, job: Job) -> None:
        pass

    def submit(self, job: Job) -> int:
        return 0 if engine.run_cell(job.folder, self.device) == "done" else 1

    def poll(self, handle: int) -> int:
        return handle

    def cancel(self, handle: int) -> int:
        return handle


@contextmanager
def trained_here() -> Iterator[None]:
    """`assignbench run` trains its cells in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_command, "LocalProcesses", InProcess)
        yield
