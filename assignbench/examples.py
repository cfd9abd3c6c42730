"""A case small enough to look at, for the examples of the docstrings and for notebooks: nothing is trained."""

from __future__ import annotations

import torch

from assignbench.contract import Objects, Predictions
from assignbench.priors import Priors


def three_anchors() -> tuple[Priors, Predictions, Objects]:
    """One object of class 1 of two, three anchors: one lies well, one's prediction lies best, one is far away.

    >>> priors, predictions, objects = three_anchors()
    >>> priors.boxes.tolist()
    [[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [50.0, 50.0, 60.0, 60.0]]
    >>> objects.boxes.tolist(), predictions.cls_logits[0, :, 1].tolist()
    ([[[1.0, 0.0, 11.0, 10.0]]], [0.0, 2.0, -4.0])
    """
    anchors = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [50, 50, 60, 60]])
    priors = Priors(anchors, strides=torch.full((3,), 8.0), kind="anchor")
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 9], [50, 50, 60, 60]])
    logits = torch.tensor([[-4.0, 0], [-4, 2], [-4, -4]])
    predictions = Predictions(logits, torch.zeros(3, 4), boxes, torch.tensor([0.0, 1, -2]), "iou")
    return priors, predictions, Objects(torch.tensor([[1.0, 0, 11, 10]]), torch.tensor([1]))
