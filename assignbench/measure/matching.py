"""Detections matched with objects at all thresholds at once; AP and AR of any subset or reweighting of images.

The rules are those of pycocotools (greedy by score, crowd regions, ignored objects, 101 recalls) and of PASCAL VOC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

COCO_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0.0, 1.0, 101)
BOX = ["x1", "y1", "x2", "y2"]
Interpolation = Literal["coco", "voc07", "area"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overlaps:
    """What matching needs to know of one set of detections: N of them, M objects, P overlapping pairs of one class.

    Detections are ordered by class, then by falling score (ties: image order, then file order). `rank` [N] is the
    place within (image, class). `image` [N] and `object_image` [M] are rows of `images`. Pairs are ordered by
    detection, then object.
    """

    images: Ints
    row: Ints  # of the detection in the table that was given
    label: Ints
    image: Ints
    rank: Ints
    score: Floats
    area: Floats
    object_label: Ints
    object_image: Ints
    object_area: Floats
    crowd: Bools
    left_out: Bools  # objects that never count: crowd regions and difficult ones
    pair_detection: Ints
    pair_object: Ints
    pair_iou: Floats
    classes: int
    never_found: Bools | None = None  # objects of annotation id 0, which pycocotools reads as "found nothing"


def overlaps_of(
    images: pd.DataFrame, objects: pd.DataFrame, detections: pd.DataFrame, classes: int, *, least: float = 0.5
) -> Overlaps:
    """The overlaps of two record tables. Pairs below `least` IoU are dropped; detections on other images too."""
    ids = np.sort(images.image_id.to_numpy(np.int64))
    place = np.searchsorted(ids, detections.image_id.to_numpy(np.int64)).clip(max=max(len(ids) - 1, 0))
    known = ids[place] == detections.image_id.to_numpy(np.int64) if len(ids) else np.zeros(len(detections), np.bool_)
    label, score = detections.label.to_numpy(np.int64), detections.score.to_numpy(np.float64)
    order = np.lexsort((place, -score, label))
    order = order[known[order]]
    image, label, score = place[order], label[order], score[order]
    object_image = np.searchsorted(ids, objects.image_id.to_numpy(np.int64))
    object_label = objects.label.to_numpy(np.int64)
    crowd = objects.crowd.to_numpy(np.bool_)
    found, truth = _xywh(detections)[order], _xywh(objects)
    key, object_key = image * classes + label, object_image * classes + object_label
    first, second = _same_group(key, object_key)
    iou = _iou(found[first], truth[second], crowd[second])
    near = iou >= min(least, 1 - 1e-10)
    return Overlaps(
        images=ids,
        row=order,
        label=label,
        image=image,
        rank=_places(key),
        score=score,
        area=found[:, 2] * found[:, 3],
        object_label=object_label,
        object_image=object_image,
        object_area=objects.area.to_numpy(np.float64),
        crowd=crowd,
        left_out=crowd | objects.difficult.to_numpy(np.bool_),
        pair_detection=first[near],
        pair_object=second[near],
        pair_iou=iou[near],
        classes=classes,
        never_found=objects.never_found.to_numpy(np.bool_) if "never_found" in objects else None,
    )


def _xywh(table: pd.DataFrame) -> Floats:
    boxes = table[BOX].to_numpy(np.float64, copy=True)
    boxes[:, 2:] -= boxes[:, :2]
    return np.asarray(boxes)


def _iou(found: Floats, truth: Floats, crowd: Bools) -> Floats:
    """IoU pair by pair with pycocotools' own operations; over the detection's area where the object is a crowd."""
    low = np.maximum(found[:, :2], truth[:, :2])
    high = np.minimum(found[:, 2:] + found[:, :2], truth[:, 2:] + truth[:, :2])
    sides = high - low
    shared = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
    own = found[:, 2] * found[:, 3]
    union = np.where(crowd, own, own + truth[:, 2] * truth[:, 3] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _same_group(key: Ints, object_key: Ints) -> tuple[Ints, Ints]:
    """All pairs (detection, object) of equal keys, by detection, then object."""
    by_key = np.argsort(object_key, kind="stable")
    ordered = object_key[by_key]
    start = np.searchsorted(ordered, key, side="left")
    count = np.searchsorted(ordered, key, side="right") - start
    first = np.repeat(np.arange(len(key)), count)
    within = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    return first, by_key[np.repeat(start, count) + within]


def _places(key: Ints) -> Ints:
    """The place of every entry among those of its key."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    fresh = np.r_[True, ordered[1:] != ordered[:-1]] if len(key) else np.zeros(0, np.bool_)
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(key)), 0))
    places = np.empty_like(order)
    places[order] = np.arange(len(key)) - start
    return places


