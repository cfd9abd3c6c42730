"""Tells others where a cell stands."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update
from assignbench.records import CellRecord, finish, write_json

HEARTBEAT_SECONDS = 1.0


class Status:
    """Writes status.json at most once a second; `notes` are sentences on what happened, which stay with the cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = [str(n) for n in CellRecord(folder).status.get("notes", [])]
        self._last = -HEARTBEAT_SECONDS
        self._steps: dict[str, int] = {"step": 0, "steps": 0}

    def write(self, state: str, *, force: bool = False, **more: Any) -> None:
        """The state with process, host and time; step and steps stay as they were last given."""
        self._steps |= {k: v for k, v in more.items() if k in self._steps}
        now = time.monotonic()  # the clock on the wall may be set back
        if force or now - self._last >= HEARTBEAT_SECONDS:
            self._last = now
            write_json(self.folder / "status.json", {"state": state, **self._content(), **more})

    def note(self, *sentences: str) -> None:
        """Adds to the notes, each once."""
        self.notes += [s for s in sentences if s not in self.notes]

    def done(self) -> None:
        """Declares the cell finished, by its status and its manifest."""
        finish(self.folder, **self._content())

    def _content(self) -> dict[str, Any]:
        told = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat": time.time(), **self._steps}
        return {**told, "notes": self.notes} if self.notes else told


class Heartbeat(Hook):
    """Says after every step how far training is."""

    def __init__(self, learner: Learner, status: Status) -> None:
        super().__init__(learner)
        self.status = status

    def after_update(self, outcome: Outcome, update: Update) -> None:
        self.status.write("running", step=outcome.step + 1, steps=self.learner.steps, phase="training")
