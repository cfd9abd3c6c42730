"""The measures of a cell that a claim or a difference may be about: one number of its test split, and the same number
where the images weigh otherwise, which is what intervals over images are made of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np

from assignbench.analysis.base import CellData
from assignbench.analysis.score_measures import NR_AT, iou_error, mean_of_known, nms_recall, spearman_of_objects
from assignbench.analysis.training_measures import TRAINING_MEASURES, why_incomparable
from assignbench.errors import nearest
from assignbench.measure.calibration import calibration_error
from assignbench.measure.coco import AREAS
from assignbench.measure.groups import CROWDING, group_precision
from assignbench.measure.lrp import lrp
from assignbench.measure.matching import Bools, Floats, Ints, Matches, match, overlaps_of
from assignbench.measure.precision import Interpolation, average_precision, average_recall, mean_over_classes
from assignbench.measure.voc import VOC_THRESHOLDS, match_voc

REPLICATES = 200
LEFT_OUT = 0.2  # of the images, by each
LIGHT = 2.0**-20  # what these count: a power of two, so that sums are exact, and the same in any order
WHOLE = "whole"  # the weights of every image once
ENOUGH_IMAGES = 5  # of a class, to tell how far its images move it
NEXT_DRAW = 7  # no divisor of REPLICATES: classes take theirs from different draws
LEAST_IMAGES = 20  # that hold an object of a part; with fewer, intervals for other images are far too short
LrpPart = Literal["optimal", "localization", "false_alarms", "missed"]
ERRORS = ("oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "D_ECE")  # of these measures less is better
COUNTED = ("parameters", "gflops")  # the same for every seed, and of no test image
AT_LIMIT = re.compile(r"AR([1-9]\d{0,4})")  # at any number of detections per image and class
OF_CLASS = re.compile(r"(AP|AP50|AP75)\[(.+)\]")  # of one class: AP[tie]
ALIASES = {"LRP": "oLRP", "spearman_rank": "spearman"}
POINTS = (100.0, "points")
# By what a measure is multiplied in print and what it is then counted in, where these are not points.
UNITS: dict[str, tuple[float, str]] = {
    "spearman": (1.0, "rank correlation"),
    "spearman_cls": (1.0, "rank correlation"),
    "iou_error": (1.0, "IoU"),
    "train_hours": (1.0, "hours"),
    "fps": (1.0, "images/s"),
    "parameters": (1e-6, "million"),
    "gflops": (1.0, "1e9 multiply-adds"),
    **dict.fromkeys(("orphans", "orphans_cls", "orphans_box"), (100.0, "per cent of objects")),
    **dict.fromkeys(("churn", "churn_cls", "churn_box"), (100.0, "per cent of positives")),
}


@dataclass(frozen=True, eq=False)
class ImageWeights:
    """What every test image counts: rows [R, I] over `CellData.overlaps.images`; `name` tells sets apart, `draws` says
    whether they stand for other draws of the images. Then a number of all images varies over such draws by `reach`
    times what it does from row to row.
    """

    name: str
    rows: Floats
    draws: bool = False
    reach: float = 1.0


Weighted = Callable[[CellData, ImageWeights], Floats]  # -> the measure [R]


def whole(images: int) -> ImageWeights:
    """Every image once: one row."""
    return ImageWeights(WHOLE, np.ones((1, images)))


def jackknife(images: int, replicates: int = REPLICATES) -> ImageWeights:
    """Replicates that leave out a fifth of the images, drawn anew for each (Shao and Wu 1989): the same for every cell
    with so many images, so that replicates of two cells are paired.

    An average precision is a mean of maxima. Weights that make all images count a little more or less, as those of a
    Bayesian bootstrap, move its maxima too little (docs/decisions.md, SIM2). What is left out counts next to nothing,
    but not nothing: a class whose objects are all left out stays in the mean over classes, at about 0 where it has
    false alarms elsewhere.
    """
    left = _left_out(images)
    ranks = np.random.default_rng([17, images]).random((replicates, images)).argsort(axis=1).argsort(axis=1)
    rows = np.where(ranks < left, LIGHT, 1.0)
    return ImageWeights(f"jackknife {replicates}", rows, draws=True, reach=_reach(images))


def _left_out(images: int) -> int:
    """How many of so many images a replicate leaves out: one at least, none of a single one."""
    return max(0, min(max(1, round(LEFT_OUT * images)), images - 1))


def _reach(images: int) -> float:
    """The deviation of a mean over draws of so many images, s/√n, over that from replicate to replicate."""
    left = _left_out(images)
    return float((images / left - 1) ** 0.5) if left else 1.0


def recall_at(measure: str) -> int | None:
    """The detections per image and class at which a measure is a recall; None for any other measure."""
    found = AT_LIMIT.fullmatch(measure)
    return int(found[1]) if found else None


def stretch(held: Floats, images: int) -> Floats:
    """By how much replicates vary too little, as a factor [C] for classes that so many images hold (`held` [C]), of so
    many `images` in all; NaN for those that none holds.

    The variance of a mean over n images is s²/n. Over replicates that keep k of them it is (n - k)/k times that, and k
    varies from one to the next. An average precision of few images varies more than its replicates tell even so, by
    about (n + 1)/(n - 1) in simulations (docs/decisions.md, SIM2). A single image says nothing of others that hold its
    class; what the class has of false alarms in all images varies as they do.
    """
    factors = np.where(held > 0, _reach(images), np.nan)
    for count in np.unique(held[held > 1]):
        factors[held == count] = _stretch(int(count), images)
    return factors


@lru_cache(maxsize=10_000)
def _stretch(held: int, images: int) -> float:
    from scipy.special import gammaln  # takes a tenth of a second to load

    def ways(of: int, taken: Ints) -> Floats:
        """The logarithm of how many ways there are to take so many."""
        return np.asarray(gammaln(of + 1) - gammaln(taken + 1) - gammaln(of - taken + 1))

    left = _left_out(images)
    gone = np.arange(max(0, held + left - images), min(left, held - 1) + 1)  # of those held; all of them say nothing
    chance = np.exp(ways(held, gone) + ways(images - held, left - gone) - ways(images, np.array(left)))
    told = float(chance @ (gone / (held - gone)))
    return math.sqrt((held + 1) / (held - 1) / told)


def held_by_class(cell: CellData, inside: Bools | None = None) -> Floats:
    """The images that hold an object of each class that counts, and these objects [2, C], of all objects or of those
    `inside` [M] a part.
    """
    o = cell.overlaps
    counted = ~o.left_out if inside is None else inside & ~o.left_out
    labels = o.object_label[counted]
    held = np.unique(o.object_image[counted] * o.classes + labels) % o.classes
    return np.stack([np.bincount(found, minlength=o.classes) for found in (held, labels)]).astype(float)


def stretched(replicates: Floats, factors: Floats | float) -> Floats:
    """Replicates [R, ..., K] that lie farther from their means by factors [K], or by one."""
    centre = replicates.mean(axis=0)
    return np.asarray(centre + (replicates - centre) * factors)


def borrowed(replicates: Floats, images: Floats, objects: Floats) -> Floats:
    """Replicates [R, T, C] in which a class that few images hold varies as the others do; `images` [C] hold `objects`
    [C] of each.

    One image says nothing of another one, and two say little; yet in a mean over classes theirs counts as much as a
    class of a thousand images. So it is given the deviations of the others' replicates, each as large as so few of
    their images or objects would make it (whichever are fewer), one class after the other and from other draws of the
    images than theirs. They are the same draws for every cell of a data set: replicates of two cells stay paired.
    """
    enough = min(ENOUGH_IMAGES, images.max(initial=0.0))
    few = np.flatnonzero((images > 0) & (images < enough))
    others = np.flatnonzero((images >= max(enough, 2)) & np.isfinite(replicates).all(axis=(0, 1)))
    if not len(few) or not len(others):
        return replicates
    away = replicates[:, :, others] - replicates[:, :, others].mean(axis=0)
    result, draw = replicates.copy(), np.arange(len(replicates))
    for place, label in enumerate(few):
        shifted, lender = (draw + NEXT_DRAW * (place + 1)) % len(draw), (draw + place) % len(others)
        larger = np.maximum(_over(images, others, int(label)), _over(objects, others, int(label))) ** 0.5
        deviations = away[shifted, :, lender] * larger[lender, None]
        result[:, :, label] = replicates[:, :, label].mean(axis=0) + deviations
    return result


def _over(counts: Floats, others: Ints, label: int) -> Floats:
    """How many times as many [K] the others have, each count with half a one added: an AP, which lies between 0 and 1,
    does not vary over single images as much as a mean of many would have it.
    """
    return np.asarray((counts[others] + 0.5) / (counts[label] + 0.5))


def _over_classes(cell: CellData, values: Floats, weights: ImageWeights, inside: Bools | None = None) -> Floats:
    """The mean [R] over classes and thresholds of a measure [R, T, C]."""
    return mean_over_classes(as_drawn(cell, values, inside) if weights.draws else values)


def as_drawn(cell: CellData, replicates: Floats, inside: Bools | None = None) -> Floats:
    """Replicates [R, T, C], of all objects or of those `inside` [M] a part, that vary as they would over draws of the
    images.
    """
    images, objects = held_by_class(cell, inside)
    return borrowed(stretched(replicates, stretch(images, len(cell.overlaps.images))), images, objects)


def images_with(cell: CellData, inside: Bools) -> int:
    """How many images hold an object that counts, of those `inside` [M] a part."""
    return len(np.unique(cell.overlaps.object_image[inside & ~cell.overlaps.left_out]))


def images_of_part(cell: CellData, measure: str) -> int | None:
    """How many images hold an object of the part that a measure is about; None where it is about all objects."""

    def compute() -> int | None:
        inside = _part(cell, measure)
        return None if inside is None else images_with(cell, inside)

    return cell.keep(("images of part", measure), compute)


def too_few_images(cell: CellData, measure: str) -> bool:
    """Whether a measure is about a part of the objects that fewer than `LEAST_IMAGES` images hold."""
    images = images_of_part(cell, measure)
    return images is not None and images < LEAST_IMAGES


def freedom_of(images: float) -> float:
    """The degrees of freedom with which so many images, those that hold what a number is about, tell its variance."""
    return max(1.0, images - 1.0)


def image_freedom(cell: CellData, measure: str) -> float:
    """The same of a measure: of the images that hold its part, or of all."""
    images = images_of_part(cell, measure)
    return freedom_of(cell.image_count if images is None else images)


def _part(cell: CellData, measure: str) -> Bools | None:
    """The objects [M] that a measure is about; None where it is about all of them."""
    o = cell.overlaps
    area = AREAS.get(measure[2:]) if measure[:2] in ("AP", "AR") else None
    of_class = OF_CLASS.fullmatch(measure)
    if area is not None:
        return np.asarray((o.object_area >= area[0]) & (o.object_area <= area[1]))
    if of_class is not None:
        name = of_class[2]
        return np.asarray(o.object_label == (cell.classes.index(name) if name in cell.classes else -1))
    if measure.removeprefix("AP_") in CROWDING.names:
        return np.asarray(CROWDING.place(cell.objects.crowdedness) == CROWDING.names.index(measure[3:]))
    return None


def why_untestable(cells: Sequence[CellData], measure: str) -> str:
    """Why no test on a measure may rest on these cells of one data set, even if it has a value; "" where one may."""
    if not cells:
        return ""
    of_class = OF_CLASS.fullmatch(measure)
    if of_class and not all(of_class[2] in c.classes for c in cells):
        lacking = next(c for c in cells if of_class[2] not in c.classes)
        return f"{lacking.keys['data']} has no class '{of_class[2]}'{nearest(of_class[2], lacking.classes)}"
    if too_few_images(cells[0], measure):
        return f"fewer than {LEAST_IMAGES} images hold an object that {measure} is about"
    return why_incomparable(measure, cells)


def known(measure: str) -> bool:
    """Whether there is a measure of this name; whether a data set has the class in it only its records tell."""
    return measure in MEASURES or bool(AT_LIMIT.fullmatch(measure)) or bool(OF_CLASS.fullmatch(measure))


def canonical(measure: str) -> str:
    """A measure's own name, where it is given another one."""
    return ALIASES.get(measure, measure)


