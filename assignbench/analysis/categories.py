"""Does a gain grow with what the objects of a category are like? Categories are the units (LTM, Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from assignbench.analysis.base import CellData
from assignbench.analysis.estimates import Estimate, Floats, Measured, Source
from assignbench.analysis.lines import Line, fitted_line, slope
from assignbench.analysis.pairs import Pair, over_pairs
from assignbench.analysis.signs import in_signed_points
from assignbench.analysis.trends import GROUP_IMAGES, LEAST_BASE, LEAST_RANGE

LEAST_CATEGORIES = 5
POPULATIONS = {True: "other seeds, images and categories", False: "other images and categories, these models"}


@dataclass(frozen=True)
class ClassMeans:
    """Of every class [C]: the mean of a factor over its objects that count (NaN without one), how many they are, and
    how many images hold one.
    """

    means: Floats
    objects: Floats
    images: Floats


def class_means(cell: CellData, factor: str) -> ClassMeans:
    """What the objects of each class are like on a cell's test set."""
    return ClassMeans(*cell.keep(("class means", factor), lambda: _class_means(cell, factor)))


def _class_means(cell: CellData, factor: str) -> tuple[Floats, Floats, Floats]:
    o = cell.overlaps
    counted = ~o.left_out
    label, values = o.object_label[counted], cell.objects[factor].to_numpy(float)[counted]
    objects = np.bincount(label, minlength=o.classes).astype(float)
    total = np.bincount(label, values, minlength=o.classes)
    pairs = np.unique(np.stack([label, o.object_image[counted]]), axis=1)
    images = np.bincount(pairs[0], minlength=o.classes).astype(float)
    return np.divide(total, objects, out=np.full(o.classes, np.nan), where=objects > 0), objects, images


@dataclass(frozen=True)
class CategorySample:
    """The slopes of a pair's gain over categories by seed, and the line through the gains that are means over seeds."""

    slopes: Measured
    line: Line
    names: tuple[str, ...] = ()
    middles: tuple[float, ...] = ()
    gains: tuple[float, ...] = ()
    untestable: str = ""

    @property
    def detail(self) -> str:
        """How many categories there are, and the gains of the first and the last one; "" where there is no line."""
        if self.untestable:
            return ""
        first, last = int(np.argmin(self.middles)), int(np.argmax(self.middles))
        ends = (f"{self.names[k]} ({self.middles[k]:.1f}) {in_signed_points(self.gains[k])}" for k in (first, last))
        return f"{len(self.names)} categories, from {' to '.join(ends)}"


def category_sample(pair: Pair, factor: str, *, relative: bool = False) -> CategorySample:
    """How the gain of a pair changes over categories, each at the mean factor of its objects.

    `relative`: gains are shares of the baseline's AP in the category, of those where it has 5 points. Categories that
    few images hold are left out.
    """
    seeds = pair.seeds
    why = pair.untestable or (_no_line(pair.ours[seeds[0]], factor) if seeds else "")
    if why:
        return _without(len(seeds), why)
    first = pair.ours[seeds[0]]
    held = class_means(first, factor)
    ours, theirs = (np.stack([c[s].precision().mean(axis=0) for s in seeds]) for c in (pair.ours, pair.theirs))
    kept = held.images >= GROUP_IMAGES
    base = theirs.mean(axis=0)
    if relative:
        kept &= base >= LEAST_BASE
    gained, middles = (ours - theirs)[:, kept], held.means[kept]
    if relative:
        gained = gained / base[kept]
    why = _too_few(factor, middles)
    if why:
        return _without(len(seeds), why)
    mean = gained.mean(axis=0)
    names = tuple(np.asarray(first.classes, object)[kept])
    line = fitted_line(middles, mean)
    return CategorySample(Measured(slope(middles, gained)), line, names, tuple(middles), tuple(mean))


def _without(seeds: int, why: str) -> CategorySample:
    nothing = float("nan")
    return CategorySample(Measured(np.full(seeds, nothing)), Line(nothing, nothing, nothing, 1.0), untestable=why)


def _no_line(cell: CellData, factor: str) -> str:
    """Why there are no categories to draw a line through; "" where there may be."""
    if cell.agnostic:
        return "the detector knows no classes"
    return "" if cell.describes(factor) else f"the objects have no {factor}"


def _too_few(factor: str, middles: Floats) -> str:
    """Why no line is drawn through these categories; "" where one can be."""
    if len(middles) < LEAST_CATEGORIES:
        enough = f"{GROUP_IMAGES} images or where the baseline finds too little of them"
        return f"{len(middles)} categories, without those in fewer than {enough}; a line needs {LEAST_CATEGORIES}"
    wide = float(middles.max() - middles.min())
    if wide < LEAST_RANGE:
        return f"the outer categories lie {wide:.2f} apart in {factor}, less than {LEAST_RANGE}"
    return ""


def category_trends(
    pairs: Sequence[Pair], factor: str, *, relative: bool = False
) -> list[tuple[Pair, CategorySample, Estimate]]:
    """The slope of every pair's gain over categories, for other seeds, images and categories.

    What a category has of its own, and what its images put on it, is the scatter about the line; what a training puts
    on all categories alike is the spread of the slopes over seeds, moderated over the pairs of a data set. What it puts
    on one category alone counts in both, so that the interval is a little wide and never narrow.
    """
    samples = [category_sample(p, factor, relative=relative) for p in pairs]
    found = over_pairs(pairs, [s.slopes for s in samples])
    scattered = [
        e if s.untestable else replace(e, images=Source(s.line.error, s.line.freedom))
        for s, e in zip(samples, found, strict=True)
    ]
    return list(zip(pairs, samples, scattered, strict=True))


def population_of(estimate: Estimate) -> str:
    """For whom the interval of such a slope speaks."""
    return POPULATIONS[estimate.seeds is not None]
