"""The loops of a large test split, compiled by Numba (extra `fast`) when they are first called.

What they give NumPy gives as well, where they stand in for it: with the same operations on every number, in another
order only for sums of weights. These are exact where the weights are those of the jackknife, so that both give the same
numbers to the last bit. Functions of whole arrays are not used: they take three times as long to compile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
EPSILON = float(np.spacing(1.0))  # as in `precision`
Loop = TypeVar("Loop", bound=Callable[..., Any])


def loop(function: Loop) -> Loop:
    """The function, compiled for this processor when it is first called; divisions by 0 give what they do in NumPy."""
    return cast(Loop, numba.njit(error_model="numpy")(function))


@loop
def sums_up_to(ends: Ints, which: Ints, image: Ints, by_image: Floats) -> Floats:
    """`sums.sums_up_to`: what the detections at the places `which` weigh up to each place in `ends` [H, R]."""
    columns, taken = by_image.shape[1], 0
    total, sums = np.zeros(columns), np.empty((len(ends), columns))
    for h in range(len(ends)):
        while taken < len(which) and which[taken] <= ends[h]:
            row = image[which[taken]]
            for r in range(columns):
                total[r] += by_image[row, r]
            taken += 1
        for r in range(columns):
            sums[h, r] = total[r]
    return sums


@loop
def wrong(by_image: Floats, image: Ints, counted: Floats, rows: Ints) -> Floats:
    """What is wrong before each right detection, as `precision.IN_NUMPY` has it."""
    hits, columns = len(rows), counted.shape[1]
    right, before = np.zeros(columns), np.empty((hits, columns))
    for h in range(hits):
        mine, row = image[h], rows[h]
        for r in range(columns):
            right[r] += by_image[mine, r]
            before[h, r] = max(counted[row, r] - right[r], 0.0)
    return before


@loop
def area(  # noqa: C901, PLR0912 - one way down and one up: calls in between would keep it from being vectorised
    by_image: Floats, image: Ints, others: Floats, rows: Ints, share: Floats, whole: Floats, levels: Floats
) -> Floats:
    """AP under the curves, as `precision.IN_NUMPY` has it: a number is read once on the way down and once up."""
    hits, columns = len(rows), others.shape[1]
    top, shared, all_found = len(levels) - 1, len(share) > 0, len(whole) == 0
    right, before = np.zeros(columns), np.zeros(columns)
    precision, rise = np.empty((hits, columns)), np.empty((hits, columns))
    total = np.zeros(columns)  # of what there is to be found
    for h in range(hits if all_found else 0):
        mine = image[h]
        for r in range(columns):
            total[r] += by_image[mine, r]
    for r in range(columns):
        found = total[r] if all_found else whole[r]
        total[r] = found if found > 0 else np.inf
    for h in range(hits):
        mine, row = image[h], rows[h]  # looked up here: in the loops below it would be done for every number
        for r in range(columns):
            right[r] += by_image[mine, r]
        if shared:
            for r in range(columns):
                precision[h, r] = right[r] / (others[row, r] * share[r] + right[r] + EPSILON)
        else:
            for r in range(columns):
                precision[h, r] = right[r] / (others[row, r] + EPSILON)
        if top:
            for r in range(columns):
                recall = right[r] / total[r]
                place = np.floor(recall * top + 1e-9)
                place += 1.0 if place * levels[1] <= recall else 0.0
                rise[h, r] = place - before[r]
                before[r] = place
        else:
            for r in range(columns):
                recall = right[r] / total[r]
                rise[h, r] = recall - before[r]
                before[r] = recall
    best, under = np.zeros(columns), np.zeros(columns)
    for h in range(hits - 1, -1, -1):
        for r in range(columns):
            best[r] = max(best[r], precision[h, r])
            under[r] += rise[h, r] * best[r]
    for r in range(columns):
        under[r] /= len(levels)
    return under


@loop
def match(
    detection: Ints, target: Ints, iou: Floats, ignored: Bools, crowd: Bools, thresholds: Floats, found: Ints
) -> None:
    """`matching._greedy`: the object of each detection [N, T], of pairs [P] by detection, into `found`."""
    pair, free = 0, np.ones((len(ignored), len(thresholds)), np.bool_)
    while pair < len(detection):
        who, first = detection[pair], pair
        while pair < len(detection) and detection[pair] == who:
            pair += 1
        for t in range(len(thresholds)):
            best, chosen = -1.0, -1
            for p in range(first, pair):
                if iou[p] >= thresholds[t] and (free[target[p], t] or crowd[target[p]]):
                    value = iou[p] + (0.0 if ignored[target[p]] else 2.0)
                    if value >= best:
                        best, chosen = value, target[p]
            if chosen >= 0:
                found[who, t] = chosen
                free[chosen, t] = False


@loop
def pairs(
    boxes: Floats,
    image: Ints,
    label: Ints,
    known: Bools,
    truth: Floats,
    by_image: Ints,
    starts: Ints,
    object_label: Ints,
    crowd: Bools,
    least: float,
    first: Ints,
    second: Ints,
    overlap: Floats,
) -> int:
    """`matching._pairs`: how many there are, and as many of them as fit into `first`, `second` and `overlap`.

    The objects of image i are by_image[starts[i] : starts[i + 1]].
    """
    count = 0
    for i in range(len(boxes)):
        if not known[i]:
            continue
        x, y, width, height = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        for k in range(starts[image[i]], starts[image[i] + 1]):
            m = by_image[k]
            if label[i] != object_label[m]:
                continue
            across = min(width + x, truth[m, 2] + truth[m, 0]) - max(x, truth[m, 0])
            down = min(height + y, truth[m, 3] + truth[m, 1]) - max(y, truth[m, 1])
            shared = across * down if across > 0 and down > 0 else 0.0
            union = width * height if crowd[m] else width * height + truth[m, 2] * truth[m, 3] - shared
            iou = shared / union if union > 0 else 0.0
            if iou >= least:
                if count < len(first):
                    first[count], second[count], overlap[count] = i, m, iou
                count += 1
    return count


@loop
def suppress(
    boxes: Floats,
    labels: Ints,
    size: Floats,
    starts: Ints,
    ends: Ints,
    iou: float,
    limit: int,
    first: Ints,
    owner: Ints,
) -> None:
    """`suppression._settle`: the owner's place of every box [N], image by image, best first, into `owner`, which is -1.

    What an image has kept of each label is a list, whose next place stands with every box. `first` has a place for
    every label, and is -1 before and after.
    """
    last, following = first.copy(), np.full(len(boxes), -1)
    for g in range(len(starts)):
        kept = 0
        for i in range(starts[g], ends[g]):
            if kept == limit:
                break
            label, by = labels[i], first[labels[i]]
            while by >= 0:
                across = min(boxes[by, 2], boxes[i, 2]) - max(boxes[by, 0], boxes[i, 0])
                down = min(boxes[by, 3], boxes[i, 3]) - max(boxes[by, 1], boxes[i, 1])
                if across > 0 and down > 0:
                    shared = across * down
                    union = size[by] + size[i] - shared
                    if union > 0 and shared / union > iou:
                        break
                by = following[by]
            if by >= 0:
                owner[i] = by
                continue
            owner[i] = i
            kept += 1
            if first[label] < 0:
                first[label] = i
            else:
                following[last[label]] = i
            last[label] = i
        for i in range(starts[g], ends[g]):
            first[labels[i]] = -1
