"""Does a gain grow with a factor? The slope of the gain over groups of objects or images, with the gains that make it.

Objects are the unit of most factors: a group's AP is the balanced one (`measure.groups`). Images are the unit of what
is said of a whole image, its number of objects and its crowdedness (LTM): a group's AP is that of its images alone,
and the gain is relative to the baseline's, since crowded images are harder for every method.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import partial

import numpy as np

from assignbench.analysis import measures
from assignbench.analysis.base import CellData
from assignbench.analysis.curves_by_group import image_curves, object_curves
from assignbench.analysis.estimates import Estimate, Floats, Measured
from assignbench.analysis.lines import slope
from assignbench.analysis.pairs import Pair, over_pairs
from assignbench.analysis.shares import shares
from assignbench.analysis.signs import signed
from assignbench.config.evaluation import LEAST_OBJECTS
from assignbench.measure.groups import (
    ELONGATION,
    IMAGE_CROWDING,
    PER_IMAGE,
    Grouping,
    quantile_grouping,
)

FACTORS = ("crowdedness", "aspect_ratio", "acentricity", "occlusion", "contrast", "objects_in_image")
FACTOR_BINS = 4
GROUP_IMAGES = 10  # that hold objects of a group: with five, 8 to 16 % of trends were false in simulations
LEAST_RANGE = 0.5  # between the means of the outer groups, in units of the factor
LEAST_BASE = 0.05  # AP of the baseline in a group: a share of less is ruled by chance
# LTM's groups where it has some; groups of equal size otherwise. By image: those of a whole image.
BY_IMAGE = {"crowdedness": IMAGE_CROWDING, "objects_in_image": PER_IMAGE}
BY_OBJECT = {"aspect_ratio": ELONGATION}


@dataclass(frozen=True)
class Groups:
    """The groups of a factor that hold enough: place [M] of every object (-1 in none), names and means [G], numbers of
    objects [G] and of images with some [G]; `numbers` of the groups among all of their grouping.
    """

    place: np.ndarray
    names: tuple[str, ...]
    middles: Floats
    objects: Floats
    images: Floats
    by_image: bool
    untestable: str = ""
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrendSample:
    """The slopes of a pair's gain by seed, and the gains by group: values [S, G], replicates [R, S, G]."""

    slopes: Measured
    groups: Groups
    gains: Floats
    replicates: Floats
    untestable: str = ""

    def of_group(self, number: int) -> Measured:
        """The gain in one group."""
        return Measured(self.gains[:, number], self.replicates[:, :, number], self.groups.images[number] - 1)

    @property
    def detail(self) -> str:
        """The gain of every group, and where it goes against the slope; "" where there is none."""
        if self.untestable:
            return ""
        mean = 100 * self.gains.mean(axis=0)
        told = ", ".join(f"{n} {signed(g)}" for n, g in zip(self.groups.names, mean, strict=True))
        steps = np.diff(mean) * np.sign(self.slopes.mean)
        against = [self.groups.names[k + 1] for k in np.flatnonzero(steps < 0)]
        return f"{told}; against the slope at {', '.join(against)}" if against else told


def unit_of_gain(factor: str, *, relative: bool = False) -> str:
    """What a gain over the groups of a factor is counted in."""
    return "per cent of the baseline's AP" if relative or factor in BY_IMAGE else "points"


def column_of(factor: str) -> str:
    """The column of the object table that a factor's groups are cut by."""
    fixed = BY_IMAGE.get(factor) or BY_OBJECT.get(factor)
    return fixed.column if fixed else factor


