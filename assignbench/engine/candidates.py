"""Which predictions compete for each test object: what is recorded of them, and what is only counted.

A detector at 800 px has more than a thousand predictions around an object. J_k is kept whole, since the divergence
needs all of it; of the others those that lie best, and those that are ranked best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
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
from assignbench.sending import fetched, sent

CANDIDATE_IOU = 0.1  # predictions below this IoU with an object are not recorded as its candidates
CLOSE_IOU = 0.5  # the divergence's other rule takes the predictions from this IoU on
PAIRS = 16_000_000  # objects x priors whose overlaps are held at once: a batch with more of them waits more often
WAITS = 4


def candidate_tables(
    predictions: Predictions, method: MethodConfig, batch: Batch, objects: Objects, priors: Priors, most: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of candidates.parquet, and per object (object_id) how many predictions were left out of them.

    Of an object (`objects` are the batch's as the detector is judged on them), every prediction of its set J_k is
    recorded, and of those with an IoU of 0.1 or more the `most` that overlap it best and the `most` with the best
    ranking score. `left_out` counts the others, `close_left_out` those of them with an IoU of 0.5 or more.

    A GPU is waited for `WAITS` times, however many images and objects there are (but see `PAIRS`).
    """
    mine = _Mine.of(batch, objects)
    g, a, iou, in_jk = _pairs(priors, predictions.boxes.float(), mine, divergence_candidates(priors, objects))
    ranking, cls, quality = _scores(predictions, method, mine, g, a)
    near = iou >= CANDIDATE_IOU
    among = _places(g, iou, near).minimum(_places(g, ranking, near)) < most
    kept = in_jk | (near & among)
    none = torch.zeros(len(mine.ids), dtype=torch.long, device=g.device)
    lost = [none.index_add(0, g, left.long()) for left in (~kept, ~kept & (iou >= CLOSE_IOU))]
    chosen = torch.nonzero(kept).squeeze(1)
    columns = {
        "prior": a,
        "level": priors.levels()[a].to(torch.int8),
        "in_jk": in_jk,
        "cls_score": cls,
        "quality_score": quality,
        "ranking_score": ranking,
        "iou": iou,
    }
    told = fetched([*lost, g[chosen], *(values[chosen] for values in columns.values())])
    left_out, close, owner, *values = (one.numpy() for one in told)
    rows = pd.DataFrame(dict(zip(columns, values, strict=True)))
    rows.insert(0, "image_id", np.asarray(batch.image_ids, np.int64)[mine.image.numpy()[owner]])
    rows.insert(1, "object_id", mine.ids[owner])
    return rows, pd.DataFrame({"object_id": mine.ids, "left_out": left_out, "close_left_out": close})


@dataclass(frozen=True)
class _Mine:
    """The objects of a batch in one row, image by image: `image` [N] of each and their `ids` on the host, how many each
    image has; on the device the boxes [N, 4] and labels [N], and `number` [B, G], the place of each in the row.
    """

    image: Tensor
    ids: npt.NDArray[np.int64]
    counts: list[int]
    boxes: Tensor
    labels: Tensor
    number: Tensor

    @staticmethod
    def of(batch: Batch, objects: Objects) -> _Mine:
        """Where objects are, the host knows of the batch."""
        valid = batch.objects.valid
        image, _ = torch.nonzero(valid, as_tuple=True)
        device = objects.boxes.device
        place = sent(torch.nonzero(valid.flatten()).squeeze(1), device)
        number = sent(valid.flatten().cumsum(0).view(valid.shape) - 1, device)
        boxes, labels = objects.boxes.flatten(0, 1)[place], objects.labels.flatten()[place]
        return _Mine(image, batch.object_ids[valid].numpy(), valid.sum(dim=1).tolist(), boxes, labels, number)


def _scores(
    predictions: Predictions, method: MethodConfig, mine: _Mine, g: Tensor, a: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ranking, class and quality scores [K] of pairs of object (rising) and prior, for the object's class."""
    image, ends = sent(mine.image, g.device)[g], sent(torch.tensor([0, *accumulate(mine.counts)]), g.device)
    (bounds,) = fetched([torch.searchsorted(g, ends)])
    sizes = bounds.diff().tolist()
    logits = torch.split(predictions.cls_logits[image, a, mine.labels[g]], sizes)
    told = predictions.quality_logits
    quality = [None] * len(sizes) if told is None else torch.split(told[image, a], sizes)
    # Image by image, as what enters NMS is scored.
    parts = [ranking_scores(*part, method.ranking) for part in zip(logits, quality, strict=True)]
    ranking, cls, qualities = (torch.cat(values) for values in zip(*parts, strict=True))
    return ranking, cls, qualities


def _pairs(priors: Priors, boxes: Tensor, mine: _Mine, owner: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Object, prior, IoU of its prediction, whether it is in J_k: all pairs [K] that matter, by object, then prior."""
    count = len(mine.ids)
    own = torch.full_like(owner, count)  # the object's place in the row, `count` for none
    if count:
        own = torch.where(owner < 0, own, mine.number.gather(1, owner.clamp(min=0)))
    parts = list(_pairs_in_blocks(own, boxes, mine))
    none = own[0, :0]
    g, a = (torch.cat([none, *(p[n] for p in parts)]) for n in (0, 1))
    iou = torch.cat([boxes[0, :0, 0], *(p[2] for p in parts)])
    return g, a, iou, own[sent(mine.image, g.device)[g], a] == g


def _pairs_in_blocks(own: Tensor, boxes: Tensor, mine: _Mine) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The pairs of some objects after the other, so that a crowd's overlaps with all priors are never held at once."""
    step = max(1, PAIRS // max(1, boxes.shape[1]))
    ends = list(accumulate(mine.counts))
    for start in range(0, len(mine.ids), step):
        stop = min(start + step, len(mine.ids))
        here = range(int(mine.image[start]), int(mine.image[stop - 1]) + 1)
        first = {i: max(start, ends[i] - mine.counts[i]) for i in here}
        overlap = torch.cat([pairwise_iou(mine.boxes[first[i] : min(stop, ends[i])], boxes[i]) for i in here])
        rows = own[here.start : here.stop]
        rows = torch.where((rows >= start) & (rows < stop), rows - start, stop - start)
        wanted = torch.zeros(stop - start + 1, boxes.shape[1], dtype=torch.bool, device=boxes.device)
        wanted = wanted.scatter_(0, rows, True)[:-1].logical_or_(overlap >= CANDIDATE_IOU)
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
