"""AP and AR of matches, for any subset or reweighting of images and for groups of objects: 101 recalls as pycocotools
has them, eleven or the whole area as PASCAL VOC does.

Weights of the images are laid out [images, rows], so that every step of the arithmetic runs over hundreds of replicates
at once. What counts is summed between one right detection and the next, once for all thresholds and groups: those sums
are one product of a sparse matrix with the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

import numpy as np

from assignbench.measure.compiled import compiled
from assignbench.measure.matching import Bools, Floats, Ints, Matches
from assignbench.measure.sums import blocks, running, sums_up_to, weight_of

RECALLS = np.linspace(0.0, 1.0, 101)
# py-faster-rcnn compares the eleven recalls without tolerance: .3, .6 and .7 lie a rounding above.
ELEVEN = np.asarray(np.arange(11) * 0.1, np.float64)
Interpolation = Literal["coco", "voc07", "area"]
LEVELS = {"coco": RECALLS, "voc07": ELEVEN, "area": np.ones(1)}
NOTHING = np.zeros(0)
EPSILON = float(np.spacing(1.0))  # as pycocotools adds it: nothing right of nothing is no precision
SECONDS = 8e-9  # that NumPy takes for a right detection in a replicate


class UpTo(Protocol):
    """What detections weigh up to each of some places [H, R], as `sums.sums_up_to` has it."""

    def __call__(self, ends: Ints, which: Ints, image: Ints, by_image: Floats) -> Floats:
        """Of the detections at the places `which`, up to each place in `ends`."""


class Wrong(Protocol):
    """What is wrong before each right detection [H, R]."""

    def __call__(self, by_image: Floats, image: Ints, counted: Floats, rows: Ints) -> Floats:
        """Of weights [I, R] of the images, and the rows [H] of the right detections in them.

        The `rows` [H] of `counted` are what counts up to each of these.
        """


class Area(Protocol):
    """AP [R] under the curves of right detections [H], best first."""

    def __call__(
        self, by_image: Floats, image: Ints, others: Floats, rows: Ints, share: Floats, whole: Floats, levels: Floats
    ) -> Floats:
        """Of weights [I, R] of the images, and the rows [H] of the detections in them.

        The `rows` [H] of `others` are what counts up to each of them; with a `share` [R] (else empty) they are what is
        wrong, of which so much counts. `whole` [R] is what there is to be found; empty: all of it was. AP is the mean
        over evenly spaced `levels` of recall, 0 and 1 among them, or the area if there is but one.
        """


class Arithmetic(NamedTuple):
    """All of it, one way or the other."""

    up_to: UpTo
    wrong: Wrong
    area: Area


def average_precision(
    matches: Matches,
    weights: Floats | None = None,
    *,
    interpolation: Interpolation = "coco",
    group: Bools | None = None,
) -> Floats:
    """AP [R, T, C] for weights [R, I] of the images (one row of ones by default); NaN where no object counts.

    A whole weight k does what k copies of the image would do: rows of multinomial counts are draws of the images.

    `group` [M] gives the balanced AP of those objects alone: other objects and the detections matched with them are
    left out, and an unmatched detection counts with the group's share of the objects of its class as its weight.
    Precision then does not depend on how many objects the group has.
    """
    return np.asarray(average_precisions(matches, [group], weights, interpolation=interpolation)[0])


def average_precisions(
    matches: Matches,
    groups: Sequence[Bools | None],
    weights: Floats | None = None,
    *,
    interpolation: Interpolation = "coco",
) -> Floats:
    """AP [G, R, T, C] of several groups of objects (None: of all), as `average_precision` has each of them.

    What unmatched detections weigh is summed once for all of them.
    """
    o = matches.overlaps
    weights = np.ones((1, len(o.images))) if weights is None else np.asarray(weights, np.float64)
    result = np.full((len(groups), len(weights), len(matches.thresholds), o.classes), np.nan)
    bounds = np.searchsorted(o.label, np.arange(o.classes + 1))
    loops = compiled("area", len(weights) * np.count_nonzero(matches.found >= 0) * SECONDS)
    arithmetic = IN_NUMPY if loops is None else Arithmetic(loops.sums_up_to, loops.wrong, loops.area)
    seen = np.atleast_1d(weights.any(axis=0))  # what lies on other images counts nowhere
    counted = matches.counted & seen[o.object_image]
    for rows in blocks(len(weights), int(np.diff(bounds).max(initial=1))):
        by_image = np.ascontiguousarray(weights[rows].T)
        # Of a single row NumPy adds up in another order, that of a cell's own records.
        way = arithmetic if by_image.shape[1] > 1 else IN_NUMPY
        for c in range(o.classes):
            all_ = counted & (o.object_label == c)
            mine = [all_ if g is None else all_ & g for g in groups]
            if not any(m.any() for m in mine):
                continue
            part = bounds[c] + np.flatnonzero(seen[o.image[bounds[c] : bounds[c + 1]]])
            one = _Class(matches, part, by_image, way)
            total = weight_of(o.object_image[all_], by_image)
            for number, (objects, group) in enumerate(zip(mine, groups, strict=True)):
                if objects.any():
                    present = total if group is None else weight_of(o.object_image[objects], by_image)
                    result[number, rows, :, c] = one.precision(objects, present, total, group, interpolation).T
    return result


@dataclass(frozen=True)
class _Sums:
    """At one threshold: the images [H] of the right detections, the objects that they found, and the rows [H] of
    `counted` that say what counts up to each of them, for weights [I, R] of the images.
    """

    image: Ints
    objects: Ints
    counted: Floats
    rows: Ints
    by_image: Floats
    arithmetic: Arithmetic

    @cached_property
    def wrong(self) -> Floats:
        """What is wrong before each of the right detections [H, R]."""
        return self.arithmetic.wrong(self.by_image, self.image, self.counted, self.rows)


class _Class:
    """The detections of one class, and the weights [I, R] of their images."""

    def __init__(self, matches: Matches, part: Ints, by_image: Floats, arithmetic: Arithmetic) -> None:
        self.by_image = by_image
        self.image = matches.overlaps.image[part]
        self.arithmetic = arithmetic
        self.sums = list(self._sums(matches.found[part], matches.ignored[part]))

    def _sums(self, found: Ints, ignored: Bools) -> Iterator[_Sums]:
        """For every threshold. Most detections count at all of them, and are summed once."""
        right = (found >= 0) & ~ignored
        sometimes = ignored.any(axis=1)
        touched = np.flatnonzero(right.any(axis=1))
        always = self.arithmetic.up_to(touched, np.flatnonzero(~sometimes), self.image, self.by_image)
        for t in range(found.shape[1]):
            hits = np.flatnonzero(right[:, t])
            counted, rows = always, np.searchsorted(touched, hits)
            others = np.flatnonzero(sometimes & ~ignored[:, t])
            if len(others):
                counted = always[rows] + self.arithmetic.up_to(hits, others, self.image, self.by_image)
                rows = np.arange(len(hits))
            yield _Sums(self.image[hits], found[hits, t], counted, rows, self.by_image, self.arithmetic)

    def precision(
        self, objects: Bools, present: Floats, total: Floats, group: Bools | None, interpolation: Interpolation
    ) -> Floats:
        """AP [T, R] of the class' `objects` [M], which weigh `present` [R], of `total` [R] that all of it weigh."""
        count = int(objects.sum())
        share = np.divide(present, total, out=np.zeros_like(present), where=total > 0)
        values = np.zeros((len(self.sums), len(present)))
        for t, at in enumerate(self.sums):
            if group is None:
                image, others, rows, share = at.image, at.counted, at.rows, NOTHING
            else:
                rows = np.flatnonzero(group[at.objects])
                image, others = at.image[rows], at.wrong
            if not len(image):
                continue
            # Where all are found the recall ends at 1, in whatever order weights were added.
            whole = NOTHING if len(image) == count else present
            values[t] = self.arithmetic.area(self.by_image, image, others, rows, share, whole, LEVELS[interpolation])
        values[:, present <= 0] = np.nan
        return values


