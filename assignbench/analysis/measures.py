"""The measures of a cell that a claim or a difference may be about: one number of its test split, and the same number
where the images weigh otherwise, which is what intervals over images are made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from assignbench.analysis.base import CellData
from assignbench.analysis.candidates import JK, rule_candidates
from assignbench.analysis.nms import THRESHOLDS as NMS_THRESHOLDS, ranked
from assignbench.measure.calibration import calibration_error
from assignbench.measure.coco import AREAS
from assignbench.measure.correlation import rank_correlation
from assignbench.measure.groups import CROWDING, group_precision
from assignbench.measure.lrp import lrp
from assignbench.measure.matching import (
    Bools,
    Floats,
    Interpolation,
    Matches,
    Overlaps,
    average_precision,
    average_recall,
    match,
    mean_over_classes,
    overlaps_of,
)
from assignbench.measure.voc import VOC_THRESHOLDS, match_voc

REPLICATES = 200
LEAST_IMAGES = 20  # that hold an object of a part; with fewer, the bootstrap's intervals are far too short
LrpPart = Literal["optimal", "localization", "false_alarms", "missed"]
ERRORS = ("oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "D_ECE")  # of these measures less is better
AT_LIMIT = re.compile(r"AR([1-9]\d{0,4})")  # at any number of detections per image and class


@dataclass(frozen=True, eq=False)
class ImageWeights:
    """What every test image counts: rows [R, I] over `CellData.overlaps.images`; `name` tells sets apart, `draws` says
    whether they stand for other draws of the images.
    """

    name: str
    rows: Floats
    draws: bool = False


Weighted = Callable[[CellData, ImageWeights], Floats]  # -> the measure [R]


def whole(images: int) -> ImageWeights:
    """Every image once: one row."""
    return ImageWeights("whole", np.ones((1, images)))


def bootstrap(images: int, replicates: int = REPLICATES) -> ImageWeights:
    """Replicates of the Bayesian bootstrap (Rubin 1981), the same for every cell with so many images: replicates of
    two cells are paired.

    The weights are Dirichlet's and never 0: a class with a single object does not drop out of the mean over classes, as
    it would where images are drawn with replacement. Their shape makes the variance of a mean over images the unbiased
    s²/n; Rubin's shape 1 gives (n - 1)/(n + 1) of it.
    """
    drawn = np.random.default_rng([17, images]).gamma(_shape(images), size=(replicates, images))
    return ImageWeights(f"bootstrap {replicates}", drawn * (images / drawn.sum(axis=1, keepdims=True)), draws=True)


def recall_at(measure: str) -> int | None:
    """The detections per image and class at which a measure is a recall; None for any other measure."""
    found = AT_LIMIT.fullmatch(measure)
    return int(found[1]) if found else None


def _shape(images: int) -> float:
    """Of the gamma variables whose shares are the weights."""
    return 1 - 2 / images if images > 2 else 1.0


def stretch(cell: CellData, inside: Bools | None = None) -> Floats:
    """By how much replicates vary too little, as a factor [C] for each class of all objects or of those `inside` [M] a
    part; NaN where it has none.

    The weights of the n images that hold a class vary by less than those of all: the variance of a mean over them is
    (n - 1)/(n α + 1) of what it is, α being the weights' shape. A single image says nothing of others: 1.
    """
    o = cell.overlaps
    counted = ~o.left_out if inside is None else inside & ~o.left_out
    places = np.unique(np.stack([o.object_label[counted], o.object_image[counted]]), axis=1)
    held = np.bincount(places[0], minlength=o.classes).astype(float)
    factors = np.where(held > 0, 1.0, np.nan)
    several = held > 1
    factors[several] = np.sqrt((held[several] * _shape(len(o.images)) + 1) / (held[several] - 1))
    return factors


def stretched(replicates: Floats, factors: Floats) -> Floats:
    """Replicates [R, ..., K] that lie farther from their means by factors [K]."""
    centre = replicates.mean(axis=0)
    return np.asarray(centre + (replicates - centre) * factors)


def _over_classes(cell: CellData, values: Floats, weights: ImageWeights, inside: Bools | None = None) -> Floats:
    """The mean [R] over classes and thresholds of a measure [R, T, C]."""
    return mean_over_classes(stretched(values, stretch(cell, inside)) if weights.draws else values)


def images_with(cell: CellData, inside: Bools) -> int:
    """How many images hold an object that counts, of those `inside` [M] a part."""
    return len(np.unique(cell.overlaps.object_image[inside & ~cell.overlaps.left_out]))


def too_few_images(cell: CellData, measure: str) -> bool:
    """Whether a measure is about a part of the objects that fewer than `LEAST_IMAGES` images hold."""
    o = cell.overlaps
    area = AREAS.get(measure[2:])
    if area is not None:
        return images_with(cell, (o.object_area >= area[0]) & (o.object_area <= area[1])) < LEAST_IMAGES
    if measure.removeprefix("AP_") in CROWDING.names:
        inside = CROWDING.place(cell.objects.crowdedness) == CROWDING.names.index(measure[3:])
        return images_with(cell, inside) < LEAST_IMAGES
    return False


def known(measure: str) -> bool:
    """Whether there is a measure of this name."""
    return measure in MEASURES or bool(AT_LIMIT.fullmatch(measure))


def in_points(measure: str) -> bool:
    """Whether it is known, and counted in points as AP is; a rank correlation is not."""
    return known(measure) and measure != "spearman"


def measured(cell: CellData, measure: str) -> float:
    """A measure of a cell on its whole test split; NaN where its records do not hold it."""
    value = cell.cell.summary.get(measure)
    if value is not None:
        return float(value)
    return float(weighted(cell, measure, whole(len(cell.images)))[0])


def replicated(cell: CellData, measure: str) -> Floats:
    """A measure [R] of a cell on the replicates of `bootstrap`; NaN where it is not recorded, or of a single image."""
    if len(cell.images) < 2:
        return np.full(REPLICATES, np.nan)
    draws = cell.once("bootstrap", lambda: bootstrap(len(cell.images)))
    return cell.once(("replicated", measure), lambda: weighted(cell, measure, draws))


def weighted(cell: CellData, measure: str, weights: ImageWeights) -> Floats:
    """A measure [R] of a cell whose images weigh otherwise."""
    limit = AT_LIMIT.fullmatch(measure)
    one = partial(_recall, int(limit[1])) if limit else MEASURES[measure]
    return np.asarray(one(cell, weights), float)


def precision_by_class(cell: CellData, weights: ImageWeights) -> Floats:
    """AP [R, T, C] at COCO's thresholds."""

    def compute() -> Floats:
        found = average_precision(cell.matches, weights.rows)
        return stretched(found, stretch(cell)) if weights.draws else found

    return cell.once(("precision", weights.name), compute)


