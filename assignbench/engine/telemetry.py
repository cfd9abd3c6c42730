"""What is written down while a cell trains: positives per object, and the probe images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from assignbench.boxes import areas, pairwise_iou
from assignbench.contract import IGNORE, Assignment, Context, Objects, Predictions
from assignbench.data.stream import Batch
from assignbench.detectors import Detector
from assignbench.losses import giou_loss, sigmoid_focal
from assignbench.methods import Built
from assignbench.priors import Priors
from assignbench.records import write_table
from assignbench.select import labels_of

KEPT_PER_OBJECT = 80  # priors per probe object and visit


def seen_by(detector: Detector, objects: Objects) -> Objects:
    """The objects as a detector is taught them: of one class, if it is class-agnostic."""
    return objects.class_agnostic() if detector.class_agnostic else objects


def positives_per_object(index: Tensor, width: int) -> Tensor:
    """How many priors name each object [B, G]."""
    counts = torch.zeros(index.shape[0], max(width, 1), dtype=torch.long, device=index.device)
    return counts.scatter_add_(1, index.clamp(min=0), (index >= 0).long())


def assignment_rows(step: int, batch: Batch, priors: Priors, assignment: Assignment) -> pd.DataFrame:
    """One row per object of a batch: positives of both tasks, shared ones, mean weights, positives per level."""
    valid = batch.objects.valid
    width = valid.shape[1]
    cls, box = assignment.cls.index.cpu(), assignment.box.index.cpu()
    number, place = torch.nonzero(valid, as_tuple=True)
    counts = {
        "positives_cls": positives_per_object(cls, width),
        "positives_box": positives_per_object(box, width),
        "positives_both": positives_per_object(torch.where(cls == box, cls, -1), width),
    }
    start = 0
    for level, size in enumerate(priors.level_sizes):
        counts[f"level{level}_cls"] = positives_per_object(cls[:, start : start + size], width)
        start += size
    weight = torch.zeros(cls.shape[0], max(width, 1))
    weight.scatter_add_(1, cls.clamp(min=0), assignment.cls.weight.cpu().float() * (cls >= 0))
    table = {
        "step": np.full(len(number), step),
        "epoch": np.full(len(number), batch.epoch),
        "image_id": np.asarray(batch.image_ids)[number.numpy()],
        "object_id": batch.object_ids[number, place].numpy(),
        "label": batch.objects.labels[number, place].numpy(),
        "area": areas(batch.objects.boxes)[number, place].numpy(),
        **{k: v[number, place].numpy() for k, v in counts.items()},
        "weight_cls": (weight / counts["positives_cls"].clamp(min=1))[number, place].numpy(),
    }
    return pd.DataFrame(table)


def visit_probes(detector: Detector, method: Built, batches: list[Batch], context: Context, path: Path) -> None:
    """Writes the probe table of the probe images."""
    write_table(path, probe_table(detector, method, batches, context))


def probe_table(detector: Detector, method: Built, batches: list[Batch], context: Context) -> pd.DataFrame:
    """For every object of the images, its priors with scores, IoUs, labels, weights and losses.

    An object's priors are those assigned to it and, up to `KEPT_PER_OBJECT`, those that overlap it most now.
    """
    detector.eval()
    device = detector.get_buffer("mean").device
    parts = []
    with torch.no_grad():
        for batch in batches:
            priors, predictions = detector(batch.images.to(device))
            batch = replace(batch, objects=seen_by(detector, batch.objects))
            assignment = method.assigner(priors, predictions, batch.objects.to(device), context)
            parts.append(_probe_rows(batch, priors.to("cpu"), predictions.to("cpu"), assignment, context))
    detector.train()
    return pd.concat(parts, ignore_index=True)


def _probe_rows(
    batch: Batch, priors: Priors, predictions: Predictions, assignment: Assignment, context: Context
) -> pd.DataFrame:
    objects = batch.objects
    cls, box = assignment.cls.index.cpu(), assignment.box.index.cpu()
    now = pairwise_iou(objects.boxes, predictions.boxes)  # [B, G, A]
    rows = torch.arange(objects.labels.shape[1])[None, :, None]
    mine_cls, mine_box = cls[:, None, :] == rows, box[:, None, :] == rows
    interest = (now + 2 * (mine_cls | mine_box)) * objects.valid.unsqueeze(-1)
    best = interest.topk(min(KEPT_PER_OBJECT, len(priors)), dim=-1)
    keep = best.values > 0.1
    b, g, k = torch.nonzero(keep, as_tuple=True)
    a = best.indices[b, g, k]
    label = objects.labels[b, g]
    logit = predictions.cls_logits[b, a, label]
    own_label = labels_of(cls, objects.labels) if objects.labels.shape[1] else torch.zeros_like(cls)
    target = ((cls[b, a] >= 0) & (own_label[b, a] == label)).float()
    level = torch.bucketize(a, torch.tensor(priors.level_starts()), right=True) - 1
    prior_boxes = priors.boxes[a]
    quality = torch.full_like(logit, float("nan"))
    if predictions.quality_logits is not None:
        quality = predictions.quality_logits[b, a].sigmoid()
    overlap = pairwise_iou(objects.boxes[b, g].unsqueeze(1), prior_boxes.unsqueeze(1)).flatten()
    table = {
        "epoch": np.full(len(a), context.epoch),
        "progress": np.full(len(a), context.progress),
        "image_id": np.asarray(batch.image_ids)[b.numpy()],
        "object_id": batch.object_ids[b, g].numpy(),
        "object": g.numpy(),
        "label": label.numpy(),
        "prior": a.numpy(),
        "level": level.numpy(),
        "score": logit.sigmoid().numpy(),
        "quality": quality.numpy(),
        "iou": now[b, g, a].numpy(),
        "prior_iou": overlap.numpy(),
        "positive_cls": mine_cls[b, g, a].numpy(),
        "positive_box": mine_box[b, g, a].numpy(),
        "ignored_cls": (cls[b, a] == IGNORE).numpy(),
        "weight_cls": assignment.cls.weight.cpu()[b, a].numpy(),
        "weight_box": assignment.box.weight.cpu()[b, a].numpy(),
        "loss_cls": sigmoid_focal(logit, target).numpy(),
        "loss_box": giou_loss(predictions.boxes[b, a], objects.boxes[b, g]).numpy(),
        **{f"prior_{n}": prior_boxes[:, i].numpy() for i, n in enumerate(("x1", "y1", "x2", "y2"))},
        **{n: predictions.boxes[b, a][:, i].numpy() for i, n in enumerate(("x1", "y1", "x2", "y2"))},
    }
    return pd.DataFrame(table)
