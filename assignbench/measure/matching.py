"""Detections matched with objects at all thresholds at once; `precision` makes AP and AR of it.

The rules are those of pycocotools: greedy by score, crowd regions, ignored objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

COCO_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
BOX = ["x1", "y1", "x2", "y2"]
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
    order = _by_label_and_score(place, score, label)
    order = order[known[order]]
    image, label, score = place[order], label[order], score[order]
    object_image = np.searchsorted(ids, objects.image_id.to_numpy(np.int64))
    object_label = objects.label.to_numpy(np.int64)
    crowd = objects.crowd.to_numpy(np.bool_)
    found, truth = _xywh(detections)[order], _xywh(objects)
    key, object_key = image * classes + label, object_image * classes + object_label
    first, second = _same_group(key, object_key)
    if least > 0:  # most pairs lie apart, which one side tells
        beside = _beside(found, truth, first, second)
        first, second = first[beside], second[beside]
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


def _by_label_and_score(image: Ints, score: Floats, label: Ints) -> Ints:
    """The order by label, then falling score, then image, then place in the file.

    One stable sort after the other: tables lie by image already, and labels are small numbers, which sort fast.
    """
    order = np.argsort(image, kind="stable")
    order = order[np.argsort(-score[order], kind="stable")]
    small = label[order].astype(np.int16) if len(label) and 0 <= label.min() <= label.max() < 1 << 15 else label[order]
    return np.asarray(order[np.argsort(small, kind="stable")])


def _beside(found: Floats, truth: Floats, first: Ints, second: Ints) -> Ints:
    """The places of the pairs that share a column of the image."""
    left, right, truth_left = found[:, 0], found[:, 0] + found[:, 2], truth[:, 0]
    truth_right = truth_left + truth[:, 2]
    over = np.minimum(right[first], truth_right[second]) > np.maximum(left[first], truth_left[second])
    return np.flatnonzero(over)


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
    start = np.searchsorted(ordered, key)
    same = np.r_[ordered, -1][start] == key
    end = np.searchsorted(ordered, ordered, side="right")
    count = np.where(same, np.r_[end, 0][start] - start, 0)
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

    def at(self, thresholds: slice) -> Matches:
        """The same at some of the thresholds."""
        found, ignored = self.found[:, thresholds], self.ignored[:, thresholds]
        return replace(self, thresholds=self.thresholds[thresholds], found=found, ignored=ignored)

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