def _precision(thresholds: slice, cell: CellData, weights: ImageWeights) -> Floats:
    return mean_over_classes(precision_by_class(cell, weights)[:, thresholds])


def _by_area(area: str, cell: CellData) -> Matches:
    return cell.once(("by area", area), lambda: match(cell.overlaps, area=AREAS[area], max_detections=cell.most))


def _precision_by_area(area: str, cell: CellData, weights: ImageWeights) -> Floats:
    matches = _by_area(area, cell)
    return _over_classes(cell, average_precision(matches, weights.rows), weights, matches.counted)


def _recall_by_area(area: str, cell: CellData, weights: ImageWeights) -> Floats:
    matches = _by_area(area, cell)
    return _over_classes(cell, average_recall(matches, weights.rows), weights, matches.counted)


def _recall(limit: int, cell: CellData, weights: ImageWeights) -> Floats:
    matches = cell.matches if limit <= cell.most else match(cell.overlaps, max_detections=limit)
    return _over_classes(cell, average_recall(matches.first(limit), weights.rows), weights)


def _voc(thresholds: slice, interpolation: Interpolation, cell: CellData, weights: ImageWeights) -> Floats:
    def compute() -> Floats:
        matches = cell.once("voc matches", partial(_voc_matches, cell))
        return average_precision(matches, weights.rows, interpolation=interpolation)

    found = cell.once(("voc", interpolation, weights.name), compute)
    return _over_classes(cell, found[:, thresholds], weights)


def _voc_matches(cell: CellData) -> Matches:
    overlaps = overlaps_of(cell.images, cell.objects, cell.detections, len(cell.classes), least=0.0)
    return match_voc(overlaps, thresholds=VOC_THRESHOLDS)


def _crowding(name: str, cell: CellData, weights: ImageWeights) -> Floats:
    inside = CROWDING.place(cell.objects.crowdedness) == CROWDING.names.index(name)
    found = group_precision(cell.overlaps, inside, weights=weights.rows, matches=cell.matches)
    return _over_classes(cell, found, weights, inside)


