"""Which objects are shown where nobody names some."""

from __future__ import annotations

import numpy as np
import pytest

from assignbench.measure.boxes import areas, aspect_ratio
from assignbench.measure.crowding import crowdedness
from assignbench.measure.telling import KINDS, LEAST_SIDE, telling_objects

# A square, one of the same place in another image, two over each other, a bar, a speck and a large one.
BOXES = np.array(
    [[0, 0, 20, 20], [40, 0, 60, 20], [45, 0, 65, 20], [0, 50, 90, 60], [90, 90, 94, 94], [100, 0, 200, 100.0]]
)
IMAGES = np.zeros(6, int)


def test_each_kind_takes_what_it_is_called_after() -> None:
    assert telling_objects(IMAGES, BOXES) == {"crowded": 1, "slender": 3, "small": 0, "large": 5}


def test_nothing_is_crowded_where_nothing_overlaps() -> None:
    assert telling_objects(np.arange(6), BOXES) == {"slender": 3, "small": 0, "large": 5}


def test_a_speck_is_shown_where_there_is_nothing_else() -> None:
    assert telling_objects(np.zeros(1, int), BOXES[4:5]) == {"slender": 0}
    assert telling_objects(np.zeros(0, int), np.zeros((0, 4))) == {}


@pytest.mark.parametrize("seed", range(20))
def test_the_kinds_are_different_objects_and_the_extremes_of_what_is_left(seed) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    corner = rng.uniform(0, 80, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 40, (count, 2))], axis=1)
    images = rng.integers(0, 3, count)
    found = telling_objects(images, boxes)
    assert len(set(found.values())) == len(found) and list(found) == [k for k in KINDS if k in found]
    readable = (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(axis=1)
    left = readable if readable.any() else np.ones(count, bool)
    measures = {"crowded": crowdedness(images, boxes), "slender": aspect_ratio(boxes), "small": -areas(boxes)}
    for kind, row in found.items():
        assert left[row] and measures.get(kind, areas(boxes))[row] == measures.get(kind, areas(boxes))[left].max()
        left = left & (np.arange(count) != row)
