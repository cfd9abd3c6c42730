"""What a method costs, against what it detects."""

from __future__ import annotations

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis, keys_of
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import Result

CAPTION = "AP, time, memory and size, mean over seeds"
UNITS = {
    "AP": "AP",
    "train_s": "s",
    "images_per_s": "1/s",
    "assign_ms": "ms",
    "criterion_ms": "ms",
    "memory_MiB": "MiB",
    "forward_ms": "ms",
    "postprocess_ms": "ms",
    "parameters_M": "1e6",
    "gflops": "1e9",
}


@analysis(
    "cost",
    title="Cost",
    question="What does each method cost to train and to run, and is the AP worth it?",
    definition=(
        "Training seconds of one cell on the device named below, median images/s of training, milliseconds of a "
        "training step for assigner and criterion (CPU only), peak memory of the cell's process (on a GPU: "
        "allocated), milliseconds per test image for the network and for ranking and NMS, parameters in millions, "
        "multiply-adds of one forward pass in 1e9. Pareto: no other method of the detector and data set is at least "
        "as good in AP and in training seconds and better in one."
    ),
)
def cost(study: StudyRecord) -> Result:
    """One row per data set, detector and method, averaged over seeds; `pareto` marks those not dominated."""
    rows = []
    for cell in study.done:
        s = cell.summary
        if "train_seconds" not in s:  # imported
            continue
        metrics = cell.metrics()
        step = {n: float(metrics[n].median()) if n in metrics else np.nan for n in ("assign_ms", "criterion_ms")}
        row = {
            "AP": s["AP"],
            "train_s": s["train_seconds"],
            "images_per_s": s["images_per_second"],
            **step,
            "memory_MiB": s.get("peak_memory_mib", np.nan),
            "forward_ms": s["forward_ms_per_image"],
            "postprocess_ms": s["postprocess_ms_per_image"],
            "parameters_M": s["parameters"] / 1e6,
            "gflops": s["gflops"],
        }
        rows.append({**keys_of(cell), **{k: np.nan if v is None else float(v) for k, v in row.items()}})
    if not rows:
        return Result("cost", CAPTION, pd.DataFrame(), UNITS)
    table = over_seeds(pd.DataFrame(rows))
    table = table.drop(columns=[c for c in table.columns if c.endswith("_half")])
    table["pareto"] = ["yes" if _undominated(row, table) else "" for _, row in table.iterrows()]
    return Result("cost", CAPTION, table, UNITS)


def _undominated(row: pd.Series, table: pd.DataFrame) -> bool:
    rivals = table[(table.data == row.data) & (table.detector == row.detector)]
    as_good = (rivals.AP >= row.AP) & (rivals.train_s <= row.train_s)
    better = (rivals.AP > row.AP) | (rivals.train_s < row.train_s)
    return not bool((as_good & better).any())
