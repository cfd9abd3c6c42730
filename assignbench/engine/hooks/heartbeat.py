"""Tells others that a cell is alive, and notices when the process that launched it is gone."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner, Outcome, Update
from assignbench.records import write_json

HEARTBEAT_SECONDS = 1.0


class Orphaned(RuntimeError):
    """The process that launched this cell is gone; the cell stops and can be resumed."""


class Status:
    """Writes status.json at most once a second. Raises Orphaned when `alive` says that nobody waits any more."""

    def __init__(self, folder: Path, alive: Callable[[], bool]) -> None:
        self.folder, self.alive, self.last = folder, alive, 0.0
        self.held: dict[str, Any] = {"step": 0, "steps": 0}

    def write(self, state: str, *, force: bool = False, **more: Any) -> None:
        """The state with process, host and time; step and steps stay as they were last given."""
        if not self.alive():
            raise Orphaned
        now = time.time()
        self.held.update({k: v for k, v in more.items() if k in ("step", "steps")})
        if force or now - self.last >= HEARTBEAT_SECONDS:
            self.last = now
            content = {"state": state, "pid": os.getpid(), "host": socket.gethostname(), "heartbeat": now, **self.held}
            write_json(self.folder / "status.json", {**content, **more})


class Heartbeat(Hook):
    """Says after every step how far training is."""

    def __init__(self, learner: Learner, status: Status) -> None:
        super().__init__(learner)
        self.status = status

    def after_update(self, outcome: Outcome, update: Update) -> None:
        self.status.write("running", step=outcome.step + 1, steps=self.learner.steps, phase="training")
