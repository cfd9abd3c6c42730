"""Groups of objects and the AP of each: the one group rule of the package.

Balanced (the default): objects outside the group are left out (neither missed nor matched at a cost), detections that
are matched with them too, and an unmatched detection counts with the group's share of the objects of its class as its
weight. Detections and objects are matched once, whatever the group. Groups that differ in size alone then have the
same AP, and a method that only makes fewer false positives everywhere gains the same everywhere.

All: unmatched detections count fully in every group, and detections prefer the objects of the group (COCO's rule for
ignored objects). Small groups get low APs by it, and gains "grow" with rarity; it is kept for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from assignbench.measure.matching import Bools, Floats, Ints, Matches, Overlaps, match
from assignbench.measure.precision import average_precision

GroupRule = Literal["balanced", "all"]
CROWD_EDGES, CROWD_NAMES = (0.0, 0.2, 0.5), ("sparse", "medium", "dense")


@dataclass(frozen=True)
class Grouping:
    """Half-open bins [edge, next edge) of a column of the object table, the last one open."""

    column: str
    edges: tuple[float, ...]
    names: tuple[str, ...]

    def place(self, values: pd.Series) -> Ints:
        """The bin of every value (-1 below the first edge). Values are rounded to 1e-6: a float32 half is a half."""
        rounded = values.to_numpy(np.float64).round(6)
        return np.asarray(np.searchsorted(np.asarray(self.edges), rounded, side="right") - 1)


def named(column: str, edges: Sequence[float], unit: str = "") -> Grouping:
    """Bins that are called after their edges."""
    pairs = list(pairwise(edges))
    names = [f"{a:g}-{b:g}{unit}" for a, b in pairs] + [f"{edges[-1]:g}{unit} and more"]
    return Grouping(column, tuple(edges), tuple(names))


def counted(column: str, edges: Sequence[int]) -> Grouping:
    """Bins of whole numbers, called after what they hold: 1-3, 4-7, ..."""
    names = [f"{a}-{b - 1}" if b - 1 > a else f"{a}" for a, b in pairwise(edges)] + [f"{edges[-1]} and more"]
    return Grouping(column, tuple(float(e) for e in edges), tuple(names))


CROWDING = Grouping("crowdedness", CROWD_EDGES, CROWD_NAMES)
IMAGE_CROWDING = Grouping("image_crowdedness", CROWD_EDGES, CROWD_NAMES)
ELONGATION = named("aspect_ratio", (1.0, 1.5, 2.5, 4.0))
PER_IMAGE = counted("objects_in_image", (1, 4, 8, 16, 32))


def quantile_grouping(column: str, values: npt.NDArray[np.float64], bins: int) -> Grouping | None:
    """Up to `bins` groups of equal size; None if the values never vary.

    A value that many objects share (crowdedness 0) makes one group of its own.
    """
    known = values[np.isfinite(values)].round(6)
    if not len(known):
        return None
    edges = np.unique(np.quantile(known, np.arange(bins) / bins))
    if len(edges) == 1 and known.max() > edges[0]:
        edges = np.r_[edges, known[known > edges[0]].min()]  # most share the smallest value
    if len(edges) < 2:
        return None
    if (known == known.round()).all():
        return counted(column, np.unique(np.ceil(edges).astype(int)).tolist())  # the same bins
    names = [f"{a:.3g}-{b:.3g}" for a, b in pairwise(edges)] + [f"{edges[-1]:.3g} and more"]
    return Grouping(column, tuple(edges.tolist()), tuple(names))


def group_precision(
    overlaps: Overlaps,
    inside: Bools,
    *,
    rule: GroupRule = "balanced",
    weights: Floats | None = None,
    matches: Matches | None = None,
) -> Floats:
    """AP [R, T, C] of the objects `inside` [M] a group; weights [R, I] of the images (one row of ones by default).

    `matches` are the overlaps' own, where they are known already: the balanced rule matches once for all groups.
    """
    return _RULES[rule](overlaps, inside, weights, matches)


def _balanced(overlaps: Overlaps, inside: Bools, weights: Floats | None, matches: Matches | None) -> Floats:
    return average_precision(match(overlaps) if matches is None else matches, weights, group=inside)


def _all(overlaps: Overlaps, inside: Bools, weights: Floats | None, matches: Matches | None) -> Floats:
    return average_precision(match(overlaps, outside=~inside), weights)


_RULES: dict[GroupRule, Callable[[Overlaps, Bools, Floats | None, Matches | None], Floats]] = {
    "balanced": _balanced,
    "all": _all,
}