def grouping_of(cell: CellData, factor: str, least: int = LEAST_OBJECTS) -> Grouping | None:
    """The groups that a factor cuts a test set into; None if it is not there or never varies. Equal groups are as many
    as hold `least` objects.
    """
    if not cell.describes(column_of(factor)):
        return None
    fixed = BY_IMAGE.get(factor) or BY_OBJECT.get(factor)
    if fixed:
        return fixed
    values = cell.objects[factor].to_numpy(np.float64)[~cell.overlaps.left_out]
    return quantile_grouping(factor, values, max(1, min(FACTOR_BINS, len(values) // least)))


def groups_of(cell: CellData, factor: str, least: int = LEAST_OBJECTS) -> Groups:
    """The groups of a factor with `least` objects on a cell's test set, which are those of every cell on it."""
    told = cell.keep(("groups", factor, least), lambda: astuple(_groups_of(cell, factor, least)))
    return Groups(*told)


def _groups_of(cell: CellData, factor: str, least: int) -> Groups:
    grouping, by_image = grouping_of(cell, factor, least), factor in BY_IMAGE
    if grouping is None:
        missing = not cell.describes(column_of(factor))
        reason = f"the objects have no {factor}" if missing else f"{factor} is the same for all objects"
        return _no_groups(by_image, len(cell.objects), reason)
    values = cell.objects[grouping.column].to_numpy(float)
    counted = ~cell.overlaps.left_out
    place = np.where(counted, grouping.place(cell.objects[grouping.column]), -1)
    image = cell.overlaps.object_image
    sizes = np.bincount(place[place >= 0], minlength=len(grouping.names))
    images = np.array([len(np.unique(image[place == k])) for k in range(len(grouping.names))])
    kept = np.flatnonzero((sizes >= least) & (images >= GROUP_IMAGES))
    renamed = np.full(len(grouping.names) + 1, -1)
    renamed[kept] = np.arange(len(kept))
    place = renamed[place]
    middles = np.array([values[place == k].mean() for k in range(len(kept))])
    names = tuple(grouping.names[k] for k in kept)
    held = (sizes[kept].astype(float), images[kept].astype(float))
    why = _too_few(factor, names, middles, least)
    return Groups(place, names, middles, *held, by_image, why, tuple(kept.tolist()))


def _no_groups(by_image: bool, objects: int, reason: str) -> Groups:
    return Groups(np.full(objects, -1), (), np.zeros(0), np.zeros(0), np.zeros(0), by_image, reason)


def _too_few(factor: str, names: tuple[str, ...], middles: Floats, least: int) -> str:
    """Why no trend can be seen over these groups; "" where one can."""
    if len(names) < 2:
        which = f"only {names[0]}" if names else "none"
        enough = f"{least} objects in {GROUP_IMAGES} images"
        return f"of the groups of {factor} {which} holds {enough}, and a trend needs two"
    wide = float(middles.max() - middles.min())
    if wide < LEAST_RANGE:
        return f"the outer groups of {factor} lie {wide:.2f} apart, less than {LEAST_RANGE}"
    return ""


def group_curve(cell: CellData, factor: str, least: int = LEAST_OBJECTS) -> Floats:
    """AP [1 + R, G] of every group, on all images and on their replicates."""
    return cell.keep(("group curve", factor, least), partial(_group_curve, cell, factor, least))


def _group_curve(cell: CellData, factor: str, least: int) -> Floats:
    groups, grouping = groups_of(cell, factor, least), grouping_of(cell, factor, least)
    if grouping is None or not groups.names:
        return np.zeros((1 + measures.REPLICATES, 0))
    curves = (image_curves if groups.by_image else object_curves)(grouping, cell)[..., 0]
    return np.stack([curves[number] for number in groups.numbers], axis=-1)


def trend_sample(pair: Pair, factor: str, *, relative: bool = False) -> TrendSample:
    """How the gain of a pair changes over the groups of a factor.

    Each seed's slope is fitted with the groups' numbers of images as weights: the AP of a small group is a rough one.
    Gains by groups of images are shares of the baseline's AP there, others are if they are asked for as `relative`.
    """
    seeds, least = pair.seeds, pair.least_objects
    groups = (
        groups_of(pair.ours[seeds[0]], factor, least) if seeds else _no_groups(factor in BY_IMAGE, 0, pair.untestable)
    )
    if pair.untestable or groups.untestable:
        return _without(groups, len(seeds), pair.untestable or groups.untestable)
    ours, theirs = (
        np.stack([group_curve(c[s], factor, least) for s in seeds], axis=1) for c in (pair.ours, pair.theirs)
    )
    gained = ours - theirs  # [1 + R, S, G]
    if relative or groups.by_image:
        base = theirs.mean(axis=1, keepdims=True)
        low = [n for n, b in zip(groups.names, base[0, 0], strict=True) if b < LEAST_BASE]
        if low:
            told = f"below {100 * LEAST_BASE:g} points in {', '.join(low)}, and shares of so little say nothing"
            return _without(groups, len(seeds), f"the baseline's AP is {told}")
        gained = shares(gained, base)
    if not np.isfinite(gained).all():
        return _without(groups, len(seeds), "the baseline finds nothing in a group")
    return TrendSample(slopes_of(gained, groups.middles, groups.images), groups, gained[0], gained[1:])


def _without(groups: Groups, seeds: int, reason: str) -> TrendSample:
    nothing = np.full((1, seeds, len(groups.names)), np.nan)
    return TrendSample(Measured(np.full(seeds, np.nan)), groups, nothing[0], nothing, reason)


def slopes_of(gained: Floats, middles: Floats, images: Floats) -> Measured:
    """The slope of every seed's gain over the groups' means [G], weighted by their numbers of images [G], from gains
    [1 + R, S, G] of which the first row is that of all images as they are, the others are replicates.

    Weights that were estimated from the replicates would favour groups that vary little by chance, and make false
    trends. How well images tell the slope's variance is what each group's images tell of its part (Satterthwaite).
    """
    slopes = slope(middles, gained, images)
    share = images / images.sum()
    pull = share * (middles - share @ middles)
    parts = pull**2 * gained[1:].mean(axis=1).var(axis=0)
    known = (parts**2 / (images - 1)).sum()
    return Measured(slopes[0], slopes[1:], float(parts.sum() ** 2 / known) if known > 0 else float("inf"))


def trends(pairs: list[Pair], factor: str, *, relative: bool = False) -> list[tuple[Pair, TrendSample, Estimate]]:
    """The trend of every pair's gain over a factor, seed variances moderated over the pairs of a data set."""
    samples = [trend_sample(p, factor, relative=relative) for p in pairs]
    found = over_pairs(pairs, [s.slopes for s in samples])
    return list(zip(pairs, samples, found, strict=True))