def unit_of_measure(measure: str) -> tuple[float, str]:
    """By what a measure is multiplied in print, and in what it is then counted."""
    return UNITS.get(measure, POINTS)


def in_points(measure: str) -> bool:
    """Whether it is known, and counted in points as AP is; a rank correlation is not."""
    return known(measure) and unit_of_measure(measure) == POINTS


def measured(cell: CellData, measure: str) -> float:
    """A measure of a cell on its whole test split; NaN where its records do not hold it."""
    value = cell.summary.get(measure)
    if value is not None:
        return float(value)
    return cell.keep(("measured", measure), lambda: float(weighted(cell, measure, whole(cell.image_count))[0]))


def replicated(cell: CellData, measure: str) -> Floats:
    """A measure [R] of a cell on the replicates of `jackknife`, as far apart as draws of the images would put them; NaN
    where it is not recorded, or of a single image.
    """
    if cell.image_count < 2:
        return np.full(REPLICATES, np.nan)
    return cell.keep(("replicated", measure), lambda: weighted(cell, measure, draws_of(cell)))


def draws_of(cell: CellData) -> ImageWeights:
    """The replicates of a cell's test images."""
    return cell.once("draws", lambda: jackknife(cell.image_count))


def with_draws(cell: CellData) -> Floats:
    """Weights [1 + R, I]: every image once, and the replicates."""
    return cell.once("with draws", lambda: np.concatenate([whole(cell.image_count).rows, draws_of(cell).rows]))


