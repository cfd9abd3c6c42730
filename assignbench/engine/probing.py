"""The probe tables: what a detector and a method make of a fixed set of images, never augmented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from assignbench.boxes import areas, pairwise_iou
from assignbench.contract import IGNORE, Assignment, Context, Objects, Predictions, one_or_each
from assignbench.data.stream import Batch
from assignbench.detectors import Detector
from assignbench.errors import BrokenRule
from assignbench.losses import giou_loss, sigmoid_focal
from assignbench.methods import Built
from assignbench.priors import Priors
from assignbench.select import labels_of

KEPT_PER_OBJECT = 80  # priors per probe object and visit
LEAST_IOU = 0.1  # of the priors that are kept without being assigned


@dataclass(frozen=True)
class Look:
    """What a detector and a method make of a batch, all of it on the CPU but the assignment; `seen` are the objects as
    the detector is taught them.
    """

    batch: Batch
    seen: Objects
    priors: Priors
    predictions: Predictions
    assignment: Assignment
    context: Context

    def index(self, task: str) -> Tensor:
        """Which object each prior learns for a task, [B, A]."""
        return {"cls": self.assignment.cls, "box": self.assignment.box}[task].index.cpu()


def looks(detector: Detector, method: Built, batches: Sequence[Batch], context: Context) -> Iterator[Look]:
    """Every batch as detector and method see it now; the detector is left in training mode at the end.

    Raises InputError where the method's assigner returns what is no assignment.
    """
    detector.eval()
    device = detector.device
    for batch in batches:
        here = replace(context, image_ids=batch.image_ids, image_hw=one_or_each(batch.sizes))
        seen = detector.taught(batch.objects)
        with torch.no_grad():
            priors, predictions = detector(batch.images.to(device), batch.extents)
            try:
                assignment = method.assigner(priors, predictions, seen.to(device), here)
            except BrokenRule as problem:
                raise problem.of(method.method.name) from None
        yield Look(batch, seen, priors.to("cpu"), predictions.to("cpu"), assignment, here)
    detector.train()


def probe_tables(
    detector: Detector, method: Built, batches: Sequence[Batch], context: Context
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables: for every object its priors with scores, IoUs, labels, weights and losses; and the objects themselves
    with what the assigner told of each (its diagnostics).

    An object's priors are those assigned to it, those that the rule judged for it, and, up to `KEPT_PER_OBJECT`, those
    that overlap it most now. The detector is left in training mode.
    """
    rows, objects = [], []
    for look in looks(detector, method, batches, context):
        rows.append(_prior_rows(look))
        objects.append(_object_rows(look))
    return pd.concat(rows, ignore_index=True), pd.concat(objects, ignore_index=True)


def _prior_rows(look: Look) -> pd.DataFrame:
    batch, seen, priors, predictions = look.batch, look.seen, look.priors, look.predictions
    assignment = look.assignment
    cls, box = look.index("cls"), look.index("box")
    now = pairwise_iou(seen.boxes, predictions.boxes)  # [B, G, A]
    places = torch.arange(seen.labels.shape[1])[None, :, None]
    mine_cls, mine_box = cls[:, None, :] == places, box[:, None, :] == places
    told = {name: value.cpu() for name, value in assignment.prior_diagnostics.items()}
    judged = told["candidate"][:, None, :] == places if "candidate" in told else torch.zeros_like(mine_cls)
    interest = (now + 4 * (mine_cls | mine_box) + 2 * judged) * seen.valid.unsqueeze(-1)
    best = interest.topk(min(KEPT_PER_OBJECT, len(priors)), dim=-1)
    b, g, k = torch.nonzero(best.values > LEAST_IOU, as_tuple=True)
    a = best.indices[b, g, k]
    label = seen.labels[b, g]
    logit = predictions.cls_logits[b, a, label]
    own_label = labels_of(cls, seen.labels) if seen.labels.shape[1] else torch.zeros_like(cls)
    target = ((cls[b, a] >= 0) & (own_label[b, a] == label)).float()
    quality = torch.full_like(logit, float("nan"))
    if predictions.quality_logits is not None:
        quality = predictions.quality_logits[b, a].sigmoid()
    prior_boxes, boxes = priors.boxes[a], predictions.boxes[b, a]
    overlap = pairwise_iou(seen.boxes[b, g].unsqueeze(1), prior_boxes.unsqueeze(1)).flatten()
    table = {
        **_where(batch, look.context, b, g),
        "prior": a.numpy(),
        "level": priors.levels()[a].numpy(),
        "cls_score": logit.sigmoid().numpy(),
        "quality_score": quality.numpy(),
        "iou": now[b, g, a].numpy(),
        "prior_iou": overlap.numpy(),
        "positive_cls": mine_cls[b, g, a].numpy(),
        "positive_box": mine_box[b, g, a].numpy(),
        "ignored_cls": (cls[b, a] == IGNORE).numpy(),
        "weight_cls": assignment.cls.weight.cpu()[b, a].numpy(),
        "weight_box": assignment.box.weight.cpu()[b, a].numpy(),
        "loss_cls": sigmoid_focal(logit, target).numpy(),
        "loss_box": giou_loss(boxes, seen.boxes[b, g]).numpy(),
        **({"candidate": judged[b, g, a].numpy()} if "candidate" in told else {}),
        **({"rule_loss": told["loss"][b, a].float().numpy()} if "loss" in told else {}),
        **{f"prior_{n}": prior_boxes[:, i].numpy() for i, n in enumerate(("x1", "y1", "x2", "y2"))},
        **{n: boxes[:, i].numpy() for i, n in enumerate(("x1", "y1", "x2", "y2"))},
    }
    return pd.DataFrame(table)


def _object_rows(look: Look) -> pd.DataFrame:
    """One row per object: its box, a column for every diagnostics tensor [B, G] and N columns for one of [B, G, N].

    Whole matrices [B, G, A] are left out; a column per prior would tell nobody anything.
    """
    batch, priors = look.batch, len(look.priors)
    b, g = torch.nonzero(batch.objects.valid, as_tuple=True)
    boxes = batch.objects.boxes[b, g]
    table = {**_where(batch, look.context, b, g), "network_area": areas(boxes).numpy()}
    table |= {n: boxes[:, i].numpy() for i, n in enumerate(("x1", "y1", "x2", "y2"))}
    for name, value in look.assignment.diagnostics.items():
        if value.ndim == 1:  # of the image
            continue
        held = value.detach().cpu()[b, g]
        if held.ndim == 1:
            table[name] = held.numpy()
        elif held.shape[1] != priors:
            table |= {f"{name}_{i}": held[:, i].numpy() for i in range(held.shape[1])}
    return pd.DataFrame(table)


def _where(batch: Batch, context: Context, b: Tensor, g: Tensor) -> dict[str, object]:
    """When it was, and which objects: the columns that both tables share. Labels are the true ones."""
    return {
        "epoch": np.full(len(b), context.epoch),
        "progress": np.full(len(b), context.progress),
        "image_id": np.asarray(batch.image_ids)[b.numpy()],
        "object_id": batch.object_ids[b, g].numpy(),
        "object": g.numpy(),
        "label": batch.objects.labels[b, g].numpy(),
    }
