"""Detections matched with objects at all thresholds at once; `precision` makes AP and AR of it.

The rules are those of pycocotools: greedy by score, crowd regions, ignored objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.measure.compiled import compiled
from assignbench.measure.ordering import changes, descending, places_within, portions, ranges, stable_order

COCO_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
BOX = ["x1", "y1", "x2", "y2"]
SECONDS_PER_BOX, SECONDS_PER_PAIR = 1.7e-7, 4e-8  # that NumPy takes: to find the pairs, to match at a threshold
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

    def closer(self, least: float) -> Overlaps:
        """With the pairs of this IoU or more alone; `least` is no smaller than it was."""
        near = self.pair_iou >= _limit(least)
        pairs = {name: getattr(self, name)[near] for name in ("pair_detection", "pair_object", "pair_iou")}
        return replace(self, **pairs)

    def paired(self) -> Overlaps:
        """With the detections alone that overlap an object: no others find one."""
        fresh = changes(self.pair_detection)
        who = self.pair_detection[fresh]
        own = {name: getattr(self, name)[who] for name in ("row", "label", "image", "rank", "score", "area")}
        return replace(self, **own, pair_detection=np.cumsum(fresh) - 1)


def overlaps_of(
    images: pd.DataFrame, objects: pd.DataFrame, detections: pd.DataFrame, classes: int, *, least: float = 0.5
) -> Overlaps:
    """The overlaps of two record tables. Pairs below `least` IoU are dropped; detections on other images too."""
    ids, place, known = _places_of(images, detections)
    label, score = detections.label.to_numpy(np.int64), detections.score.to_numpy(np.float64)
    order = stable_order(label, descending(detections.score.to_numpy()), place)
    order = order[known[order]]
    object_image = np.searchsorted(ids, objects.image_id.to_numpy(np.int64))
    object_label = objects.label.to_numpy(np.int64)
    crowd = objects.crowd.to_numpy(np.bool_)
    found, truth = _Boxes(_xywh(detections), place, label), _Boxes(_xywh(objects), object_image, object_label)
    row, target, iou = _pairs(found, truth, known, crowd, least)
    position = np.zeros(len(detections), np.int64)
    position[order] = np.arange(len(order))
    detection = position[row]
    by_detection = stable_order(detection)
    area = found.xywh[:, 2] * found.xywh[:, 3]
    return Overlaps(
        images=ids,
        row=order,
        label=label[order],
        image=place[order],
        rank=_places((place * classes + label)[order]),
        score=score[order],
        area=area[order],
        object_label=object_label,
        object_image=object_image,
        object_area=objects.area.to_numpy(np.float64),
        crowd=crowd,
        left_out=crowd | objects.difficult.to_numpy(np.bool_),
        pair_detection=detection[by_detection],
        pair_object=target[by_detection],
        pair_iou=iou[by_detection],
        classes=classes,
        never_found=objects.never_found.to_numpy(np.bool_) if "never_found" in objects else None,
    )


def overlapping(
    images: pd.DataFrame, objects: pd.DataFrame, detections: pd.DataFrame, *, least: float
) -> tuple[Ints, Ints, Floats]:
    """The pairs of a detection and an object of its image, whatever their classes, that overlap by `least` or more:
    their rows in both tables, by detection, and their IoU.
    """
    ids, place, known = _places_of(images, detections)
    object_image = np.searchsorted(ids, objects.image_id.to_numpy(np.int64))
    crowd = objects.crowd.to_numpy(np.bool_)
    found = _Boxes(_xywh(detections), place, np.zeros_like(place))
    truth = _Boxes(_xywh(objects), object_image, np.zeros_like(object_image))
    return _pairs(found, truth, known, crowd, least)


def _places_of(images: pd.DataFrame, detections: pd.DataFrame) -> tuple[Ints, Ints, Bools]:
    """The image ids in order, the place of every detection's among them, and whether it is one of them."""
    ids, mine = np.sort(images.image_id.to_numpy(np.int64)), detections.image_id.to_numpy(np.int64)
    place = np.searchsorted(ids, mine).clip(max=max(len(ids) - 1, 0))
    return ids, place, ids[place] == mine if len(ids) else np.zeros(len(mine), np.bool_)


