"""Measures of a cell that its test images have no part in: what it costs, and what its assigner gave to objects while
it trained. Intervals of them speak of other seeds alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from assignbench.analysis.assignment import TASKS
from assignbench.analysis.base import CellData
from assignbench.analysis.cost import cpu_shares, incomparable
from assignbench.analysis.probes import late_churn

TIMES = ("train_hours", "fps")  # which tell of the machine too
MACHINE = ("device", "device_name", "threads")


def _recorded(key: str, scale: float, cell: CellData) -> float:
    """A number of summary.json; NaN where it holds none, as that of imported predictions."""
    value = cell.summary.get(key)
    return float("nan") if value is None else float(value) / scale


def _orphans(tasks: Sequence[str], cell: CellData) -> float:
    """Share of the objects of the sampled training batches without a positive, mean over tasks."""

    def compute() -> float:
        table = cell.cell.table("assignments")
        if table.empty:
            return float("nan")
        return float(np.mean([(table[f"positives_{task}"] == 0).mean() for task in tasks]))

    return cell.keep(("orphans", tuple(tasks)), compute)


def _churn(tasks: Sequence[str], cell: CellData) -> float:
    """Churn over the second half of training, mean over tasks; NaN where one has none."""
    late = cell.once("late churn", partial(late_churn, cell))
    return float(np.mean([late.get(task, np.nan) for task in tasks]))


TRAINING_MEASURES: dict[str, Callable[[CellData], float]] = {
    "train_hours": partial(_recorded, "train_seconds", 3600.0),
    "fps": partial(_recorded, "fps", 1.0),
    "parameters": partial(_recorded, "parameters", 1.0),
    "gflops": partial(_recorded, "gflops", 1.0),
    "orphans": partial(_orphans, TASKS),
    "churn": partial(_churn, TASKS),
    **{f"orphans_{task}": partial(_orphans, (task,)) for task in TASKS},
    **{f"churn_{task}": partial(_churn, (task,)) for task in TASKS},
}


def why_incomparable(measure: str, cells: Sequence[CellData]) -> str:
    """Why a measure of these cells cannot be compared: times of different machines, or beside other load; "" where it
    can, for what is no time, and where one was not recorded.
    """
    if measure not in TIMES or not np.isfinite([TRAINING_MEASURES[measure](c) for c in cells]).all():
        return ""
    machines = {tuple(str(c.cell.environment.get(k, "")) for k in MACHINE) for c in cells}
    if len(machines) > 1:
        return f"the cells ran on {len(machines)} kinds of machines: {'; '.join(sorted(map(' '.join, machines)))}"
    return incomparable(cpu_shares(measure, [c.cell for c in cells]))