def _lrp(part: LrpPart, cell: CellData, weights: ImageWeights) -> Floats:
    """oLRP, or one of its components, mean over the classes where it is known."""
    found = cell.once(("lrp", weights.name), lambda: lrp(cell.matches, weights.rows))
    return _mean_of_known(getattr(found, part))


def _calibration(cell: CellData, weights: ImageWeights) -> Floats:
    return calibration_error(cell.matches, weights.rows)


def _nms_recall(cell: CellData, weights: ImageWeights) -> Floats:
    """NR by coverage (LTM): the mean over IoUs of recall after NMS over recall before it."""
    boxes = cell.pre_nms()
    if boxes is None or not len(boxes):
        return np.full(len(weights.rows), np.nan)
    best = cell.once("best IoU before and after NMS", partial(_best_overlaps, cell, boxes))
    counted = ~cell.overlaps.left_out
    weight = weights.rows[:, cell.overlaps.object_image[counted]]
    reached = [weight @ (b[counted, None] >= np.asarray(NMS_THRESHOLDS)) for b in best]
    ratio = np.divide(reached[1], reached[0], out=np.full_like(reached[0], np.nan), where=reached[0] > 0)
    return _mean_of_known(ratio)


def _best_overlaps(cell: CellData, boxes: pd.DataFrame) -> tuple[Floats, Floats]:
    """The largest IoU [M] of every object with a box of its class, before and after NMS."""
    before = overlaps_of(cell.images, cell.objects, ranked(boxes), len(cell.classes))
    return _largest(before), _largest(cell.overlaps)


def _largest(overlaps: Overlaps) -> Floats:
    best = np.zeros(len(overlaps.left_out))
    np.maximum.at(best, overlaps.pair_object, overlaps.pair_iou)
    return best


def _spearman(cell: CellData, weights: ImageWeights) -> Floats:
    """Mean over objects of the rank correlation of score and IoU over J_k (MLC); NaN where J_k was not recorded."""
    values = cell.once("spearman of objects", partial(_object_correlations, cell))
    usable = np.isfinite(values)
    if not usable.any():
        return np.full(len(weights.rows), np.nan)
    weight = weights.rows[:, cell.overlaps.object_image[usable]]
    return np.asarray(weight @ values[usable] / weight.sum(axis=1))


def _object_correlations(cell: CellData) -> Floats:
    candidates = rule_candidates(cell, JK)
    if candidates is None:
        return np.full(len(cell.objects), np.nan)
    by_object = rank_correlation(candidates).set_index("object_id").spearman
    values = cell.objects.object_id.map(by_object).to_numpy(float)
    return np.where(cell.objects.crowd, np.nan, values)


def _mean_of_known(values: Floats) -> Floats:
    """Row means of [R, T] without NaN; NaN where a row has nothing else."""
    usable = np.isfinite(values)
    count = usable.sum(axis=1)
    total = np.where(usable, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))


ALL, AT_50, AT_75 = slice(None), slice(0, 1), slice(5, 6)
MEASURES: dict[str, Weighted] = {
    "AP": partial(_precision, ALL),
    "AP50": partial(_precision, AT_50),
    "AP75": partial(_precision, AT_75),
    **{f"AP{area}": partial(_precision_by_area, area) for area in AREAS},
    **{f"AR{area}": partial(_recall_by_area, area) for area in AREAS},
    "AR100": partial(_recall, 100),
    "AR300": partial(_recall, 300),
    "AR1000": partial(_recall, 1000),
    "AP07": partial(_voc, ALL, "voc07"),
    "AP07_50": partial(_voc, AT_50, "voc07"),
    "AP07_75": partial(_voc, AT_75, "voc07"),
    "AP50_area": partial(_voc, AT_50, "area"),
    "oLRP": partial(_lrp, "optimal"),
    "oLRP_loc": partial(_lrp, "localization"),
    "oLRP_fp": partial(_lrp, "false_alarms"),
    "oLRP_fn": partial(_lrp, "missed"),
    "D_ECE": _calibration,
    "NR": _nms_recall,
    "spearman": _spearman,
    **{f"AP_{name}": partial(_crowding, name) for name in CROWDING.names},
}
IN_POINTS = tuple(name for name in MEASURES if in_points(name))