def drawn_precision(cell: CellData, area: tuple[float, float] | None = None) -> Floats:
    """AP [1 + R, T, C] of all images as they are and of the replicates; of a range of areas by COCO's rule."""

    def compute() -> Floats:
        return average_precision(matches_of(cell, area), with_draws(cell))

    return cell.once(("drawn precision", area), compute)


def matches_of(cell: CellData, area: tuple[float, float] | None = None) -> Matches:
    """Who found what; by COCO's rule for a range of areas."""
    if area is None:
        return cell.matches
    return cell.once(("by area", area), lambda: match(cell.overlaps, area=area, max_detections=cell.most))


def weighted(cell: CellData, measure: str, weights: ImageWeights) -> Floats:
    """A measure [R] of a cell whose images weigh otherwise."""
    limit, of_class = AT_LIMIT.fullmatch(measure), OF_CLASS.fullmatch(measure)
    if limit:
        one: Weighted = partial(_recall, int(limit[1]))
    elif of_class:
        one = partial(_of_class, BY_CLASS[of_class[1]], of_class[2])
    else:
        one = MEASURES[measure]
    return np.asarray(one(cell, weights), float)


def precision_by_class(cell: CellData, weights: ImageWeights) -> Floats:
    """AP [R, T, C] at COCO's thresholds."""

    def compute() -> Floats:
        if weights.name == WHOLE:
            return drawn_precision(cell)[:1]
        known = weights.name == draws_of(cell).name
        found = drawn_precision(cell)[1:] if known else average_precision(cell.matches, weights.rows)
        return as_drawn(cell, found) if weights.draws else found

    return cell.once(("precision", weights.name), compute)