@dataclass(frozen=True)
class Matches:
    """Who found what: `found` [N, T] is the object of a detection at each threshold (-1 none); `ignored` [N, T] says
    which detections count neither as right nor as wrong; `counted` [M] says which objects can be missed.
    """

    overlaps: Overlaps
    thresholds: tuple[float, ...]
    found: Ints
    ignored: Bools
    counted: Bools

    def first(self, count: int) -> Matches:
        """The same with the `count` best detections of every image and class only."""
        late = self.overlaps.rank >= count
        return replace(self, ignored=self.ignored | late[:, None], found=np.where(late[:, None], -1, self.found))

    def reached(self) -> Bools:
        """Which objects [M, T] were found at each threshold."""
        hit = np.zeros((len(self.counted), len(self.thresholds)), np.bool_)
        for t in range(len(self.thresholds)):
            column = self.found[:, t]
            hit[column[column >= 0], t] = True
        return hit


def match(
    overlaps: Overlaps,
    *,
    thresholds: tuple[float, ...] = COCO_THRESHOLDS,
    outside: Bools | None = None,
    area: tuple[float, float] | None = None,
    max_detections: int = 100,
) -> Matches:
    """Greedy matching by falling score: each detection takes the free object that it overlaps most.

    Objects `outside` [M] a group are ignored: neither missed, nor matched at a cost, and taken only where no counted
    object is left; crowd regions may be taken often. Unmatched detections count as wrong in every group. With `area`,
    COCO's range in px², objects outside it are ignored and so are unmatched detections outside it. An object that is
    `never_found` is taken like any other, but whoever takes it found nothing: pycocotools' reading of annotation id 0.
    """
    o = overlaps
    ignored = o.left_out.copy() if outside is None else o.left_out | outside
    if area is not None:
        ignored |= (o.object_area < area[0]) | (o.object_area > area[1])
    found = _greedy(o, ignored, np.minimum(np.asarray(thresholds), 1 - 1e-10), max_detections)
    late = (o.rank >= max_detections)[:, None]
    no_cost = (found >= 0) & np.r_[ignored, False][found]
    if o.never_found is not None:
        found[np.r_[o.never_found & ~ignored, False][found]] = -1
    if area is not None:
        no_cost |= (found < 0) & ((o.area < area[0]) | (o.area > area[1]))[:, None]
    return Matches(o, thresholds, found, no_cost | late, ~ignored)


def _greedy(o: Overlaps, ignored: Bools, thresholds: Floats, limit: int) -> Ints:
    """The object [N, T] of every detection. Works on the r-th overlapping detection of all groups at once."""
    found = np.full((len(o.label), len(thresholds)), -1)
    usable = o.rank[o.pair_detection] < limit
    detection, target, iou = o.pair_detection[usable], o.pair_object[usable], o.pair_iou[usable]
    if not len(detection):
        return found
    fresh = np.r_[True, detection[1:] != detection[:-1]]
    who = detection[fresh]
    start = np.flatnonzero(fresh)
    count = np.diff(np.r_[start, len(detection)])
    turn = _places(o.image[who] * o.classes + o.label[who])
    free = np.ones((len(o.object_label), len(thresholds)), np.bool_)
    by_turn = np.argsort(turn, kind="stable")
    bounds = np.searchsorted(turn[by_turn], np.arange(turn.max() + 2))
    for r in range(turn.max() + 1):
        chosen = by_turn[bounds[r] : bounds[r + 1]]
        n = count[chosen]
        edge = np.cumsum(n) - n
        pair = np.repeat(start[chosen] - edge, n) + np.arange(n.sum())
        objects, overlap = target[pair], iou[pair][:, None]
        able = (overlap >= thresholds) & (free[objects] | o.crowd[objects][:, None])
        # Counted objects come before ignored ones, whatever their overlap; the later one of equals wins.
        value = np.where(able, overlap + 2.0 * ~ignored[objects][:, None], -1.0)
        best = np.maximum.reduceat(value, edge, axis=0)
        at = np.where(value == np.repeat(best, n, axis=0), np.arange(len(pair))[:, None], -1)
        last = np.maximum.reduceat(at, edge, axis=0)
        taken = np.where(best >= 0, objects[last], -1)
        found[who[chosen]] = taken
        row, column = np.nonzero(taken >= 0)
        free[taken[row, column], column] = False
    return found


