"""Assigners as a user might bring them, each with something wrong; test_failures.py names their lines."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from assignbench.assigners.max_iou import MaxIoU
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions
from assignbench.priors import Priors


@dataclass(frozen=True)
class Raises(MaxIoU):
    """Raises in its third step."""

    error: str = "value"

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        if context.progress >= 0.25:
            fail(self.error)
        return super().assign(priors, predictions, objects, context)


def fail(error: str) -> None:
    """What can happen in a rule."""
    if error == "memory":
        raise MemoryError
    if error == "torch memory":
        torch.empty(2**60)
    if error == "cuda memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if error == "kernel":
        torch.zeros(4).put_(torch.tensor([1]), torch.tensor([1.0]))
    if error == "exit":
        sys.exit(0)
    if error == "disk":
        raise OSError(28, "No space left on device", "/somewhere/file")
    raise ValueError("three is not four")


@dataclass(frozen=True)
class Deserts(MaxIoU):
    """Raises in its third step, but not in the process of rank 0."""

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        if context.progress >= 0.25 and dist.is_initialized() and dist.get_rank() > 0:
            fail("value")
        return super().assign(priors, predictions, objects, context)


@dataclass(frozen=True)
class Spoils(MaxIoU):
    """Makes the losses of a training step NaN; with a `marker`, a file that is written then, only the first time."""

    at: float = 0.0  # progress
    marker: str = ""

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        found = super().assign(priors, predictions, objects, context)
        training = len(context.image_ids) == 4  # the probe images are fewer
        if training and abs(context.progress - self.at) < 1e-6 and not (self.marker and Path(self.marker).exists()):
            found.cls.weight.fill_(float("nan"))
            if self.marker:
                Path(self.marker).touch()
        return found


@dataclass(frozen=True)
class Nothing(MaxIoU):
    """Gives no object any prior."""

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        found = super().assign(priors, predictions, objects, context)
        found.cls.index.fill_(BACKGROUND)
        found.box.index.fill_(BACKGROUND)
        return found


@dataclass(frozen=True)
class Waits(MaxIoU):
    """Makes the host wait for a device in one of several ways."""

    how: str = "number"

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        found = super().assign(priors, predictions, objects, context)
        index, boxes = found.cls.index, priors.boxes
        if self.how == "number":
            index.fill_(int(index.max()))
        if self.how == "places":
            index.view(-1)[torch.nonzero(index.view(-1) < 0)] = BACKGROUND
        if self.how == "mask":
            index[index < 0] = index.view(-1)[:1]
        if self.how == "host":
            index.copy_(index.cpu())
        if self.how == "copy":
            index += torch.zeros(index.shape, dtype=torch.long).to(boxes.device)
        if self.how == "made":
            index += torch.tensor([0] * len(index), device=boxes.device)[:, None]
        return found
