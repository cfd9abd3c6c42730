"""Which predictions compete for each test object: what is recorded of them, and what is only counted.

A detector at 800 px has more than a thousand predictions around an object. J_k is kept whole, since the divergence
needs all of it; of the others those that lie best, and those that are ranked best.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from assignbench.assigners.candidates import divergence_candidates
from assignbench.boxes import pairwise_iou
from assignbench.config.method import MethodConfig
from assignbench.contract import Objects, Predictions
from assignbench.data.stream import Batch
from assignbench.engine.scored import falling
from assignbench.engine.scoring import ranking_scores
from assignbench.priors import Priors

CANDIDATE_IOU = 0.1  # predictions below this IoU with an object are not recorded as its candidates
CLOSE_IOU = 0.5  # the divergence's other rule takes the predictions from this IoU on
PAIRS = 16_000_000  # objects x priors whose overlaps are held at once


def candidate_tables(
    predictions: Predictions, method: MethodConfig, batch: Batch, objects: Objects, priors: Priors, most: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of candidates.parquet, and per object (object_id) how many predictions were left out of them.

    Of an object (`objects` are the batch's as the detector is judged on them), every prediction of its set J_k is
    recorded, and of those with an IoU of 0.1 or more the `most` that overlap it best and the `most` with the best
    ranking score. `left_out` counts the others, `close_left_out` those of them with an IoU of 0.5 or more.
    """
    tables = [_of_image(predictions, method, batch, objects, priors, i, most) for i in range(len(batch.image_ids))]
    rows, counts = zip(*tables, strict=True)
    return pd.concat(rows, ignore_index=True), pd.concat(counts, ignore_index=True)


def _of_image(
    predictions: Predictions,
    method: MethodConfig,
    batch: Batch,
    objects: Objects,
    priors: Priors,
    image: int,
    most: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of one image."""
    valid = objects.valid[image]
    mine = Objects(objects.boxes[image][valid], objects.labels[image][valid])
    g, a, iou, in_jk = _pairs(priors, predictions.boxes[image].float(), mine)
    labels = mine.labels[0]
    ranking, cls, quality = ranking_scores(
        predictions.cls_logits[image, a, labels[g]],
        None if predictions.quality_logits is None else predictions.quality_logits[image, a],
        method.ranking,
    )
    near = iou >= CANDIDATE_IOU
    among = _places(g, iou, near).minimum(_places(g, ranking, near)) < most
    kept = in_jk | (near & among)
    ids = batch.object_ids[image][batch.objects.valid[image]].numpy()
    columns = {
        "prior": a,
        "level": priors.levels()[a].to(torch.int8),
        "in_jk": in_jk,
        "cls_score": cls,
        "quality_score": quality,
        "ranking_score": ranking,
        "iou": iou,
    }
    rows = pd.DataFrame({name: values[kept].cpu().numpy() for name, values in columns.items()})
    rows.insert(0, "image_id", np.full(len(rows), batch.image_ids[image], np.int64))
    rows.insert(1, "object_id", ids[g[kept].cpu().numpy()])
    lost = {"left_out": ~kept, "close_left_out": ~kept & (iou >= CLOSE_IOU)}
    counts = {name: torch.bincount(g[mask], minlength=len(labels)).cpu().numpy() for name, mask in lost.items()}
    return rows, pd.DataFrame({"object_id": ids, **counts})


def _pairs(priors: Priors, boxes: Tensor, objects: Objects) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Object, prior, IoU of its prediction, whether it is in J_k: all pairs [K] that matter, by object, then prior."""
    owner = divergence_candidates(priors, objects)[0]
    parts = list(_pairs_in_blocks(owner, boxes, objects.boxes[0]))
    none = owner[:0]
    g, a = (torch.cat([none, *(p[n] for p in parts)]) for n in (0, 1))
    iou = torch.cat([boxes[:0, 0], *(p[2] for p in parts)])
    return g, a, iou, owner[a] == g


def _pairs_in_blocks(owner: Tensor, boxes: Tensor, objects: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The pairs of some objects after the other, so that a crowd's overlaps with all priors are never held at once."""
    step = max(1, PAIRS // max(1, len(boxes)))
    for start in range(0, len(objects), step):
        overlap = pairwise_iou(objects[start : start + step], boxes)
        wanted = overlap >= CANDIDATE_IOU
        mine = torch.nonzero((owner >= start) & (owner < start + len(overlap))).squeeze(1)
        wanted[owner[mine] - start, mine] = True
        g, a = torch.nonzero(wanted, as_tuple=True)
        yield g + start, a, overlap[g, a]


def _places(group: Tensor, values: Tensor, counted: Tensor) -> Tensor:
    """Place [K], from 0, of each counted pair among those of its group (rising) by falling value, lowest first."""
    order = falling(values.masked_fill(~counted, -torch.inf))
    order = order[group[order].sort(stable=True).indices]
    first = torch.searchsorted(group, group)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device) - first
    return places
