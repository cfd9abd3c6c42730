"""Assigners as a user might bring them, each with something wrong; test_failures.py names their lines."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch

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
class Nothing(MaxIoU):
    """Gives no object any prior."""

    def assign(self, priors: Priors, predictions: Predictions, objects: Objects, context: Context) -> Assignment:
        found = super().assign(priors, predictions, objects, context)
        found.cls.index.fill_(BACKGROUND)
        found.box.index.fill_(BACKGROUND)
        return found
