"""The probe images of a cell, and which of their objects and of the test images are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from assignbench.config.data import DataSpec
from assignbench.config.pictured import Pictured
from assignbench.data.base import DetectionData
from assignbench.data.lessons import taught
from assignbench.data.stream import Batch, evaluation_batches
from assignbench.errors import InputError, nearest
from assignbench.measure.telling import telling_objects

BATCH = 8  # probe images at a time
EXAMPLES = 6  # test images that are kept as pictures, besides those that the study names
NAMED = "named"
Why = Mapping[int, str]  # by annotation id why an object is shown


@dataclass(frozen=True)
class ProbeSet:
    """What is probed: batches of training images, those among them that only `pictures` names, the objects to show."""

    batches: Sequence[Batch]
    extra: frozenset[int] = frozenset()
    shown: Why = field(default_factory=dict)


def find_image(data: DetectionData, wanted: str) -> int | None:
    """The place of an image by its file name, its stem or its id; None where the split has no such image."""
    for index, image in enumerate(data.images):
        if wanted in (image.name, Path(image.name).stem, str(image.id)):
            return index
    return None


def probe_set(data: DetectionData, spec: DataSpec, count: int, pictures: Sequence[Pictured] = ()) -> ProbeSet:
    """`count` probe images, spread evenly over the training images that have objects, and those that are named.

    Named objects are shown; where none is, a crowded, a slender, a small and a large one of the probe images.
    """
    usable = np.flatnonzero(data.counts()).tolist()
    count = min(count, len(usable))
    chosen = [usable[int(i)] for i in np.linspace(0, len(usable) - 1, count)] if count else []
    named = [(place, p) for p in pictures if (place := find_image(data, p.image)) is not None]
    extra = [i for i in dict.fromkeys(place for place, _ in named) if i not in chosen]
    batches = list(evaluation_batches(data, [*chosen, *extra], spec, BATCH, training=True))
    shown = {_named(data, spec, place, p): NAMED for place, p in named} or _telling(batches)
    return ProbeSet(batches, frozenset(data.images[i].id for i in extra), shown)


def check_named(train: DetectionData, test: DetectionData, spec: DataSpec, pictures: Sequence[Pictured]) -> None:
    """Raises InputError for a picture that neither split has, and for an object that its image lacks.

    An image of the training split is probed, so one of its objects has to be taught; one that is of the test split
    alone is kept as it is, and may have none where the study names none.
    """
    for wanted in pictures:
        place, kept = find_image(train, wanted.image), find_image(test, wanted.image)
        if place is not None:
            _named(train, spec, place, wanted)
        elif kept is None:
            known = [i.name for data in (train, test) for i in data.images]
            raise InputError(
                f"pictures: no image '{wanted.image}' in {train.name}, {train.split} or {test.split}"
                f"{nearest(wanted.image, known)}; name one by file name or id, and its data set by `data` where the "
                "study has several"
            )
        elif wanted.object is not None:
            _named(test, spec, kept, wanted)


def example_images(data: DetectionData, pictures: Sequence[Pictured] = ()) -> list[int]:
    """The test images that are kept as pictures: the named ones, those of telling objects, then the first ones."""
    named = [i for p in pictures if (i := find_image(data, p.image)) is not None]
    kept = [~r.crowd & ~r.difficult for r in data.images]
    owners = np.repeat(np.arange(len(data)), [int(k.sum()) for k in kept])
    boxes = [r.boxes[k] for r, k in zip(data.images, kept, strict=True)]
    telling = telling_objects(owners, np.concatenate(boxes)) if len(owners) else {}
    others = [*(int(owners[row]) for row in telling.values()), *range(min(EXAMPLES, len(data)))]
    others = [i for i in dict.fromkeys(others) if i not in named][:EXAMPLES]
    return [*dict.fromkeys(named), *others]


def _named(data: DetectionData, spec: DataSpec, place: int, wanted: Pictured) -> int:
    """The annotation id of a named object; the largest of its image where none is named. Raises InputError."""
    record = data.images[place]
    rows = np.flatnonzero(taught(record, spec))
    count = len(rows)
    if (wanted.object is not None and wanted.object >= count) or not count:
        remedy = f"they are counted from 0, the last one is {count - 1}" if count else "name another image"
        raise InputError(
            f"pictures: image '{wanted.image}' ({data.split}) has {count} object{'s' * (count != 1)} that training "
            f"uses, so there is no object {wanted.object or 0}; {remedy}"
        )
    sides = record.boxes[rows, 2:] - record.boxes[rows, :2]
    number = int(sides.prod(axis=1).argmax()) if wanted.object is None else wanted.object
    return int(record.ids[rows[number]])


def _telling(batches: Sequence[Batch]) -> dict[int, str]:
    """Of the probe images one object of every kind that a picture should show."""
    images, boxes, ids = [], [], []
    for batch in batches:
        valid = batch.objects.valid
        images += [np.full(int(n), i) for i, n in zip(batch.image_ids, valid.sum(dim=1), strict=True)]
        boxes.append(batch.objects.boxes[valid].numpy())
        ids += batch.object_ids[valid].tolist()
    if not ids:
        return {}
    found = telling_objects(np.concatenate(images), np.concatenate(boxes))
    return {ids[row]: kind for kind, row in found.items()}