def average_precision(
    matches: Matches,
    weights: Floats | None = None,
    *,
    interpolation: Interpolation = "coco",
    group: Bools | None = None,
) -> Floats:
    """AP [R, T, C] for weights [R, I] of the images (one row of ones by default); NaN where no object counts.

    A whole weight k does what k copies of the image would do, so rows of multinomial counts are bootstrap replicates.

    `group` [M] gives the balanced AP of those objects alone: other objects and the detections matched with them are
    left out, and an unmatched detection counts with the group's share of the objects of its class as its weight.
    Precision then does not depend on how many objects the group has.
    """
    o = matches.overlaps
    if weights is None:
        weights = np.ones((1, len(o.images)))
    result = np.full((len(weights), len(matches.thresholds), o.classes), np.nan)
    bounds = np.searchsorted(o.label, np.arange(o.classes + 1))
    for c in range(o.classes):
        all_ = matches.counted & (o.object_label == c)
        mine = all_ if group is None else all_ & group
        if not mine.any():
            continue
        present = weights[:, o.object_image[mine]].sum(axis=1)
        part = slice(bounds[c], bounds[c + 1])
        if group is None:
            result[:, :, c] = _class_precision(matches, part, weights, present, interpolation)
        else:
            total = weights[:, o.object_image[all_]].sum(axis=1)
            share = np.divide(present, total, out=np.zeros_like(present), where=total > 0)
            result[:, :, c] = _group_precision(matches, part, weights, present, share, group, interpolation)
    return result


def _group_precision(
    matches: Matches,
    part: slice,
    weights: Floats,
    present: Floats,
    share: Floats,
    group: Bools,
    interpolation: Interpolation,
) -> Floats:
    """Balanced AP [R, T] of one class in a group; `share` [R] is what an unmatched detection weighs."""
    found, ignored = matches.found[part], matches.ignored[part]
    inside = (found >= 0) & ~ignored & np.r_[group, False][found]
    wrong = (found < 0) & ~ignored
    values = np.zeros((len(weights), len(matches.thresholds)))
    for rows, weight, before, touched in _sums(matches, part, weights):
        for t in range(len(matches.thresholds)):
            hits = np.flatnonzero(inside[touched, t])
            tp = weight[:, hits].cumsum(axis=1)
            fp = (before + (weight * wrong[touched, t]).cumsum(axis=1))[:, hits] * share[rows, None]
            values[rows, t] = _interpolated_at(tp, tp + fp, present[rows], interpolation)
    values[present <= 0] = np.nan
    return values


