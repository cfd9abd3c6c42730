"""What a method costs, against what it detects."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis, keys_of
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import Result

CAPTION = "AP, time, memory and size, mean over seeds"
AGREE = 0.1  # CPU shares that differ by more, relative to the largest, make times that cannot be compared
NOT_COMPARED = "not compared"
STEP = ("assign_ms", "assign_cpu_ms", "criterion_ms", "criterion_cpu_ms")
UNITS = {
    "AP": "AP",
    "train_s": "s",
    "train_cpu_s": "s",
    "cpu_share": "share",
    "images_per_s": "1/s",
    **dict.fromkeys(STEP, "ms"),
    "memory_MiB": "MiB",
    "forward_ms": "ms",
    "forward_cpu_ms": "ms",
    "postprocess_ms": "ms",
    "postprocess_cpu_ms": "ms",
    "parameters_M": "1e6",
    "gflops": "1e9",
}


@analysis(
    "cost",
    title="Cost",
    question="What does each method cost to train and to run, and is the AP worth it?",
    definition=(
        "Training seconds of one cell on the device named below, median images/s of training, milliseconds of a "
        "training step for assigner and criterion (median; on a GPU by events of the device), peak memory of the "
        "cell's process (on a GPU: allocated), milliseconds per test image for the network and for ranking and NMS, "
        "parameters in millions, multiply-adds of one forward pass in 1e9. Times are those that passed; cpu: what the "
        "process' threads worked meanwhile, which other programs on the machine change little. CPU share: the one "
        "divided by the other over training; below the number of threads, the cell waited for others. Pareto: no "
        "other method of the detector and data set is at least as good in AP and in training seconds and better in "
        "one; said only where the CPU shares of the cells agree within 10 per cent. Training: 'shared' marks a method "
        "whose cells took the training of another method's; its training is the same one, not to be counted again."
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
        step = {n: float(metrics[n].median()) if n in metrics else np.nan for n in STEP}
        worked = s.get("train_cpu_seconds")
        row = {
            "AP": s["AP"],
            "train_s": s["train_seconds"],
            "train_cpu_s": worked,
            "cpu_share": worked / s["train_seconds"] if worked and s["train_seconds"] else np.nan,
            "images_per_s": s["images_per_second"],
            **step,
            "memory_MiB": s.get("peak_memory_mib", np.nan),
            "forward_ms": s["forward_ms_per_image"],
            "forward_cpu_ms": s.get("forward_cpu_ms_per_image"),
            "postprocess_ms": s["postprocess_ms_per_image"],
            "postprocess_cpu_ms": s.get("postprocess_cpu_ms_per_image"),
            "parameters_M": s["parameters"] / 1e6,
            "gflops": s["gflops"],
            "shared": bool(cell.training),
        }
        rows.append({**keys_of(cell), **{k: np.nan if v is None else float(v) for k, v in row.items()}})
    if not rows:
        return Result("cost", CAPTION, pd.DataFrame(), UNITS)
    cells = pd.DataFrame(rows)
    table = over_seeds(cells)
    table = table.drop(columns=[c for c in table.columns if c.endswith("_half")])
    shared = table.pop("shared")
    if shared.any():
        table["training"] = np.where(shared > 0, "shared", "own")
    parts = cells.groupby(["data", "detector"], sort=False)
    why_not = {place: why for place, part in parts if (why := _incomparable(part))}
    table["pareto"] = [_pareto(row, table, why_not) for _, row in table.iterrows()]
    told = "; ".join(f"no Pareto front for {detector} on {data}: {why}" for (data, detector), why in why_not.items())
    return Result("cost", f"{CAPTION}; {told}" if told else CAPTION, table, UNITS)


def _incomparable(cells: pd.DataFrame) -> str:
    """Why the training times of a place's cells must not be ranked; "" where they may be."""
    if cells.method.nunique() < 2:
        return ""
    if cells.cpu_share.isna().any():
        return "the processor time of some cells was not recorded"
    low, high = float(cells.cpu_share.min()), float(cells.cpu_share.max())
    if high - low <= AGREE * high:
        return ""
    return (
        f"the CPU shares of its cells lie between {100 * low:.0f} and {100 * high:.0f} per cent, so that their times "
        "tell what else the machine did"
    )


def _pareto(row: pd.Series, table: pd.DataFrame, why_not: Mapping[Hashable, str]) -> str:
    if (row.data, row.detector) in why_not:
        return NOT_COMPARED
    return "yes" if _undominated(row, table) else ""


def _undominated(row: pd.Series, table: pd.DataFrame) -> bool:
    rivals = table[(table.data == row.data) & (table.detector == row.detector)]
    as_good = (rivals.AP >= row.AP) & (rivals.train_s <= row.train_s)
    better = (rivals.AP > row.AP) | (rivals.train_s < row.train_s)
    return not bool((as_good & better).any())
