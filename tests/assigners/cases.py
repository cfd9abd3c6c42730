"""Reading golden files into the contract's types."""

import json
from dataclasses import replace

import numpy as np
import torch

from assignbench.contract import Assignment, Objects, Predictions
from assignbench.priors import Priors

Case = np.lib.npyio.NpzFile


def read(path) -> Case:
    return np.load(path, allow_pickle=False)


def meta(case: Case) -> dict:
    return json.loads(str(case["meta_json"]))


def tensor(case: Case, name: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(case[name]))


def objects_of(case: Case) -> Objects:
    return Objects(tensor(case, "gt_boxes").float(), tensor(case, "gt_labels").long())


def strides_of(case: Case) -> torch.Tensor:
    counts = [int(n) for n in case["level_counts"]]
    return torch.cat([torch.full((n,), float(s)) for n, s in zip(counts, case["strides"], strict=True)])


def anchors_of(case: Case, name: str = "anchors") -> Priors:
    sizes = tuple(int(n) for n in case["level_counts"])
    return Priors(tensor(case, name), strides=strides_of(case), level_sizes=sizes, kind="anchor")


def points_of(case: Case) -> Priors:
    points = tensor(case, "points")
    sizes = tuple(int(n) for n in case["level_counts"])
    stride = strides_of(case) if sum(sizes) == len(points) else torch.ones(len(points))
    boxes = torch.cat([points - stride[:, None], points + stride[:, None]], dim=1)
    return Priors(boxes, points, stride, sizes, 1, "point")


def predictions_of(case: Case, *, grad: bool = False, quality: str = "") -> Predictions:
    logits = tensor(case, "cls_logits") if "cls_logits" in case else torch.zeros(len(case["pred_boxes"]), 1)
    deltas = tensor(case, "deltas") if "deltas" in case else torch.zeros(len(logits), 4)
    boxes = tensor(case, "pred_boxes") if "pred_boxes" in case else None
    score = tensor(case, quality) if quality else None
    if grad:
        logits, deltas = logits.requires_grad_(), deltas.requires_grad_()
    if boxes is None:
        from assignbench.coders import DeltaCoder

        boxes = DeltaCoder().decode(anchors_of(case), deltas)
    return Predictions(logits, deltas, boxes, score, "iou" if quality else None)


def with_bags(assignment: Assignment, bag: np.ndarray) -> Assignment:
    """The assignment with the bags [G, K] of a file in place of its own."""
    prior = torch.from_numpy(bag)[None]
    everyone = torch.ones_like(prior, dtype=torch.bool)
    return replace(assignment, bags=replace(assignment.bags, prior=prior, mask=everyone, weight=prior.float()))
