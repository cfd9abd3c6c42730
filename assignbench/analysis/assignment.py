"""How many priors each object gets while a method trains, and which objects get none."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis, keys_of
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import Result
from assignbench.config.evaluation import LEAST_OBJECTS
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
MEANS = ("orphans_cls", "orphans_box", "positives_cls", "positives_box", "disagreement")


@analysis(
    "orphans",
    title="Orphans and disagreement",
    question="Which objects get no positive prior, and how often do the two tasks disagree?",
    definition=(
        "Orphan: an object without a positive prior for a task. Size is the square root of the box area in network "
        "px. Disagreement: share of an object's priors, over both tasks, that only one task gives it. Mean over the "
        "objects of the sampled training batches of all seeds, an object counted in every batch that holds it; no mean "
        "of fewer objects than the study's `least_objects` "
        f"({LEAST_OBJECTS} unless it says so)."
    ),
)
def orphans(study: StudyRecord) -> Result:
    """data, detector, method, size, objects, orphans_cls, orphans_box, positives_cls, positives_box, disagreement, n
    (seeds); the means are NaN where there are fewer objects than the study's least number.
    """
    units = {"orphans_cls": "share", "orphans_box": "share", "disagreement": "share"}
    units |= {"positives_cls": "priors per object", "positives_box": "priors per object"}
    caption = "Orphans, positives and disagreement by size of the object"
    parts = [table.assign(**keys_of(c)) for c in study.done if len(table := c.table("assignments"))]
    if not parts:
        return Result("orphans", caption, pd.DataFrame(), units)
    everything = pd.concat(parts, ignore_index=True)
    everything["size"] = size_of(everything.network_area)
    union = everything.positives_cls + everything.positives_box - everything.positives_both
    everything["disagreement"] = np.where(union > 0, 1 - everything.positives_both / union.clip(lower=1), np.nan)
    everything["orphans_cls"] = (everything.positives_cls == 0).astype(float)
    everything["orphans_box"] = (everything.positives_box == 0).astype(float)
    groups = everything.groupby(["data", "detector", "method", "size"], observed=True, sort=False)
    found = groups[list(MEANS)].mean()
    found.insert(0, "objects", groups.size())
    found["n"] = groups.seed.nunique()
    found = _in_order(found.reset_index(), study)
    few = found.objects < study.least_objects
    found.loc[few, list(MEANS)] = np.nan
    return Result("orphans", caption, found, units, notes=_of_whom(found[few], study.least_objects))


def _in_order(found: pd.DataFrame, study: StudyRecord) -> pd.DataFrame:
    """The rows by place, size and method, in the study's order of places and methods."""
    places = {place: k for k, place in enumerate(study.places)}
    place = [places[key] for key in zip(found.data, found.detector, strict=True)]
    order = found.assign(_place=place, _method=found.method.map({m: k for k, m in enumerate(study.methods)}))
    return order.sort_values(["_place", "size", "_method"], kind="stable").drop(columns=["_place", "_method"])


def _of_whom(few: pd.DataFrame, least: int) -> tuple[str, ...]:
    """What the means speak for, and why some groups (rows of the table) have none."""
    told = ["These sampled objects, all seeds together: no interval, and no test rests on it."]
    groups = few.groupby(["detector", "data", "size"], observed=True, sort=False).objects.max()
    if len(groups):
        named = "; ".join(f"{size} of {detector} on {data}: {n}" for (detector, data, size), n in groups.items())
        told.append(f"No number from fewer than {least} sampled objects ({named}).")
    return tuple(told)


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
