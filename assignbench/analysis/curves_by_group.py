"""AP of every group of objects or images on all images and on their replicates.

It is what parts of a test split and trends over a factor are made of, worked out once for both.
"""

from __future__ import annotations

import numpy as np

from assignbench.analysis import measures
from assignbench.analysis.base import CellData
from assignbench.measure.groups import Grouping
from assignbench.measure.matching import Bools, Floats, Ints
from assignbench.measure.precision import average_precision, average_precisions, mean_over_classes

NUMBERS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}  # of COCO's ten thresholds


def counted_place(grouping: Grouping, cell: CellData) -> Ints:
    """The group [M] of every object, -1 for those that do not count."""
    return np.where(cell.overlaps.left_out, -1, grouping.place(cell.objects[grouping.column]))


def member_of(grouping: Grouping, number: int, cell: CellData) -> Floats:
    """1 for the images [I] of a group, else 0."""
    member = np.zeros(len(cell.overlaps.images))
    member[cell.overlaps.object_image[counted_place(grouping, cell) == number]] = 1.0
    return member


def object_curves(grouping: Grouping, cell: CellData) -> Floats:
    """AP, AP50 and AP75 [G, 1 + R, 3] of every group of objects, on all images and on their replicates."""

    def compute() -> Floats:
        place = grouping.place(cell.objects[grouping.column])
        inside = [place == number for number in range(len(grouping.names))]
        found = average_precisions(cell.matches, inside, measures.with_draws(cell))
        return np.stack([numbers_of(cell, one, part) for one, part in zip(found, inside, strict=True)])

    return cell.keep(("curves by object", grouping), compute)


def image_curves(grouping: Grouping, cell: CellData) -> Floats:
    """The same of every group of images."""

    def compute() -> Floats:
        weights, found = measures.with_draws(cell), []
        for number in range(len(grouping.names)):
            member = member_of(grouping, number, cell)
            part = member[cell.overlaps.object_image] > 0
            found.append(numbers_of(cell, average_precision(cell.matches, weights * member), part))
        return np.stack(found)

    return cell.keep(("curves by image", grouping), compute)


def area_curve(area: tuple[float, float], cell: CellData) -> Floats:
    """The same [1 + R, 3] of a range of areas."""

    def compute() -> Floats:
        return numbers_of(cell, measures.drawn_precision(cell, area), measures.matches_of(cell, area).counted)

    return cell.keep(("curve by area", area), compute)


def numbers_of(cell: CellData, found: Floats, inside: Bools) -> Floats:
    """AP, AP50 and AP75 [1 + R, 3] of the objects `inside` [M], from theirs [1 + R, T, C] on all images and on their
    replicates.
    """
    whole = np.concatenate([found[:1], measures.as_drawn(cell, found[1:], inside)])
    return np.stack([mean_over_classes(whole[:, t]) for t in NUMBERS.values()], axis=1)
