"""Which priors the images of a padded batch have: the host knows it from their sizes, and waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Cells = tuple[tuple[int, int], ...]  # rows and columns of every level


@dataclass(frozen=True)
class Alike:
    """Images of a batch that have the same priors: their rising places in it, the rising places `keep` [K] of these
    priors among the batch's, and how many of them each level has.
    """

    images: tuple[int, ...]
    keep: Tensor
    level_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Padding:
    """The mask `valid` [B, A] of a batch, and the images that it masks alike, by the first of each."""

    valid: Tensor
    groups: tuple[Alike, ...]


def padding_of(whole: Cells, images: Sequence[Cells], per_location: int, device: torch.device) -> Padding:
    """The padding of images of these cells in a batch of the `whole` ones, made on the device of sizes alone."""
    alike: dict[Cells, list[int]] = {}
    for place, own in enumerate(images):
        alike.setdefault(own, []).append(place)
    levels = [rows * columns * per_location for rows, columns in whole]
    every = torch.split(torch.arange(sum(levels), device=device), levels)
    masks: dict[int, Tensor] = {}
    groups = []
    for own, places in alike.items():
        inside = [
            level.view(*size, per_location)[:rows, :columns].flatten()
            for level, size, (rows, columns) in zip(every, whole, own, strict=True)
        ]
        keep = torch.cat(inside)
        mask = torch.zeros(sum(levels), dtype=torch.bool, device=device).index_fill_(0, keep, True)
        masks |= dict.fromkeys(places, mask)
        groups.append(Alike(tuple(places), keep, tuple(len(level) for level in inside)))
    return Padding(torch.stack([masks[place] for place in range(len(images))]), tuple(groups))


def groups_of(valid: Tensor, level_sizes: Sequence[int]) -> tuple[Alike, ...]:
    """The images that a mask [B, A] masks alike. The host has to see the mask, for which a GPU is waited for."""
    masks = valid.cpu()
    alike: dict[bytes, list[int]] = {}
    for place, mask in enumerate(masks):
        alike.setdefault(mask.numpy().tobytes(), []).append(place)
    groups = []
    for places in alike.values():
        mask = masks[places[0]]
        sizes = tuple(int(level.sum()) for level in torch.split(mask, list(level_sizes)))
        groups.append(Alike(tuple(places), mask.nonzero().squeeze(1).to(valid.device), sizes))
    return tuple(groups)


def of_images(values: Tensor, places: Sequence[int]) -> Tensor:
    """What values [B, ...] say of the images at these places, which no device has to be told."""
    first = places[0]
    if list(places) == list(range(first, first + len(places))):
        return values[first : first + len(places)]
    rows = values.unbind()
    return torch.stack([rows[place] for place in places])
