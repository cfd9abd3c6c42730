"""What a method costs, against what it detects."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from assignbench.analysis.base import StudyRecord, analysis, keys_of
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import Result
from assignbench.analysis.verdicts import NOT_COMPARED
from assignbench.records import CellRecord

TRAINING, TESTING = "AP, and what training takes", "AP, and what a test image takes"
AGREE = 0.1  # CPU shares that differ by more, relative to the largest, make times that cannot be compared
ALONE = 0.9  # of one processor: a cell on a CPU that got less was measured beside other load
OF_MEANS = "The Pareto front is one of means, not of resolved differences."
STEP = ("assign_ms", "assign_cpu_ms", "criterion_ms", "criterion_cpu_ms")
# By the names of summary.json; what is a time has the time of the processor beside it.
UNITS = {
    "AP": "AP",
    "train_h": "h",
    "train_s": "s",
    "train_cpu_s": "s",
    "cpu_share": "share",
    "images_per_s": "1/s",
    **dict.fromkeys(STEP, "ms"),
    "memory_MiB": "MiB",
}
TEST_UNITS = {
    "AP": "AP",
    "parameters_M": "1e6",
    "trained_M": "1e6",
    "gflops": "1e9",
    "fps": "1/s",
    "cpu_share": "share",
    "forward_ms": "ms",
    "forward_cpu_ms": "ms",
    "postprocess_ms": "ms",
    "postprocess_cpu_ms": "ms",
}


@analysis(
    "cost",
    title="Cost",
    question="What does each method cost to train and to run, and is the AP worth it?",
    definition=(
        "Training: hours and seconds of one cell on the device named below, median images/s, milliseconds of a "
        "training step for assigner and criterion (median; on a GPU by events of the device), peak memory of the "
        "cell's process (on a GPU: allocated). Test: parameters in millions, and those of them that training changes; "
        "multiply-adds of one forward pass in 1e9, at the height and width that the table names, where a deformable "
        "convolution counts as an ordinary one; fps: test images per second, one at a time, network, ranking, NMS and "
        "voting together, over at most 100 images after 10 that do not count, the device waited for after each; "
        "milliseconds per test image for the network and for what follows, in batches. Times are those that passed; "
        "cpu: what the process' threads worked meanwhile, which other programs on the machine change little. CPU "
        "share: the one divided by the other; below the number of threads, the cell waited for others, and where a "
        "cell on a CPU got less than 90 per cent of one processor, the table says that it was measured beside other "
        "load. Pareto: no other method of the detector and data set is at least as good in AP and in the time (of "
        "training; of a test image) and better in one; said only where the CPU shares of the cells agree within 10 per "
        "cent. Training: 'shared' marks a method whose cells took the training of another method's; its training is "
        "the same one, not to be counted again. A test split without annotations has costs, and no AP."
    ),
)
def cost(study: StudyRecord) -> list[Result]:
    """One row per data set, detector and method, averaged over seeds: of training, and of a test image.

    `pareto` marks those not dominated.
    """
    cells = [c for c in study.finished if "train_seconds" in c.summary]  # all but imported ones
    if not cells:
        return [Result("cost", f"{TRAINING}, mean over seeds", pd.DataFrame(), UNITS)]
    return [
        _table("cost", TRAINING, cells, _training_row, UNITS, "train_s"),
        _table("cost.test", TESTING, cells, _test_row, TEST_UNITS, "image_s"),
    ]


def cpu_shares(time: str, cells: Sequence[CellRecord]) -> list[float]:
    """Processor time over the time that passed in training ("train_hours") or in the images of "fps"; NaN where a cell
    does not hold it.
    """
    found = [_SHARES[time](c.summary) for c in cells]
    return [np.nan if share is None else share for share in found]


def _training_share(summary: Mapping[str, Any]) -> float | None:
    worked, passed = summary.get("train_cpu_seconds"), summary.get("train_seconds")
    return worked / passed if worked and passed else None


_SHARES: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "train_hours": _training_share,
    "fps": lambda summary: summary.get("fps_cpu_share"),
}


def _training_row(cell: CellRecord) -> dict[str, object]:
    s, metrics = cell.summary, cell.metrics()
    return {
        "AP": s["AP"],
        "train_h": s["train_seconds"] / 3600,
        "train_s": s["train_seconds"],
        "train_cpu_s": s.get("train_cpu_seconds"),
        "cpu_share": _training_share(s),
        "images_per_s": s["images_per_second"],
        **{n: float(metrics[n].median()) if n in metrics else None for n in STEP},
        "memory_MiB": s.get("peak_memory_mib"),
        "shared": float(bool(cell.training)),
    }


def _test_row(cell: CellRecord) -> dict[str, object]:
    s = cell.summary
    trained = s.get("parameters_trained")
    return {
        "AP": s["AP"],
        "parameters_M": s["parameters"] / 1e6,
        "trained_M": None if trained is None else trained / 1e6,
        "gflops": s["gflops"],
        "fps": s.get("fps"),
        "cpu_share": s.get("fps_cpu_share"),
        "forward_ms": s["forward_ms_per_image"],
        "forward_cpu_ms": s.get("forward_cpu_ms_per_image"),
        "postprocess_ms": s["postprocess_ms_per_image"],
        "postprocess_cpu_ms": s.get("postprocess_cpu_ms_per_image"),
        "image_s": 1 / s["fps"] if s.get("fps") else None,  # what the front is made of
    }


def _table(
    key: str,
    caption: str,
    records: Sequence[CellRecord],
    row_of: Callable[[CellRecord], Mapping[str, object]],
    units: Mapping[str, str],
    time: str,
) -> Result:
    """A table of cells averaged over seeds, with the front of AP against `time`, and what must stand below it."""
    rows = [{**keys_of(c), **{k: np.nan if v is None else v for k, v in row_of(c).items()}} for c in records]
    cells = pd.DataFrame(rows)
    table = over_seeds(cells)
    table = table.drop(columns=[c for c in table.columns if c.endswith("_half")])
    if "shared" in table:
        shared = table.pop("shared")
        if shared.any():
            table["training"] = np.where(shared > 0, "shared", "own")
    parts = cells.groupby(["data", "detector"], sort=False)
    several = [(place, part) for place, part in parts if part.method.nunique() > 1]
    why_not = {place: why for place, part in several if (why := incomparable(part.cpu_share.tolist()))}
    table["pareto"] = [_pareto(row, table, why_not, time) for _, row in table.iterrows()]
    told = [f"No Pareto front for {detector} on {data}: {why}." for (data, detector), why in why_not.items()]
    told += [OF_MEANS] if any(place not in why_not for place, _ in several) else []
    told += _beside_load(records, cells) + (_sizes(records) if key == "cost.test" else [])
    table = table.drop(columns="image_s", errors="ignore")
    return Result(key, f"{caption}, mean over seeds", table, units, notes=tuple(told), folded=_folded(table))


def _folded(table: pd.DataFrame) -> tuple[str, ...]:
    """Processor times of parts, and of training's time in seconds and in hours the one that says less."""
    names = [c for c in table if str(c).endswith("_cpu_ms")]
    if "train_h" in table:
        names.append("train_s" if (table.train_h >= 1).any() else "train_h")
    return tuple(names)


