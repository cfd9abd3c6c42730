"""Error types and the AP that each costs, by TIDE's definitions (Bolya et al., ECCV 2020), from the match table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.analysis.base import CellData, StudyRecord, analysis
from assignbench.analysis.intervals import over_seeds
from assignbench.analysis.result import SEEDS, Result
from assignbench.measure.coco import COCO_LIMITS
from assignbench.measure.matching import Matches, Overlaps, match, overlapping, overlaps_of
from assignbench.measure.ordering import changes, descending, stable_order
from assignbench.measure.precision import RECALLS

KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")
FOREGROUND, BACKGROUND = 0.5, 0.1
NO_OBJECT = np.iinfo(np.int64).max
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Errors:
    """What went wrong: `kind` [N] of each detection (index into KINDS, -1 none, -2 ignored), `target` [N] the object
    that mending it would find (-1: mending removes it), `missed` [M], and what AP needs.
    """

    label: Ints
    score: Floats
    right: Bools
    kind: Ints
    target: Ints
    missed: Bools
    object_label: Ints
    counted: Bools
    classes: int

    def average_precision(self, mended: str = "") -> float:
        """AP at IoU 0.5, mean over the classes with objects, with one kind of error mended (none by default)."""
        label, right = self.label.copy(), self.right.copy()
        keep = self.kind > -2
        counted = self.counted.copy()
        if mended == "missed":
            counted &= ~self.missed
        elif mended:
            mine = self.kind == KINDS.index(mended)
            keep &= ~(mine & (self.target < 0))
            fixed = np.flatnonzero(mine & (self.target >= 0))
            right[fixed] = True
            label[fixed] = self.object_label[self.target[fixed]]
        kept = np.flatnonzero(keep)
        order = kept[stable_order(label[kept], descending(self.score[kept]))]
        edges = np.searchsorted(label[order], np.arange(self.classes + 1))
        values = []
        for c, (begin, end) in enumerate(pairwise(edges)):
            mine = self.object_label == c
            if (self.counted & mine).any():
                values.append(_curve_area(right[order[begin:end]], int((counted & mine).sum())))
        return float(np.mean(values)) if values else float("nan")


def _curve_area(right: Bools, total: int) -> float:
    """101-point AP of one class, whose detections come by falling score; 0 where no object is left to find."""
    if not total or not right.any():
        return 0.0
    places = np.flatnonzero(right)
    precision = np.arange(1, len(places) + 1) / (places + 1)
    envelope = np.r_[np.maximum.accumulate(precision[::-1])[::-1], 0.0]
    recall = np.arange(1, len(places) + 1) / total
    return float(envelope[np.searchsorted(recall, RECALLS, side="left")].mean())


def find_errors(
    images: pd.DataFrame,
    objects: pd.DataFrame,
    detections: pd.DataFrame,
    classes: int,
    most: int = COCO_LIMITS[-1],
) -> Errors:
    """Classifies every detection at IoU 0.5 (background below 0.1), in TIDE's order of tests.

    Wrong place (class right, IoU between the two), wrong class (IoU 0.5 with an object of another class), duplicate,
    background, both. An object that no detection found and that no mending of place or class would find is missed. Of
    several detections that mending would bring to one object the best-scored one counts, the others are removed.
    The best `most` detections of each image and class count.
    """
    own = match(overlaps_of(images, objects, detections, classes), thresholds=(FOREGROUND,), max_detections=most)
    return errors_of(own, overlapping(images, objects, detections, least=BACKGROUND))


def errors_of(matches: Matches, pairs: tuple[Ints, Ints, Floats]) -> Errors:
    """What `find_errors` gives, from matches whose first threshold is 0.5, and the pairs of `overlapping` from IoU 0.1
    on of the same tables.
    """
    own, found, ignored = matches.overlaps, matches.found[:, 0], matches.ignored[:, 0]
    row, target, iou = pairs
    place_of = np.zeros(int(own.row.max(initial=-1)) + 1, np.int64)
    place_of[own.row] = np.arange(len(own.row))
    detection = place_of[row]
    usable = ~own.left_out[target]
    detection, target, iou = detection[usable], target[usable], iou[usable]
    same = own.object_label[target] == own.label[detection]
    used = np.zeros(len(own.object_label), np.bool_)
    used[found[found >= 0]] = True
    place = _best(detection[same], target[same], iou[same], len(found))
    other = _best(detection[~same], target[~same], iou[~same], len(found))
    taken = same & used[target]
    again = _best(detection[taken], target[taken], iou[taken], len(found))
    any_ = _best(detection, target, iou, len(found))
    wrong = (found < 0) & ~ignored
    tests = (
        ("localization", (place[1] >= BACKGROUND) & (place[1] <= FOREGROUND), place[0]),
        ("classification", other[1] >= FOREGROUND, other[0]),
        ("duplicate", again[1] >= FOREGROUND, None),
        ("background", any_[1] <= BACKGROUND, None),
    )
    kind = np.where(wrong, KINDS.index("both"), -1)
    kind[ignored] = -2
    aim = np.full(len(found), -1)
    open_ = wrong.copy()
    for name, test, goal in tests:
        mine = open_ & test
        kind[mine] = KINDS.index(name)
        if goal is not None:
            aim[mine] = goal[mine]
        open_ &= ~mine
    aim[aim >= 0] = np.where(used[aim[aim >= 0]], -1, aim[aim >= 0])
    reachable = np.zeros(len(used), np.bool_)
    reachable[aim[aim >= 0]] = True
    aim = _best_scored(aim, own)
    counted = ~own.left_out
    return Errors(
        label=own.label,
        score=own.score,
        right=(found >= 0) & ~ignored,
        kind=kind,
        target=aim,
        missed=counted & ~used & ~reachable,
        object_label=own.object_label,
        counted=counted,
        classes=own.classes,
    )


def _best(detection: Ints, target: Ints, iou: Floats, count: int) -> tuple[Ints, Floats]:
    """Of every detection the object of largest IoU (-1 without one) and that IoU (0)."""
    value, best = np.zeros(count), np.full(count, NO_OBJECT)
    np.maximum.at(value, detection, iou)
    equal = iou == value[detection]
    np.minimum.at(best, detection[equal], target[equal])  # the first object on ties
    best[best == NO_OBJECT] = -1
    return best, value


def _best_scored(aim: Ints, own: Overlaps) -> Ints:
    """Keeps only the best-scored detection for each object aimed at (the first of equals)."""
    rows = np.flatnonzero(aim >= 0)
    order = rows[np.lexsort((rows, -own.score[rows], aim[rows]))]
    fresh = changes(aim[order])
    kept = np.full(len(aim), -1)
    kept[order[fresh]] = aim[order[fresh]]
    return kept


def cell_errors(cell: CellData) -> dict[str, float]:
    """AP50 lost to each kind of error, and how many of each there are per object."""
    return cell.keep("errors", lambda: _cell_errors(cell))


def _cell_errors(cell: CellData) -> dict[str, float]:
    pairs = overlapping(cell.images, cell.objects, cell.detections, least=BACKGROUND)
    found = errors_of(cell.matches, pairs)
    own = found.average_precision()
    row = {"AP50": own}
    for kind in KINDS:
        row[kind] = max(found.average_precision(kind) - own, 0.0)
    return row


@analysis(
    "errors",
    title="Kinds of error",
    question="What costs a method its AP: wrong class, wrong place, duplicates, background, or missed objects?",
    definition=(
        "AP at IoU 0.5 that mending one kind of error alone would add (TIDE's order and definitions; foreground from "
        "IoU 0.5, background to 0.1): localization: right class, IoU between the two; classification: IoU ≥ 0.5 with "
        "an object of another class; duplicate: the object is found already; background: IoU ≤ 0.1 with everything; "
        "both: wrong class and place; missed: found by nothing and reachable by no mending. The parts do not add up."
    ),
)
def errors(study: StudyRecord) -> Result:
    """AP50 and what each kind of error costs it, over seeds."""
    rows = [{**cell.keys, **cell_errors(cell)} for cell in study.data()]
    table = over_seeds(pd.DataFrame(rows)) if rows else pd.DataFrame()
    units = {name: "AP" for name in ("AP50", *KINDS)}
    return Result("errors", "AP50 lost to each kind of error", table, units, population=SEEDS)
