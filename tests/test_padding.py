"""The padding of a batch: what is made of sizes on the host is what a look at the mask finds."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from assignbench.detectors.base import unpadded
from assignbench.padding import of_images
from assignbench.priors import Priors, anchor_grid, point_grid

STRIDES = (8, 16, 32, 64)


def drawn(seed: int) -> tuple[Priors, list[tuple[int, int]]]:
    """Priors of a batch, and the sizes of its images, some of which share one and some of which fill the batch."""
    made = random.Random(seed)
    sizes = [(made.randint(9, 200), made.randint(9, 200)) for _ in range(made.randint(1, 4))]
    sizes = [made.choice(sizes) for _ in range(made.randint(1, 9))]
    whole = (max(h for h, _ in sizes) + 30 * (seed % 2), max(w for _, w in sizes))
    points = point_grid(whole, STRIDES, per_location=1 + seed % 3)
    priors = points if seed % 4 < 2 else anchor_grid(whole, STRIDES, (2.0, 3.0), (1.0, 2.0))
    return replace(priors, valid=torch.zeros(0)), [whole, *sizes]


@pytest.mark.parametrize("seed", range(24))
def test_what_sizes_say_is_what_the_mask_shows(seed) -> None:
    priors, (whole, *sizes) = drawn(seed)
    padding = unpadded(priors, STRIDES, sizes, whole)
    # A location counts if its cell begins inside of the image.
    corner = priors.points - priors.strides.unsqueeze(1) / 2
    inside = [(corner[:, 0] < width) & (corner[:, 1] < height) for height, width in sizes]
    assert torch.equal(padding.valid, torch.stack(inside))
    known = replace(priors, valid=padding.valid, padding=padding).groups()
    looked = replace(priors, valid=padding.valid.clone(), padding=padding).groups()  # not the mask that the padding has
    assert known is padding.groups and len(known) == len(looked)
    for one, other in zip(known, looked, strict=True):
        assert (one.images, one.level_sizes) == (other.images, other.level_sizes)
        assert torch.equal(one.keep, other.keep)
    assert sorted(i for one in known for i in one.images) == list(range(len(sizes)))


def test_priors_without_a_mask_have_no_groups() -> None:
    with pytest.raises(ValueError, match="those of every image"):
        point_grid((32, 32), STRIDES).groups()


@pytest.mark.parametrize("places", [[0], [2, 3], [1, 2, 3, 4], [3, 0, 4], [4, 3, 2, 1, 0]])
def test_the_images_at_places_are_those_of_an_index(places) -> None:
    values = torch.arange(30).view(5, 3, 2)
    assert torch.equal(of_images(values, places), values[torch.tensor(places)])
