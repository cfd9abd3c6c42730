"""What pictures need beside the probe tables: all priors of an object's level, and what the box layer's bias says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from assignbench.boxes import pairwise_iou
from assignbench.coders import coder_for
from assignbench.contract import Context
from assignbench.data.stream import Batch
from assignbench.detectors import Detector
from assignbench.engine.probing import Look, looks
from assignbench.methods import Built

MOST_PRIORS = 20_000  # of a grid; of a larger one those nearest to the object


def grid_table(
    detector: Detector, method: Built, batches: Sequence[Batch], context: Context, shown: Collection[int]
) -> pd.DataFrame:
    """Scores and IoU of every prior of the level on which an object is learned, for the objects of these ids.

    The level is the one with most of its positives for classification; without any, that of the prediction which
    overlaps it most. At most `MOST_PRIORS` priors of an object, the nearest. The detector is left in training mode.
    """
    ids = torch.tensor(sorted(shown), dtype=torch.long)
    chosen = [batch for batch in batches if torch.isin(batch.object_ids, ids).any()]
    rows = []
    for look in looks(detector, method, chosen, context):
        here = torch.isin(look.batch.object_ids, ids) & look.batch.objects.valid
        rows += [_grid(look, b, g) for b, g in torch.nonzero(here).tolist()]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _grid(look: Look, b: int, g: int) -> pd.DataFrame:
    priors, predictions, batch = look.priors, look.predictions, look.batch
    mine = {task: look.index(task)[b] == g for task in ("cls", "box")}
    iou = pairwise_iou(look.seen.boxes[b, g : g + 1], predictions.boxes[b])[0]
    level = _level(mine["cls"], iou, priors.levels())
    height, width = batch.sizes[b]
    inside = (priors.points < torch.tensor([width, height])).all(dim=-1)  # the others lie in the padding
    where = torch.nonzero((priors.levels() == level) & inside).squeeze(1)
    box = batch.objects.boxes[b, g]
    away = (priors.points[where] - (box[:2] + box[2:]) / 2).norm(dim=-1)
    where = where[away.sort(stable=True).indices[:MOST_PRIORS]].sort().values
    quality = torch.full_like(iou, float("nan"))
    if predictions.quality_logits is not None:
        quality = predictions.quality_logits[b].sigmoid()
    count = len(where)
    table = {
        "image_id": np.full(count, batch.image_ids[b]),
        "object_id": np.full(count, int(batch.object_ids[b, g])),
        "prior": where,
        "level": np.full(count, level),
        "x": priors.points[where, 0],
        "y": priors.points[where, 1],
        "stride": priors.strides[where],
        "cls_score": predictions.cls_logits[b, where, look.seen.labels[b, g]].sigmoid(),
        "quality_score": quality[where],
        "iou": iou[where],
        **{f"positive_{task}": of[where] for task, of in mine.items()},
    }
    return pd.DataFrame({name: np.asarray(values) for name, values in table.items()})


def _level(positive: Tensor, iou: Tensor, levels: Tensor) -> int:
    """Where an object is learned, from its positives [A], the IoU [A] of all predictions and the levels [A]."""
    counts = torch.bincount(levels[positive], minlength=1)
    return int(counts.argmax()) if counts.any() else int(levels[iou.argmax()])


def shape_table(detector: Detector, image_hw: tuple[int, int], context: Context) -> pd.DataFrame:
    """The box that each prior of a location predicts where all features are zero: what the bias alone says, by level.

    In strides, around the prior's own point. Empty for a head whose last layers are not one bias per prior.
    """
    priors = detector.priors(image_hw, detector.device)
    rows = list(_shapes(detector, priors.anchors_per_location, len(priors.level_sizes)))
    if not rows:
        return pd.DataFrame()
    starts, coder = priors.level_starts(), coder_for(priors)
    tables = []
    for level, deltas in rows:
        count, size = len(deltas), priors.level_sizes[level]
        first = starts[level] + size // count // 2 * count  # in the middle, where no image border cuts an anchor
        keep = torch.arange(first, first + count, device=deltas.device)
        there = priors.take(keep, (count,))
        at, stride = there.points.repeat(1, 2), there.strides.unsqueeze(1)
        boxes = ((coder.decode(there, deltas.float()) - at) / stride).cpu().numpy()
        table = {"progress": np.full(count, context.progress), "level": np.full(count, level)}
        table |= {"anchor": np.arange(count), "stride": there.strides.cpu().numpy()}
        tables.append(pd.DataFrame(table | {n: boxes[:, i] for i, n in enumerate(("x1", "y1", "x2", "y2"))}))
    return pd.concat(tables, ignore_index=True)


def _shapes(detector: Detector, count: int, levels: int) -> Iterator[tuple[int, Tensor]]:
    """Per level the deltas [count, 4] that the bias of its last box layer gives."""
    layers, scales = list(detector.head.box_layers), getattr(detector.head, "scales", None)
    if len(layers) not in (1, levels):
        return
    for level in range(levels):
        bias = layers[level if len(layers) > 1 else 0].bias
        if bias is None or bias.numel() != 4 * count:
            return
        deltas = bias.detach().view(count, 4)
        yield level, deltas if scales is None else deltas * scales[level].detach()