class _Boxes(NamedTuple):
    """Boxes [N, 4] as x, y, width, height, and the images and labels [N] within which they are paired."""

    xywh: Floats
    image: Ints
    label: Ints


def _pairs(detections: _Boxes, objects: _Boxes, known: Bools, crowd: Bools, least: float) -> tuple[Ints, Ints, Floats]:
    """The pairs of one image and label that overlap by `least` or more, by detection, then object: their rows and IoU.

    Boxes are taken in the order of their tables: where those of an image lie together, as in records, what is looked
    up together lies together too.
    """
    (found, image, label), (truth, object_image, object_label) = detections, objects
    loops = compiled("pairs", len(found) * SECONDS_PER_BOX)
    if loops is not None:
        return _pairs_compiled(loops, detections, objects, known, crowd, least)
    classes = max(label.max(initial=0), object_label.max(initial=0)) + 1
    key, object_key = image * classes + label, object_image * classes + object_label
    by_key = stable_order(object_key)
    ordered = object_key[by_key]
    start = np.searchsorted(ordered, key)
    count = np.where(known, np.searchsorted(ordered, key, side="right") - start, 0)
    ours = [(found[:, k].copy(), found[:, k] + found[:, k + 2]) for k in range(2)]  # both ends of both sides
    theirs = [(truth[:, k].copy(), truth[:, k] + truth[:, k + 2]) for k in range(2)]
    kept: list[tuple[Ints, Ints, Floats]] = []
    for part in portions(count):
        first = np.repeat(np.arange(part.start, part.stop), count[part])
        second = by_key[ranges(start[part], count[part])]
        if least > 0:  # most pairs lie apart, which one side or the other tells
            for (low, high), (truth_low, truth_high) in zip(ours, theirs, strict=True):
                over = np.minimum(high[first], truth_high[second]) > np.maximum(low[first], truth_low[second])
                first, second = first[over], second[over]
        iou = _iou(found[first], truth[second], crowd[second])
        near = iou >= _limit(least)
        kept.append((first[near], second[near], iou[near]))
    if not kept:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    firsts, seconds, ious = zip(*kept, strict=True)
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(ious)


def _pairs_compiled(
    loops: ModuleType, detections: _Boxes, objects: _Boxes, known: Bools, crowd: Bools, least: float
) -> tuple[Ints, Ints, Floats]:
    """The same; if there are more than there was room for, once more."""
    by_image = stable_order(objects.image)
    starts = np.searchsorted(objects.image[by_image], np.arange(detections.image.max(initial=0) + 2))
    arrays = (*detections, known, objects.xywh, by_image, starts, objects.label, crowd)
    given = [
        np.require(a, requirements=["C", "W"]) for a in arrays
    ]  # for arrays of another kind it would be compiled again
    room, count = -1, len(known)
    while count > room:
        room = count
        first, second, iou = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
        count = loops.pairs(*given, _limit(least), first, second, iou)
    return first[:count].copy(), second[:count].copy(), iou[:count].copy()


def _limit(least: float) -> float:
    """The IoU that is asked for; of equal boxes it may be a rounding below 1."""
    return min(least, 1 - 1e-10)


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


def _places(key: Ints) -> Ints:
    """The place of every entry among those of its key."""
    order = stable_order(key)
    places = np.empty_like(order)
    places[order] = places_within(key[order])
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
        row, column = np.nonzero(self.found >= 0)
        hit[self.found[row, column], column] = True
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
    loops = compiled("match", len(detection) * len(thresholds) * SECONDS_PER_PAIR)
    if loops is not None:
        loops.match(detection, target, iou, ignored, o.crowd, thresholds, found)
        return found
    fresh = changes(detection)
    who = detection[fresh]
    start = np.flatnonzero(fresh)
    count = np.diff(np.r_[start, len(detection)])
    turn = _places(o.image[who] * o.classes + o.label[who])
    free = np.ones((len(o.object_label), len(thresholds)), np.bool_)
    by_turn = stable_order(turn)
    bounds = np.searchsorted(turn[by_turn], np.arange(turn.max() + 2))
    for r in range(turn.max() + 1):
        chosen = by_turn[bounds[r] : bounds[r + 1]]
        n = count[chosen]
        edge = np.cumsum(n) - n
        pair = ranges(start[chosen], n)
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
