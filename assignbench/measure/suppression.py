"""What NMS keeps, for the boxes of many images at once: by a compiled loop where it pays, elsewhere without any loop
over images or boxes.

Whether a box is kept depends on better boxes alone. So the best boxes of all images are settled first, block by block,
and most images have all the detections they may have long before their last box is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.measure.boxes import AnyFloats, Floats, areas, iou_of_pairs
from assignbench.measure.compiled import compiled
from assignbench.measure.ordering import changes, descending, places_within, portions, ranges, stable_order

SECONDS = 3e-7  # that NumPy takes for a box
Ints = npt.NDArray[np.int64]
AnyInts = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
BLOCK = 64  # boxes of an image that are settled together
IMAGES_AT_ONCE = 128  # whose boxes are: bounds the memory where all boxes overlap


def clusters(
    boxes: AnyFloats, labels: AnyInts, images: AnyInts, rank: AnyFloats, iou: float, limit: int
) -> tuple[Ints, Ints]:
    """Greedy NMS within each label of each image: the kept indices, at most `limit` of an image, and who owns each box.

    Kept ones are ordered by image, best rank first (the lowest index among equals). A box belongs to the first kept box
    that it overlaps by more than `iou` (a kept box to itself), whose index `owner` [N] holds. It says nothing of boxes
    behind the last one of an image that keeps `limit` of them.
    """
    kinds: Ints = pd.factorize(labels)[0].astype(np.int64, copy=False)  # from 0 on, without gaps
    order = stable_order(images, descending(rank))
    starts = np.flatnonzero(changes(images[order]))
    ends = np.r_[starts[1:], len(order)]
    owner = np.full(len(order), -1)
    loops = compiled("suppress", len(order) * SECONDS)
    if loops is not None:
        corners, taken = boxes[order].astype(np.float64, order="C"), np.full(len(order), -1)
        nothing = np.full(kinds.max(initial=0) + 1, -1)
        loops.suppress(corners, kinds[order], areas(corners), starts, ends, iou, limit, nothing, taken)
        owner[order] = np.where(taken >= 0, order[taken], -1)
        return order[taken == np.arange(len(order))], owner
    kept = [order[:0]]
    for first in range(0, len(starts), IMAGES_AT_ONCE):
        some = slice(first, first + IMAGES_AT_ONCE)
        begin, mine = starts[some][0], order[starts[some][0] : ends[some][-1]]
        found, taken = _settle(boxes[mine], kinds[mine], starts[some] - begin, ends[some] - begin, iou, limit)
        kept.append(mine[found])
        owner[mine] = np.where(taken >= 0, mine[taken], -1)
    return np.concatenate(kept), owner


def _settle(boxes: AnyFloats, labels: Ints, starts: Ints, ends: Ints, iou: float, limit: int) -> tuple[Ints, Ints]:
    """The places that are kept and the owners' places [N], for boxes that lie image by image, best first."""
    size = areas(boxes)
    image = np.repeat(np.arange(len(starts)), ends - starts)
    group = image * (labels.max(initial=0) + 1) + labels
    owner = np.full(len(boxes), -1)
    counts = np.zeros(len(starts), np.int64)
    kept = np.zeros(0, np.int64)
    going = np.arange(len(starts))
    for offset in range(0, int((ends - starts).max(initial=0)), BLOCK):
        going = going[(counts[going] < limit) & (starts[going] + offset < ends[going])]
        new = ranges(starts[going] + offset, np.minimum(ends[going] - starts[going] - offset, BLOCK))
        new = new[stable_order(group[new])]
        before = kept[np.isin(image[kept], going)]
        before = before[stable_order(group[before])]
        for by, covered in _covers(boxes, size, _between(group, before, new), iou):
            fresh = covered[::-1]  # the best of those that cover a box is written last
            owner[fresh] = by[::-1]
        new = new[owner[new] < 0]
        pairs = list(_covers(boxes, size, _among(group, new), iou))
        by, covered = (np.concatenate([p[side] for p in pairs]) if pairs else new[:0] for side in (0, 1))
        won = _unbeaten(new, by, covered, owner)
        counts += np.bincount(image[won], minlength=len(counts))
        kept = np.sort(np.concatenate([kept, won]))
    return kept[places_within(image[kept]) < limit], owner


