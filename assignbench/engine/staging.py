"""Batches on their way to the device, while it still works on those before them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from assignbench.data.on_device import Recipe, made, recipe_of
from assignbench.data.stream import Batch, TrainLoader
from assignbench.sending import sent

AHEAD = 2  # batches that are on the device before they are asked for
MOST_THREADS = 8


def staged(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches; for a GPU with images and objects that lie there, once for all learners that see them. What is
    late of the images is made there.

    They are copied from pinned memory on a stream of their own: neither the host nor what the device does waits.
    """
    if device.type != "cuda":
        yield from batches
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: deque[tuple[Batch, torch.cuda.Event]] = deque()
    for batch in batches:
        ahead.append(_sent(batch, device, copying))
        if len(ahead) > AHEAD:
            yield _arrived(*ahead.popleft())
    while ahead:
        yield _arrived(*ahead.popleft())


def prepared(loader: TrainLoader, device: torch.device) -> TrainLoader:
    """The loader for a GPU: images are changed there, and threads read ahead also where nobody says how many."""
    if device.type != "cuda":
        return loader
    return replace(loader, late=True, workers=readers(loader.workers, device))


def readers(workers: int, device: torch.device) -> int:
    """How many threads read ahead for a device of whom `workers` are asked for; for a GPU some also where none is."""
    return workers or (min(MOST_THREADS, os.cpu_count() or 1) if device.type == "cuda" else 0)


def _sent(batch: Batch, device: torch.device, copying: torch.cuda.Stream) -> tuple[Batch, torch.cuda.Event]:
    """The batch with copies on the device, and what tells that they are there."""
    with torch.cuda.stream(copying):
        images = sent(batch.images, device)
        if batch.late is not None:
            images = made(images, _sent_recipe(recipe_of(batch.late), device))
        there = replace(batch, images=images, placed=batch.objects.to(device), late=None)
        return there, copying.record_event()


def _sent_recipe(recipe: Recipe, device: torch.device) -> Recipe:
    return replace(recipe, places=sent(recipe.places, device), colours=sent(recipe.colours, device))


def _arrived(batch: Batch, there: torch.cuda.Event) -> Batch:
    """The batch for the stream that works on it, which waits for the copies itself."""
    working = torch.cuda.current_stream(batch.images.device)
    working.wait_event(there)
    tensors = [batch.images]
    if batch.placed is not None:
        tensors += [batch.placed.boxes, batch.placed.labels, batch.placed.valid]
    for tensor in tensors:
        tensor.record_stream(working)  # its memory is not given to another copy before this stream is done with it
    return batch
