"""Processes of tests, forked from a server that has imported what they need and done nothing else: each import of
PyTorch takes five seconds, and whoever has run autograd on several threads cannot do so in a fork.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from assignbench.engine import team

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.victims", "tests.engine.ranks", "assignbench.engine.peer"])


class Forked:
    """In the place of `subprocess.Popen` for what `assignbench.starting.command` returns: calls the same `main`."""

    def __init__(self, command: list[str], **options: Any) -> None:
        code, arguments = command[3], command[4:]
        module = code.partition("; from ")[2].partition(" import main")[0]
        self._process = CONTEXT.Process(target=_main, args=(module, arguments))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return code

    def kill(self) -> None:
        self._process.kill()


def _main(module: str, arguments: list[str]) -> None:
    # Its parent is the server, and not who asked for it: it stays as long as that one is there.
    os._exit(importlib.import_module(module).main([*arguments[:-1], str(os.getppid())]))


@contextmanager
def peers_forked() -> Iterator[None]:
    """The processes that help this one to train a cell are forks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(team, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": Forked}))
        yield
