"""Batches in an order that depends on nothing but the seed: not on workers, not on where training was resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assignbench.config.data import Augment
from assignbench.contract import Objects
from assignbench.data.augment import augment, cut
from assignbench.data.base import DetectionData, ImageRecord


@dataclass(frozen=True)
class Batch:
    """images [B, 3, S, S] uint8 · objects in network px · image_ids · object_ids [B, G] · scale [B, 2] to original."""

    images: Tensor
    objects: Objects
    image_ids: tuple[int, ...]
    object_ids: Tensor
    epoch: int
    scale: Tensor


@dataclass(frozen=True)
class TrainLoader:
    """Batches of training step `start` on. An epoch is floor(images / step) steps over one permutation.

    A step takes `parts` batches, one after the other, which hold the same images as one batch that is as large as all.

    `use_difficult` keeps objects marked difficult; crowd regions never train. Images without any object stay in.
    `workers` threads prepare batches ahead (0: none); the batches are the same for any number.
    """

    data: DetectionData
    size: int
    batch: int
    seed: int
    augment: Augment
    use_difficult: bool = True
    workers: int = 0
    parts: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one epoch, at least 1."""
        return max(1, len(self.data) // (self.batch * self.parts))

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start to stop - 1."""
        first, end = start * self.parts, stop * self.parts
        if self.workers <= 0:
            for number in range(first, end):
                yield self.load(*divmod(number, self.parts))
            return
        with ThreadPoolExecutor(self.workers) as pool:
            ahead: deque[Future[Batch]] = deque()
            for number in range(first, end):
                while len(ahead) <= 2 * self.workers and number + len(ahead) < end:
                    ahead.append(pool.submit(self.load, *divmod(number + len(ahead), self.parts)))
                yield ahead.popleft().result()

    def load(self, step: int, part: int = 0) -> Batch:
        """One batch of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch, 1]).permutation(len(self.data))
        first = (place * self.parts + part) * self.batch
        chosen = [int(order[(first + i) % len(order)]) for i in range(self.batch)]
        parts = [self._example(index, epoch) for index in chosen]
        return _collate([p[0] for p in parts], [p[1] for p in parts], [p[2] for p in parts], epoch)

    def _example(
        self, index: int, epoch: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], tuple[int, float, float]]:
        record = self.data.images[index]
        rng = np.random.default_rng([self.seed, epoch, 2, index])
        usable = ~record.crowd if self.use_difficult else ~(record.crowd | record.difficult)
        pixels, boxes, kept = augment(self.augment, self.data.read(index), record.boxes[usable], self.size, rng)
        return _example(record, pixels, boxes, np.flatnonzero(usable), kept, self.size)


def evaluation_batches(
    data: DetectionData, indices: list[int], size: int, batch: int, *, use_difficult: bool = True
) -> Iterator[Batch]:
    """Unchanged images, resized to size x size, with all their objects but crowd regions, in order."""
    for start in range(0, len(indices), batch):
        parts = []
        for index in indices[start : start + batch]:
            record = data.images[index]
            usable = ~record.crowd if use_difficult else ~(record.crowd | record.difficult)
            region = (0.0, 0.0, float(record.width), float(record.height))
            pixels, boxes, _ = cut(data.read(index), record.boxes[usable], region, size)
            everything = np.ones(len(boxes), np.bool_)
            parts.append(_example(record, pixels, boxes, np.flatnonzero(usable), everything, size))
        yield _collate([p[0] for p in parts], [p[1] for p in parts], [p[2] for p in parts], 0)


def _example(
    record: ImageRecord,
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    boxes: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    usable: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    size: int,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], tuple[int, float, float]]:
    image = torch.tensor(pixels).permute(2, 0, 1)
    chosen = usable[kept]
    parts = (torch.tensor(boxes[kept]), torch.tensor(record.labels[chosen]), torch.tensor(record.ids[chosen]))
    return image, parts, (record.id, record.width / size, record.height / size)


def _collate(
    images: list[Tensor], parts: list[tuple[Tensor, Tensor, Tensor]], about: list[tuple[int, float, float]], epoch: int
) -> Batch:
    objects = Objects.pad([p[0] for p in parts], [p[1] for p in parts])
    ids = torch.full(objects.labels.shape, -1, dtype=torch.long)
    for i, part in enumerate(parts):
        ids[i, : len(part[2])] = part[2]
    scale = torch.tensor([[a[1], a[2]] for a in about])
    return Batch(torch.stack(images), objects, tuple(a[0] for a in about), ids, epoch, scale)