def _beside_load(records: Sequence[CellRecord], cells: pd.DataFrame) -> list[str]:
    """Says which methods were measured while other programs had the processor, by detector."""
    on_cpu = np.array([c.environment.get("device") == "cpu" for c in records])
    found = cells[on_cpu & (cells.cpu_share < ALONE)]
    places = found.groupby(["data", "detector"], sort=False).method.unique()
    names = [f"{', '.join(methods)} ({detector}, {data})" for (data, detector), methods in places.items()]
    return [f"Measured beside other load: {'; '.join(names)}."] if names else []


def _sizes(records: Sequence[CellRecord]) -> list[str]:
    """At which height and width multiply-adds were counted."""
    found = {(c.config.data.name, *(c.summary.get("gflops_hw") or ())) for c in records}
    named = [f"{h} x {w} px on {data}" for data, h, w in sorted(f for f in found if len(f) == 3)]
    return [f"gflops at {', '.join(named)} (height x width)."] if named else []


def incomparable(shares: Sequence[float]) -> str:
    """Why the times of cells with these CPU shares must not be compared; "" where they may be."""
    if not np.isfinite(shares).all():
        return "the processor time of some cells was not recorded"
    low, high = min(shares), max(shares)
    if high - low <= AGREE * high:
        return ""
    return (
        f"the CPU shares of its cells lie between {100 * low:.0f} and {100 * high:.0f} per cent, so that their times "
        "tell what else the machine did"
    )


def _pareto(row: pd.Series, table: pd.DataFrame, why_not: Mapping[Hashable, str], time: str) -> str:
    if (row.data, row.detector) in why_not:
        return NOT_COMPARED
    return "yes" if _undominated(row, table, time) else ""


def _undominated(row: pd.Series, table: pd.DataFrame, time: str) -> bool:
    if np.isnan(row.AP):  # a test split without annotations
        return False
    rivals = table[(table.data == row.data) & (table.detector == row.detector)]
    as_good = (rivals.AP >= row.AP) & (rivals[time] <= row[time])
    better = (rivals.AP > row.AP) | (rivals[time] < row[time])
    return not bool((as_good & better).any())
