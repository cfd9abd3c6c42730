"""Batches in an order that depends on nothing but the seed: not on workers, not on where training was resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assignbench.config.data import DataSpec
from assignbench.config.images import HW, AspectSize, network_hw, padded_hw
from assignbench.contract import Objects
from assignbench.data.augment import Colour, augment, cut
from assignbench.data.base import DetectionData, Floats, ImageRecord, Ints, Pixels
from assignbench.data.lessons import taught

# What the random numbers of a seed and an epoch are for, each with a key of its own.
ORDER, CHANGE, SIZE = 1, 2, 3


@dataclass(frozen=True)
class Batch:
    """images [B, 3, H, W] uint8 · objects in network px · image_ids · object_ids [B, G] · scale [B, 2] to original.

    `sizes` are (height, width) of the images inside the batch's padding, `extents` the same with the padding that an
    image has even alone. `scale` is (x, y).
    """

    images: Tensor
    objects: Objects
    image_ids: tuple[int, ...]
    object_ids: Tensor
    epoch: int
    scale: Tensor
    sizes: tuple[HW, ...]
    extents: tuple[HW, ...]


@dataclass(frozen=True)
class _Example:
    """One image on its way into a batch: pixels [H, W, 3], boxes [N, 4] in them, labels [N] and ids [N]."""

    image_id: int
    pixels: Pixels
    boxes: Floats
    labels: Ints
    ids: Ints
    scale: tuple[float, float]


@dataclass(frozen=True)
class TrainLoader:
    """Batches of training step `start` on. An epoch is floor(images / batch) steps over one permutation.

    What of `spec` counts is the size, the pixels, the augmentation and which objects are taught. Images without any
    object stay in. `workers` threads prepare batches ahead (0: none); the batches are the same for any number.
    """

    data: DetectionData
    spec: DataSpec
    batch: int
    seed: int
    workers: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one epoch, at least 1."""
        return max(1, len(self.data) // self.batch)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start to stop - 1."""
        if self.workers <= 0:
            for step in range(start, stop):
                yield self.load(step)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[Future[Batch]] = deque()
            for step in range(start, stop):
                while len(ahead) <= 2 * self.workers and step + len(ahead) < stop:
                    ahead.append(pool.submit(self.load, step + len(ahead)))
                yield ahead.popleft().result()

    def load(self, step: int) -> Batch:
        """The batch of one step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch, ORDER]).permutation(len(self.data))
        chosen = [int(order[(place * self.batch + i) % len(order)]) for i in range(self.batch)]
        return _collate([self._example(index, epoch) for index in chosen], epoch, self.spec)

    def _example(self, index: int, epoch: int) -> _Example:
        record, spec = self.data.images[index], self.spec
        rng = np.random.default_rng([self.seed, epoch, CHANGE, index])
        hw = network_hw(spec.size, record.width, record.height, self._short(record, epoch))
        usable = taught(record, spec)
        pixels = self.data.read(index)
        out, boxes, kept = augment(spec.augment, pixels, record.boxes[usable], hw, rng, spec.pixels.fill)
        return _example(record, out, boxes[kept], np.flatnonzero(usable)[kept])

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
    """Unchanged images at the size of the test split, with all their objects but crowd regions.

    With `training` they have the objects that training has. The images of a batch have the same sides with their own
    padding, so that what a network makes of an image does not depend on the others; among these they are in order.
    """
    alike: dict[HW, list[int]] = {}
    for index in indices:
        record = data.images[index]
        hw = network_hw(spec.size, record.width, record.height)
        alike.setdefault(padded_hw(spec.size, hw), []).append(index)
    for members in alike.values():
        for start in range(0, len(members), batch):
            examples = [_unchanged(data, index, spec, training=training) for index in members[start : start + batch]]
            yield _collate(examples, 0, spec)


def _unchanged(data: DetectionData, index: int, spec: DataSpec, *, training: bool) -> _Example:
    record = data.images[index]
    usable = taught(record, spec) if training else ~record.crowd
    region = (0.0, 0.0, float(record.width), float(record.height))
    hw = network_hw(spec.size, record.width, record.height)
    pixels, boxes, _ = cut(data.read(index), record.boxes[usable], region, hw, spec.pixels.fill)
    return _example(record, pixels, boxes, np.flatnonzero(usable))


def _example(record: ImageRecord, pixels: Pixels, boxes: Floats, chosen: Ints) -> _Example:
    height, width = pixels.shape[:2]
    scale = (record.width / width, record.height / height)
    return _Example(record.id, pixels, boxes, record.labels[chosen], record.ids[chosen], scale)


def _collate(examples: list[_Example], epoch: int, spec: DataSpec) -> Batch:
    objects = Objects.pad([torch.tensor(e.boxes) for e in examples], [torch.tensor(e.labels) for e in examples])
    ids = torch.full(objects.labels.shape, -1, dtype=torch.long)
    for i, example in enumerate(examples):
        ids[i, : len(example.ids)] = torch.tensor(example.ids)
    sizes = tuple((e.pixels.shape[0], e.pixels.shape[1]) for e in examples)
    extents = tuple(padded_hw(spec.size, hw) for hw in sizes)
    whole = (max(h for h, _ in extents), max(w for _, w in extents))
    images = torch.stack([_padded(e.pixels, whole, spec.pixels.fill) for e in examples])
    scale = torch.tensor([e.scale for e in examples])
    return Batch(images, objects, tuple(e.image_id for e in examples), ids, epoch, scale, sizes, extents)


def _padded(pixels: Pixels, whole: HW, fill: Colour) -> Tensor:
    """The image [3, *whole], what lies to the right of it and below filled up."""
    height, width = pixels.shape[:2]
    if (height, width) == whole:
        return torch.tensor(pixels).permute(2, 0, 1)
    canvas = np.empty((*whole, 3), np.uint8)
    canvas[:] = fill
    canvas[:height, :width] = pixels
    return torch.from_numpy(canvas).permute(2, 0, 1)