def _precision(thresholds: slice, cell: CellData, weights: ImageWeights) -> Floats:
    return mean_over_classes(precision_by_class(cell, weights)[:, thresholds])


def _precision_by_area(area: str, cell: CellData, weights: ImageWeights) -> Floats:
    matches = matches_of(cell, AREAS[area])
    drawn = weights.name == draws_of(cell).name
    found = drawn_precision(cell, AREAS[area])[1:] if drawn else average_precision(matches, weights.rows)
    return _over_classes(cell, found, weights, matches.counted)


def _recall_by_area(area: str, cell: CellData, weights: ImageWeights) -> Floats:
    matches = matches_of(cell, AREAS[area])
    return _over_classes(cell, average_recall(matches, weights.rows), weights, matches.counted)


def _recall(limit: int, cell: CellData, weights: ImageWeights) -> Floats:
    matches = cell.matches if limit <= cell.most else match(cell.overlaps, max_detections=limit)
    return _over_classes(cell, average_recall(matches.first(limit), weights.rows), weights)


def _voc(thresholds: slice, interpolation: Interpolation, cell: CellData, weights: ImageWeights) -> Floats:
    def compute() -> Floats:
        matches = cell.once("voc matches", partial(_voc_matches, cell)).at(asked)
        return average_precision(matches, weights.rows, interpolation=interpolation)

    asked = AT_50 if interpolation == "area" else ALL  # what there is a measure of
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
    found = getattr(cell.once(("lrp", weights.name), lambda: lrp(cell.matches, weights.rows)), part)
    return mean_of_known(as_drawn(cell, found[:, None])[:, 0] if weights.draws else found)


def _calibration(cell: CellData, weights: ImageWeights) -> Floats:
    return stretched(calibration_error(cell.matches, weights.rows), weights.reach)


def _beside(compute: Callable[[CellData, Floats], Floats], cell: CellData, weights: ImageWeights) -> Floats:
    """A measure of `score_measures`, which takes the weights alone."""
    return stretched(compute(cell, weights.rows), weights.reach)


def _of_training(compute: Callable[[CellData], float], cell: CellData, weights: ImageWeights) -> Floats:
    """A measure that test images have no part in: other draws of them say nothing of it."""
    return np.full(len(weights.rows), np.nan if weights.draws else compute(cell))


def _of_class(thresholds: slice, name: str, cell: CellData, weights: ImageWeights) -> Floats:
    """AP of one class; NaN where there is none of that name."""
    if name not in cell.classes:
        return np.full(len(weights.rows), np.nan)
    found = precision_by_class(cell, weights)[:, thresholds, cell.classes.index(name)]
    return np.asarray(found.mean(axis=1))


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
    "NR": partial(_beside, partial(nms_recall, ALL)),
    **{name: partial(_beside, partial(nms_recall, slice(k, k + 1))) for name, k in NR_AT.items()},
    "spearman": partial(_beside, partial(spearman_of_objects, "ranking_score")),
    "spearman_cls": partial(_beside, partial(spearman_of_objects, "cls_score")),
    "iou_error": partial(_beside, iou_error),
    **{name: partial(_of_training, compute) for name, compute in TRAINING_MEASURES.items()},
    **{f"AP_{name}": partial(_crowding, name) for name in CROWDING.names},
}
BY_CLASS = {"AP": ALL, "AP50": AT_50, "AP75": AT_75}  # of which a class may be asked: AP[tie]
IN_POINTS = tuple(name for name in MEASURES if in_points(name))
