"""How many priors each object gets while a method trains, and which objects get none."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis, keys_of
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import Result
from assignbench.records import CellRecord

BINS = 12
TASKS = ("cls", "box")


@analysis(
    "positives",
    title="Positives per object over training",
    question="How many priors does an object teach, and does that change as the detector learns?",
    definition=(
        "Mean number of priors that name an object as their target, per task, over the objects of the sampled "
        "training batches, in twelve equal parts of training."
    ),
    paper="PAA, Fig. 4(b)",
)
def positives(study: StudyRecord) -> Result:
    """data, detector, method, seed, progress, task, positives, orphans: drawn, not printed."""
    parts = []
    for cell in study.data():
        found = kept_positives(cell)
        parts += [found.assign(**cell.keys)] if len(found) else []
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return Result("positives", "Positives per object", frame, {"orphans": "share", "progress": "share"}, "figure")


def kept_positives(cell: CellData) -> pd.DataFrame:
    """One row per part of training and task; nothing without samples."""
    return cell.keep("positives", partial(_positives, cell.cell))


def _positives(cell: CellRecord) -> pd.DataFrame:
    """One row per tenth of training and task; nothing without samples."""
    table = cell.table("assignments")
    parts = []
    if not table.empty:
        last = max(1, int(table.step.max()))
        progress = (np.floor(table.step / (last + 1) * BINS) + 0.5) / BINS
        for task in TASKS:
            grouped = table.groupby(progress.rename("progress"))[f"positives_{task}"]
            found = pd.DataFrame(
                {"positives": grouped.mean(), "orphans": grouped.apply(lambda c: float((c == 0).mean()))}
            )
            parts.append(found.reset_index().assign(task=task))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


SIZES = ((0, 16), (16, 32), (32, 64), (64, 10_000))


@analysis(
    "orphans",
    title="Orphans and disagreement",
    question="Which objects get no positive prior, and how often do the two tasks disagree?",
    definition=(
        "Orphan: an object without a positive prior for a task. Size is the square root of the box area in network "
        "px. Disagreement: share of an object's priors, over both tasks, that only one task gives it. Mean over the "
        "objects of the sampled training batches."
    ),
)
def orphans(study: StudyRecord) -> Result:
    """data, detector, method, size, objects, orphans_cls, orphans_box, positives_cls, positives_box, disagreement."""
    units = {"orphans_cls": "share", "orphans_box": "share", "disagreement": "share"}
    units |= {"positives_cls": "priors per object", "positives_box": "priors per object"}
    caption = "Orphans, positives and disagreement by size of the object"
    parts = []
    for cell in study.done:
        table = cell.table("assignments")
        if len(table):
            parts.append(table.assign(**{k: v for k, v in keys_of(cell).items() if k != "seed"}))
    if not parts:
        return Result("orphans", caption, pd.DataFrame(), units)
    everything = pd.concat(parts, ignore_index=True)
    everything["size"] = size_of(everything.network_area)
    union = everything.positives_cls + everything.positives_box - everything.positives_both
    everything["disagreement"] = np.where(union > 0, 1 - everything.positives_both / union.clip(lower=1), np.nan)
    everything["orphans_cls"] = (everything.positives_cls == 0).astype(float)
    everything["orphans_box"] = (everything.positives_box == 0).astype(float)
    groups = everything.groupby(["data", "detector", "method", "size"], observed=True, sort=False)
    columns = ["orphans_cls", "orphans_box", "positives_cls", "positives_box", "disagreement"]
    found = groups[columns].mean()
    found.insert(0, "objects", groups.size())
    order = {m: i for i, m in enumerate(study.methods)}
    found = found.reset_index().sort_values(
        ["data", "detector", "size", "method"], key=lambda c: c.map(order) if c.name == "method" else c, kind="stable"
    )
    return Result("orphans", caption, found, units)


@analysis(
    "levels",
    title="Levels of the pyramid",
    question="Which level teaches objects of which size?",
    definition=(
        "Share of an object's classification positives on each level of the pyramid (finest first), mean over the "
        "objects with any, by the square root of the box area in network px; sampled training batches."
    ),
)
def levels(study: StudyRecord) -> Result:
    """data, detector, method, size, objects, level 0, level 1, ...: shares over seeds."""
    rows = [{**cell.keys, **row} for cell in study.data() for row in kept_levels(cell)]
    found = over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()
    found = found.drop(columns=[c for c in found.columns if c.endswith("_half")])
    units = {c: "share" for c in found.columns if c.startswith("level ")} | {"objects": "objects"}
    return Result("levels", "Share of the positives on each level", found, units)


def kept_levels(cell: CellData) -> list[dict[str, object]]:
    """One row per size of the objects."""
    return cell.keep("levels", partial(_levels, cell.cell))


def _levels(cell: CellRecord) -> list[dict[str, object]]:
    table = cell.table("assignments")
    names = [c for c in table.columns if c.startswith("level") and c.endswith("_cls")]
    rows: list[dict[str, object]] = []
    if table.empty or not names:
        return rows
    table = table[table[names].sum(axis=1) > 0]
    share = table[names].div(table[names].sum(axis=1), axis=0)
    for size, group in share.groupby(size_of(table.network_area), observed=True):
        means = {f"level {i}": float(group[n].mean()) for i, n in enumerate(names)}
        rows.append({"size": str(size), "objects": len(group), **means})
    return rows


def size_of(area: pd.Series) -> pd.Series:
    """The class of size of each area in px²."""
    names = [f"{a}-{b} px" if b < 10_000 else f"{a} px and more" for a, b in SIZES]
    return pd.cut(np.sqrt(area), [a for a, _ in SIZES] + [np.inf], labels=names, right=False)