def _unbeaten(new: Ints, by: Ints, covered: Ints, owner: Ints) -> Ints:
    """Which boxes of a block the greedy rule keeps; owners of the others are written.

    `by` covers `covered`, pair by pair, the better box first. Every round keeps all boxes that nothing undecided covers
    and drops what they cover, which is what one box after the other would come to.
    """
    dropped = np.zeros(len(owner), np.bool_)
    first, second = by, covered
    while len(first):
        blocked = np.zeros(len(owner), np.bool_)
        blocked[second] = True
        dropped[second[~blocked[first]]] = True
        open_ = ~dropped[first] & ~dropped[second]
        first, second = first[open_], second[open_]
    won = new[~dropped[new]]
    owner[won] = won
    takes = ~dropped[by]
    by, covered = by[takes], covered[takes]
    order = stable_order(-by)  # the best of those that cover a box is written last
    owner[covered[order]] = by[order]
    return won


def _between(group: Ints, before: Ints, new: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of a kept box and a new one of its group, by the new one, the best kept one first."""
    start = np.searchsorted(group[before], group[new], side="left")
    count = np.searchsorted(group[before], group[new], side="right") - start
    for part in portions(count):
        yield before[ranges(start[part], count[part])], np.repeat(new[part], count[part])


def _among(group: Ints, new: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of two boxes of one group, the better one first."""
    keys = group[new]
    ends = np.searchsorted(keys, keys, side="right")
    at = np.arange(len(new))
    count = ends - at - 1
    for part in portions(count):
        yield np.repeat(new[part], count[part]), new[ranges(at[part] + 1, count[part])]


def _covers(
    boxes: AnyFloats, size: Floats, pairs: Iterator[tuple[Ints, Ints]], iou: float
) -> Iterator[tuple[Ints, Ints]]:
    """The pairs that overlap by more than `iou`, of boxes with these areas."""
    sides = [(boxes[:, k].copy(), boxes[:, k + 2].copy()) for k in range(2)]
    for first, second in pairs:
        for low, high in sides:  # many pairs lie apart, which one side or the other tells
            beside = np.flatnonzero(np.minimum(high[first], high[second]) > np.maximum(low[first], low[second]))
            first, second = first[beside], second[beside]
        better, other = boxes[first].astype(np.float64), boxes[second].astype(np.float64)
        much = iou_of_pairs(better, other, size[first], size[second]) > iou
        yield first[much], second[much]


def decayed(
    boxes: AnyFloats, labels: AnyInts, images: AnyInts, scores: AnyFloats, sigma: float, limit: int
) -> tuple[Ints, Floats]:
    """Soft-NMS: the first `limit` picks within each label of each image, by index, and their scores when picked.

    The k-th picks of all labels and images are made together: a pick changes the scores of its own label alone.
    """
    order = np.lexsort((labels, images))
    corners, score = boxes.astype(np.float64)[order], scores.astype(np.float64)[order]
    size, group = areas(corners), np.cumsum(changes(images[order]) | changes(labels[order]))
    chosen, final = [order[:0]], [score[:0]]
    while len(order) and len(chosen) <= limit:
        starts = np.flatnonzero(changes(group))
        count = np.diff(np.r_[starts, len(group)])
        best = np.maximum.reduceat(score, starts)
        at = np.where(score == np.repeat(best, count), np.arange(len(score)), len(score))
        pick = np.minimum.reduceat(at, starts)
        chosen.append(order[pick])
        final.append(best)
        by = np.repeat(pick, count)
        score = score * np.exp(-np.square(iou_of_pairs(corners[by], corners, size[by], size)) / sigma)
        stay = np.ones(len(order), np.bool_)
        stay[pick] = False
        order, corners, score, size, group = order[stay], corners[stay], score[stay], size[stay], group[stay]
    return np.concatenate(chosen), np.concatenate(final)