def _wrong(by_image: Floats, image: Ints, counted: Floats, rows: Ints) -> Floats:
    """`Wrong` in NumPy; sums in another order may put it below 0."""
    return np.maximum(counted[rows] - running(np.add, by_image[image]), 0.0)


def _area(
    by_image: Floats, image: Ints, others: Floats, rows: Ints, share: Floats, whole: Floats, levels: Floats
) -> Floats:
    """`Area` in NumPy."""
    right = running(np.add, by_image[image])
    counted = others[rows] * share + right if len(share) else others[rows]
    whole = whole if len(whole) else right[-1]
    return _under(right / np.where(whole > 0, whole, np.inf), right / (counted + EPSILON), levels)


IN_NUMPY = Arithmetic(sums_up_to, _wrong, _area)


def interpolated(recall: Floats, precision: Floats, interpolation: Interpolation) -> Floats:
    """AP [R] from precision-recall curves [R, H] by falling score.

    The places of the right detections are enough: in between, precision only falls. "coco": mean over 101 recalls,
    "voc07": over eleven, "area": under the hull (VOC10+).
    """
    return _under(np.ascontiguousarray(recall.T), precision.T.copy(), LEVELS[interpolation])


def _under(recall: Floats, precision: Floats, levels: Floats) -> Floats:
    """`interpolated` of curves [H, R] at these levels, or the area if there is but one; `precision` is written over."""
    if not len(recall):
        return np.zeros(recall.shape[1])
    envelope = running(np.maximum, precision[::-1])  # from the last to the first
    reached = recall if len(levels) == 1 else _reached(levels, recall)
    steps = reached.copy()  # levels that a hit is the first to reach
    steps[1:] -= reached[:-1]
    if recall.shape[1] == 1 and len(levels) > 1:  # the sum that a cell's own records have, to the last bit
        shares = np.repeat(envelope[::-1], steps[:, 0].astype(int))
        return np.atleast_1d(np.r_[shares, np.zeros(len(levels) - len(shares))].mean())
    return np.asarray((steps[::-1] * envelope).sum(axis=0) / len(levels))


def _reached(levels: Floats, recall: Floats) -> Floats:
    """How many of the evenly spaced levels 0..1 a recall reaches."""
    place = recall * (len(levels) - 1)
    place += 1e-9
    np.floor(place, out=place)  # right, or one too far where a level is close
    place += place * levels[1] <= recall  # each level is its place times the first one, to the last bit
    return place


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
            share = np.full_like(result[:, :, c], np.nan)
            result[:, :, c] = np.divide(weight @ hit[mine], total, out=share, where=total > 0)
    return result


def mean_over_classes(values: Floats) -> Floats:
    """Mean of [..., T, C] over classes and thresholds, leaving out the classes without an object; NaN if all are."""
    known = np.isfinite(values)
    count = known.sum(axis=(-2, -1))
    total = np.where(known, values, 0.0).sum(axis=(-2, -1))
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
