"""AP of every group of objects or images on all images and on their bootstrap replicates.

It is what parts of a test split and trends over a factor are made of, worked out once for both.
"""

from __future__ import annotations

import numpy as np

from assignbench.analysis import measures
from assignbench.analysis.base import CellData
from assignbench.measure.groups import Grouping
from assignbench.measure.matching import Floats, Ints
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
    """AP, AP50 and AP75 [G, 1 + R, 3] of every group of objects, on all images and on their bootstrap replicates."""

    def compute() -> Floats:
        place = grouping.place(cell.objects[grouping.column])
        inside = [place == number for number in range(len(grouping.names))]
        found = average_precisions(cell.matches, inside, measures.with_draws(cell))
        return np.stack([numbers_of(one) for one in found])

    return cell.keep(("curves by object", grouping), compute)


def image_curves(grouping: Grouping, cell: CellData) -> Floats:
    """The same of every group of images."""

    def compute() -> Floats:
        weights = measures.with_draws(cell)
        numbers = range(len(grouping.names))
        return np.stack(
            [
                numbers_of(average_precision(cell.matches, weights * member_of(grouping, number, cell)))
                for number in numbers
            ]
        )

    return cell.keep(("curves by image", grouping), compute)


def area_curve(area: tuple[float, float], cell: CellData) -> Floats:
    """The same [1 + R, 3] of a range of areas."""
    return cell.keep(("curve by area", area), lambda: numbers_of(measures.drawn_precision(cell, area)))


def numbers_of(found: Floats) -> Floats:
    """AP, AP50 and AP75 [R, 3] from [R, T, C]."""
    return np.stack([mean_over_classes(found[:, t]) for t in NUMBERS.values()], axis=1)