def _sums(matches: Matches, part: slice, weights: Floats) -> Iterator[tuple[slice, Floats, Floats, Ints]]:
    """For blocks of rows of the weights: the block, what the touched detections of a class weigh [r, H], what those
    before each that are wrong at every threshold weigh together [r, H], and the touched ones [H].

    Touched are the detections that are right or ignored at some thresholds alone. All others, most, are summed once.
    """
    ignored = matches.ignored[part]
    anywhere = (matches.found[part] >= 0).any(axis=1) | (ignored != ignored[:, :1]).any(axis=1)
    touched = np.flatnonzero(anywhere)
    always = ~anywhere & ~ignored[:, 0]
    image = matches.overlaps.image[part]
    for rows in _blocks(len(weights), len(image)):
        weight = weights[rows][:, image]
        before = (weight * always).cumsum(axis=1)[:, touched]
        yield rows, weight[:, touched], before, touched


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices over rows, so that a block of them holds about four million numbers."""
    step = max(1, 4_000_000 // max(1, width))
    return (slice(begin, begin + step) for begin in range(0, rows, step))


def _interpolated_at(tp: Floats, seen: Floats, present: Floats, interpolation: Interpolation) -> Floats:
    """AP [R] from what was right and what was seen [R, H] at the places of the right detections."""
    precision = tp / (seen + np.spacing(1.0))
    recall = np.divide(tp, present[:, None], out=np.zeros_like(tp), where=present[:, None] > 0)
    return interpolated(recall, precision, interpolation)


def _class_precision(
    matches: Matches, part: slice, weights: Floats, present: Floats, interpolation: Interpolation
) -> Floats:
    """AP [R, T] of one class, whose detections are a slice of the table."""
    ignored, right = matches.ignored[part], (matches.found[part] >= 0) & ~matches.ignored[part]
    values = np.zeros((len(weights), len(matches.thresholds)))
    for rows, weight, before, touched in _sums(matches, part, weights):
        for t in range(len(matches.thresholds)):
            hits = np.flatnonzero(right[touched, t])
            seen = before + (weight * ~ignored[touched, t]).cumsum(axis=1)
            tp = weight[:, hits].cumsum(axis=1)
            values[rows, t] = _interpolated_at(tp, seen[:, hits], present[rows], interpolation)
    values[present <= 0] = np.nan
    return values


def interpolated(recall: Floats, precision: Floats, interpolation: Interpolation) -> Floats:
    """AP [R] from precision-recall curves [R, H] by falling score.

    The places of the right detections are enough: in between, precision only falls. "coco": mean over 101 recalls,
    "voc07": over eleven, "area": under the hull (VOC10+).
    """
    rows, hits = recall.shape
    if not hits:
        return np.zeros(rows)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    if interpolation == "area":
        steps = np.diff(recall, axis=1, prepend=0.0)
        return np.asarray((steps * envelope).sum(axis=1))
    # py-faster-rcnn compares the eleven recalls without tolerance: .3, .6 and .7 lie a rounding above.
    levels = RECALLS if interpolation == "coco" else np.asarray(np.arange(11) * 0.1, np.float64)
    padded = np.concatenate([envelope, np.zeros((rows, 1))], axis=1)
    return np.asarray(np.take_along_axis(padded, _first_reaching(levels, recall), axis=1).mean(axis=1))


def _first_reaching(levels: Floats, recall: Floats) -> Ints:
    """The place [R, L] of the first of the rising recalls [R, H] that reaches each level; H where none does."""
    rows, hits = recall.shape
    if hits > 4 * len(levels):  # few levels among many recalls are found sooner than many recalls among few levels
        return np.stack([np.searchsorted(row, levels, side="left") for row in recall])
    width = len(levels) + 1
    passed = np.searchsorted(levels, recall, side="right") + width * np.arange(rows)[:, None]
    counts = np.bincount(passed.ravel(), minlength=rows * width).reshape(rows, width)
    return np.asarray(counts[:, :-1].cumsum(axis=1))


def average_recall(matches: Matches, weights: Floats | None = None) -> Floats:
    """Largest recall [R, T, C] of each class; NaN where no object counts."""
    o = matches.overlaps
    if weights is None:
        weights = np.ones((1, len(o.images)))
    hit = matches.reached() & matches.counted[:, None]
    result = np.full((len(weights), len(matches.thresholds), o.classes), np.nan)
    for c in range(o.classes):
        mine = matches.counted & (o.object_label == c)
        if mine.any():
            weight = weights[:, o.object_image[mine]]
            total = weight.sum(axis=1, keepdims=True)
            result[:, :, c] = np.divide(weight @ hit[mine], total, out=np.full_like(result[:, :, c], np.nan),
                                        where=total > 0)  # fmt: skip
    return result


def mean_over_classes(values: Floats) -> Floats:
    """Mean of [..., T, C] over classes and thresholds, leaving out the classes without an object; NaN if all are."""
    known = np.isfinite(values)
    count = known.sum(axis=(-2, -1))
    total = np.where(known, values, 0.0).sum(axis=(-2, -1))
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
