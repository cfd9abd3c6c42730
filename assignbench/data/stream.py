"""Batches in an order that depends on nothing but the seed: not on workers, not on where training was resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from assignbench.config.data import DataSpec
from assignbench.config.images import HW, AspectSize, network_hw, padded_hw
from assignbench.contract import Objects
from assignbench.data.ahead import made_ahead
from assignbench.data.augment import Change, Colour, changed, cut, drawn, moved, whole
from assignbench.data.base import DetectionData, Floats, ImageRecord, Ints, Pixels
from assignbench.data.lessons import taught

# What the random numbers of a seed and an epoch are for, each with a key of its own.
ORDER, CHANGE, SIZE = 1, 2, 3


@dataclass(frozen=True)
class Late:
    """What is still to be done to the images of a batch, which are originals of these (height, width), padded: the
    change of each, which makes all of them [3, *shape], and what fills them up.
    """

    changes: tuple[Change, ...]
    originals: tuple[HW, ...]
    shape: HW
    fill: Colour


@dataclass(frozen=True)
class Batch:
    """images [B, 3, H, W] uint8 · objects in network px · image_ids · object_ids [B, G] · scale [B, 2] to original.

    On its way to a GPU a batch gets images there, and `placed`, the same objects there. One that has something `late`
    is made on the device from original images (on_device.py).

    `sizes` are (height, width) of the images inside the batch's padding, `extents` the same with the padding that an
    image has even alone. `scale` is (x, y).

    `whole_ids` are the images of the whole batch where these are a process's share of it, else none.
    """

    images: Tensor
    objects: Objects
    image_ids: tuple[int, ...]
    object_ids: Tensor
    epoch: int
    scale: Tensor
    sizes: tuple[HW, ...]
    extents: tuple[HW, ...]
    placed: Objects | None = None
    late: Late | None = None
    whole_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Example:
    """One image on its way into a batch: pixels [H, W, 3], boxes [N, 4] in `hw`, labels [N] and ids [N].

    The pixels are those of the original where the `change` is still to be made, else [*hw, 3].
    """

    image_id: int
    pixels: Pixels
    hw: HW
    boxes: Floats
    labels: Ints
    ids: Ints
    scale: tuple[float, float]
    change: Change | None = None


@dataclass(frozen=True)
class TrainLoader:
    """Batches of training step `start` on. An epoch is floor(images / step) steps over one permutation.

    A step takes `parts` batches, one after the other, which hold the same images as one batch that is as large as all.

    What of `spec` counts is the size, the pixels, the augmentation and which objects are taught. Images without any
    object stay in. `workers` threads prepare batches ahead (0: none); the batches are the same for any number. With
    `late` their images are left to be changed where they are learnt from.

    `share` is (rank, of how many processes): each gets the images of every batch that are its own, padded as the whole
    batch is, and all of them together get the batch that one process has. There must be an image for each.
    """

    data: DetectionData
    spec: DataSpec
    batch: int
    seed: int
    workers: int = 0
    parts: int = 1
    late: bool = False
    share: tuple[int, int] = (0, 1)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one epoch, at least 1."""
        return max(1, len(self.data) // (self.batch * self.parts))

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start to stop - 1."""
        first, end = start * self.parts, stop * self.parts
        return made_ahead(lambda number: self.load(*divmod(number, self.parts)), range(first, end), self.workers)

    def load(self, step: int, part: int = 0) -> Batch:
        """One batch of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch, ORDER]).permutation(len(self.data))
        first = (place * self.parts + part) * self.batch
        chosen = [int(order[(first + i) % len(order)]) for i in range(self.batch)]
        rank, ranks = self.share
        mine = chosen[rank * self.batch // ranks : (rank + 1) * self.batch // ranks]
        batch = _collate([self._example(index, epoch) for index in mine], epoch, self.spec, self._whole(chosen, epoch))
        return batch if ranks == 1 else replace(batch, whole_ids=tuple(self.data.images[i].id for i in chosen))

    def _whole(self, chosen: Sequence[int], epoch: int) -> HW:
        """(height, width) of the batch of these images with its padding, which no image has to be read for."""
        return _largest([padded_hw(self.spec.size, self._network_hw(self.data.images[i], epoch)) for i in chosen])

    def _network_hw(self, record: ImageRecord, epoch: int) -> HW:
        return network_hw(self.spec.size, record.width, record.height, self._short(record, epoch))

    def _example(self, index: int, epoch: int) -> _Example:
        record, spec = self.data.images[index], self.spec
        rng = np.random.default_rng([self.seed, epoch, CHANGE, index])
        hw = self._network_hw(record, epoch)
        usable = taught(record, spec)
        pixels = self.data.read(index)
        change = drawn(spec.augment, pixels.shape[1], pixels.shape[0], record.boxes[usable], hw, rng)
        boxes, kept = moved(record.boxes[usable], (pixels.shape[1], pixels.shape[0]), change)
        out = pixels if self.late else changed(pixels, change, spec.pixels.fill)
        example = _example(record, out, hw, boxes[kept], np.flatnonzero(usable)[kept])
        return replace(example, change=change) if self.late else example

    def _short(self, record: ImageRecord, epoch: int) -> int | None:
        """The short side of an image in an epoch; it depends on seed, epoch and the image's id alone."""
        size = self.spec.size
        if not isinstance(size, AspectSize) or len(size.choices) == 1:
            return None
        rng = np.random.default_rng([self.seed, epoch, SIZE, record.id % 2**64])
        return size.choices[int(rng.integers(len(size.choices)))]


def evaluation_batches(
    data: DetectionData, indices: Sequence[int], spec: DataSpec, batch: int, *, training: bool = False
) -> Iterator[Batch]:
    """The images at these places as batches of at most so many: `evaluation_batch` of each of `evaluation_parts`."""
    for places in evaluation_parts(data, indices, spec, batch):
        yield evaluation_batch(data, places, spec, training=training)


def evaluation_batch(data: DetectionData, places: Sequence[int], spec: DataSpec, *, training: bool = False) -> Batch:
    """Unchanged images at the size of the test split, with all their objects but crowd regions.

    With `training` they have the objects that training has.
    """
    return _collate([_unchanged(data, index, spec, training=training) for index in places], 0, spec)


def evaluation_parts(data: DetectionData, indices: Sequence[int], spec: DataSpec, batch: int) -> list[list[int]]:
    """Places of the images of each batch of the test split, for which no image is read.

    The images of a batch have the same sides with their own padding, so that what a network makes of an image does not
    depend on the others; among these they are in order.
    """
    alike: dict[HW, list[int]] = {}
    for index in indices:
        record = data.images[index]
        hw = network_hw(spec.size, record.width, record.height)
        alike.setdefault(padded_hw(spec.size, hw), []).append(index)
    return [members[start : start + batch] for members in alike.values() for start in range(0, len(members), batch)]


def _unchanged(data: DetectionData, index: int, spec: DataSpec, *, training: bool) -> _Example:
    record = data.images[index]
    usable = taught(record, spec) if training else ~record.crowd
    hw = network_hw(spec.size, record.width, record.height)
    still = Change(whole(record.width, record.height), hw)
    pixels = cut(data.read(index), still.region, hw, spec.pixels.fill)
    boxes, _ = moved(record.boxes[usable], (record.width, record.height), still)
    return _example(record, pixels, hw, boxes, np.flatnonzero(usable))


def _example(record: ImageRecord, pixels: Pixels, hw: HW, boxes: Floats, chosen: Ints) -> _Example:
    scale = (record.width / hw[1], record.height / hw[0])
    return _Example(record.id, pixels, hw, boxes, record.labels[chosen], record.ids[chosen], scale)


def _collate(examples: list[_Example], epoch: int, spec: DataSpec, least: HW = (0, 0)) -> Batch:
    """The examples as a batch, padded to the largest of them and to the `least` (height, width)."""
    objects = Objects.pad([torch.tensor(e.boxes) for e in examples], [torch.tensor(e.labels) for e in examples])
    ids = torch.full(objects.labels.shape, -1, dtype=torch.long)
    for i, example in enumerate(examples):
        ids[i, : len(example.ids)] = torch.tensor(example.ids)
    sizes = tuple(e.hw for e in examples)
    extents = tuple(padded_hw(spec.size, hw) for hw in sizes)
    shape = _largest([least, *extents])
    changes = tuple(e.change for e in examples if e.change is not None)
    late = Late(changes, tuple((e.pixels.shape[0], e.pixels.shape[1]) for e in examples), shape, spec.pixels.fill)
    canvas = _largest(late.originals) if changes else shape
    images = torch.stack([_padded(e.pixels, canvas, spec.pixels.fill) for e in examples])
    scale = torch.tensor([e.scale for e in examples])
    made = Batch(images, objects, tuple(e.image_id for e in examples), ids, epoch, scale, sizes, extents)
    return replace(made, late=late) if changes else made


def _largest(sizes: Sequence[HW]) -> HW:
    """The size that all of these fit into."""
    return max(h for h, _ in sizes), max(w for _, w in sizes)


def _padded(pixels: Pixels, whole: HW, fill: Colour) -> Tensor:
    """The image [3, *whole], what lies to the right of it and below filled up."""
    height, width = pixels.shape[:2]
    if (height, width) == whole:
        return torch.tensor(pixels).permute(2, 0, 1)
    canvas = np.empty((*whole, 3), np.uint8)
    canvas[:] = fill
    canvas[:height, :width] = pixels
    return torch.from_numpy(canvas).permute(2, 0, 1)
