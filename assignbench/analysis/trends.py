"""Does a gain grow with a factor? The slope of the gain over groups of objects, for other seeds and other images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord
from assignbench.analysis.intervals import FOLDS, LEAST_SEEDS, Floats, Trend, fold_weights, trend
from assignbench.measure.groups import Grouping, group_precision, quantile_grouping
from assignbench.measure.matching import mean_over_classes

FACTORS = ("crowdedness", "aspect_ratio", "acentricity", "occlusion", "contrast", "objects_in_image")
FACTOR_BINS = 4


@dataclass(frozen=True)
class GroupCurve:
    """A cell's APs [F + 1, G] by image folds and group, with each group's mean factor and its objects."""

    precision: Floats
    middles: Floats
    objects: Floats


def factor_grouping(study: StudyRecord, data: str, factor: str) -> Grouping | None:
    """Up to four groups of equal size of a data set's objects; None if the factor is not there or never varies."""
    cell = next((c for c in study.data() if c.keys["data"] == data), None)
    if cell is None or factor not in cell.objects:
        return None
    return quantile_grouping(factor, cell.objects[factor].to_numpy(np.float64), FACTOR_BINS)


def group_curve(cell: CellData, grouping: Grouping, folds: int) -> GroupCurve:
    """The balanced AP of every group that holds an object, on all images and with each fold of them left out."""
    return cell.once(("group curve", grouping, folds), partial(_group_curve, cell, grouping, folds))


def _group_curve(cell: CellData, grouping: Grouping, folds: int) -> GroupCurve:
    values = cell.objects[grouping.column]
    place = grouping.place(values)
    weights = fold_weights(len(cell.overlaps.images), folds)
    columns, middles, objects = [], [], []
    for number in range(len(grouping.names)):
        inside = place == number
        count = int((inside & ~cell.overlaps.left_out).sum())
        if count:
            found = group_precision(cell.overlaps, inside, weights=weights, matches=cell.matches)
            columns.append(mean_over_classes(found))
            middles.append(float(values[inside].mean()))
            objects.append(float(count))
    stacked = np.stack(columns, axis=-1) if columns else np.zeros((len(weights), 0))
    return GroupCurve(stacked, np.asarray(middles), np.asarray(objects))


def trends(study: StudyRecord, grouping: Grouping, data: str) -> dict[tuple[str, str], tuple[str, Trend]]:
    """By detector and method of a data set: the baseline and the trend of the gain over the groups."""
    cells: dict[str, dict[tuple[str, int], CellData]] = {}
    for cell in study.data():
        if cell.keys["data"] == data and grouping.column in cell.objects:
            here = cells.setdefault(cell.keys["detector"], {})
            here[cell.keys["method"], cell.keys["seed"]] = cell
    found = {}
    for detector, members in cells.items():
        present = list(dict.fromkeys(m for m, _ in members))
        for method in present:
            baseline = study.baseline_of(method, present)
            seeds = [s for m, s in members if m == method and (baseline, s) in members]
            if baseline and seeds:
                # One or two seeds resolve nothing: their images need not be left out in turn.
                folds = FOLDS if len(seeds) >= LEAST_SEEDS else 0
                ours = [group_curve(members[method, s], grouping, folds) for s in seeds]
                theirs = [group_curve(members[baseline, s], grouping, folds) for s in seeds]
                gained = np.stack([a.precision - b.precision for a, b in zip(ours, theirs, strict=True)])
                found[detector, method] = (baseline, trend(ours[0].middles, gained, ours[0].objects))
    return found


def trend_rows(study: StudyRecord, factor: str, grouping: Grouping | None = None) -> pd.DataFrame:
    """data, detector, method, baseline, pair, factor, slope, half, n, p, groups: one row per method with a baseline.

    Without a `grouping` the objects of each data set are cut into groups of equal size.
    """
    rows = []
    for data in dict.fromkeys(c.keys["data"] for c in study.data()):
        own = grouping or factor_grouping(study, data, factor)
        if own is None:
            continue
        for (detector, method), (baseline, found) in trends(study, own, data).items():
            if not np.isfinite(found.interval.mean):
                continue  # the objects all lie in one group
            row = {"data": data, "detector": detector, "method": method, "baseline": baseline}
            row |= {"pair": study.pair(method, baseline, (data, detector)), "factor": factor}
            row |= {"slope": found.interval.mean, "half": found.interval.half_or_nan, "n": found.interval.n}
            rows.append({**row, "p": found.p})
    return pd.DataFrame(rows)
