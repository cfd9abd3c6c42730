"""Where running cells stand, read from their folders."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from assignbench.config.cell import CellConfig
from assignbench.records import CellRecord

WAITING = "waiting"  # the phase of a cell that is handed over to a cluster and not begun there


@dataclass(frozen=True)
class Progress:
    """Where a running cell stands. `by` says who trains it, if that is another run."""

    name: str
    phase: str
    step: int
    steps: int
    images_per_second: float
    seconds_left: float | None
    by: str = ""


@dataclass
class Gauges:
    """Reads the progress of cells; a status is read again only when it was written again.

    One that is pending `apart` waits for a place there; here its process is about to begin.
    """

    apart: bool = False
    _seen: dict[Path, tuple[int, Progress]] = field(default_factory=dict)
    _speeds: dict[Path, tuple[float, int]] = field(default_factory=dict)

    def read(self, folder: Path, config: CellConfig) -> Progress:
        """Where the cell of a folder stands, with its speed since it was first looked at."""
        try:
            written = (folder / "status.json").stat().st_mtime_ns
        except OSError:
            written = 0
        if folder not in self._seen or self._seen[folder][0] != written:
            self._seen[folder] = (written, self._measured(folder, config))
        return self._seen[folder][1]

    def _measured(self, folder: Path, config: CellConfig) -> Progress:
        status = CellRecord(folder).status
        step, steps, now = int(status.get("step", 0)), int(status.get("steps", 0)), time.monotonic()
        begun, first = self._speeds.get(folder, (now, step))
        if step and (folder not in self._speeds or step < first):  # one that goes on from a checkpoint steps back
            self._speeds[folder] = begun, first = now, step
        rate = (step - first) / max(now - begun, 1e-9)
        speed = rate * config.schedule.update_size
        left = (steps - step) / rate if rate > 0 else None
        phase = str(status.get("phase") or ("finishing" if step else "starting"))
        phase = WAITING if self.apart and status.get("state") == "pending" else phase
        return Progress(config.slug, phase, step, steps, speed, left)
