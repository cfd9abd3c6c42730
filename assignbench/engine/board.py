"""The metrics of a training for TensorBoard, where that is installed; the records do without it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"  # below the cell's; no part of its records


class Board:
    """Writes scalars of a cell as TensorBoard's event files, if its package is there; else it does nothing.

    A training that goes on writes over the steps that are done again. Nothing reads these files back. `problem` says
    why a package that is there does not work: that must not cost the training.
    """

    def __init__(self, folder: Path, first: int = 0) -> None:
        self._writer: Any = None
        self.problem = ""
        if find_spec("tensorboard") is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / FOLDER), purge_step=first)
        except Exception as problem:  # a broken installation of somebody else's package
            self.problem = f"no metrics for TensorBoard: {type(problem).__name__}: {problem!s:.200}"

    def line(self, line: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl: losses under `loss`, the others under `training`."""
        step = int(line["step"])
        for name, value in line.items():
            if name not in ("step", "epoch") and value is not None:
                group = "loss" if name.startswith("loss") else "training"
                self.scalar(f"{group}/{name}", value, step)

    def scalar(self, name: str, value: float, step: int) -> None:
        """One number at a step."""
        if self._writer is not None:
            self._writer.add_scalar(name, float(value), step)

    def close(self) -> None:
        """Writes out what is left."""
        if self._writer is not None:
            self._writer.close()
