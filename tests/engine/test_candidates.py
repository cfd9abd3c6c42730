"""Which predictions around an object are recorded, and which are only counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assignbench.assigners import candidates as sets
from assignbench.assigners.candidates import divergence_candidates
from assignbench.assigners.max_iou import MaxIoU
from assignbench.boxes import pairwise_iou
from assignbench.contract import IGNORE, Objects, Predictions
from assignbench.data.stream import Batch
from assignbench.engine import candidates as engine
from assignbench.engine.candidates import candidate_tables
from assignbench.methods import resolve
from assignbench.priors import Priors, anchor_grid, point_grid
from assignbench.select import prior_iou

GRIDS = {"anchor": anchor_grid((64, 64), (8, 16), (2.5, 3.5), (1.0, 2.0)), "point": point_grid((64, 64), (8, 16))}
METHOD = resolve("iou", {"quality": "iou", "ranking": "cls*quality"})


def drawn(seed: int, counts: tuple[int, ...]) -> tuple[Objects, torch.Tensor]:
    """Objects of some images, some of them twice, on whole pixels so that overlaps tie; and their ids."""
    rng = np.random.default_rng(seed)
    boxes, labels = [], []
    for count in counts:
        corner, side = rng.integers(0, 40, (count, 2)), rng.integers(4, 40, (count, 2))
        both = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
        if count > 2:
            both[1] = both[0]
        boxes.append(torch.tensor(both))
        labels.append(torch.tensor(rng.integers(0, 3, count)))
    objects = Objects.pad(boxes, labels)
    ids = torch.full(objects.labels.shape, -1)
    ids[objects.valid] = torch.arange(int(objects.valid.sum())) * 7 + 100
    return objects, ids


def batch_of(objects: Objects, ids: torch.Tensor) -> Batch:
    count = len(objects.boxes)
    sizes = ((64, 64),) * count
    numbers = tuple(range(10, 10 + count))
    return Batch(torch.zeros(count, 3, 64, 64), objects, numbers, ids, 0, torch.ones(count, 2), sizes, sizes)


def predicted(seed: int, priors: Priors, images: int, *, ties: bool) -> Predictions:
    made = torch.Generator().manual_seed(seed)
    shape = (images, len(priors))
    logits, quality = torch.randn(*shape, 3, generator=made), torch.randn(*shape, generator=made)
    boxes = priors.boxes + 4 * torch.randn(*shape, 4, generator=made)
    if ties:
        logits, quality, boxes = logits.round(), quality.round(), boxes.round()
    return Predictions(logits, None, boxes, quality, "iou")


def recorded(priors: Priors, predictions: Predictions, objects: Objects, ids: torch.Tensor, most: int):
    """The rule, object by object: keys of the rows that are kept, and what is left out."""
    owner = divergence_candidates(priors, objects)
    kept, lost = set(), {}
    cls, quality = predictions.cls_logits.sigmoid(), predictions.quality_logits.sigmoid()
    for b, g in torch.nonzero(objects.valid).tolist():
        iou = pairwise_iou(objects.boxes[b, g : g + 1], predictions.boxes[b])[0]
        score = cls[b, :, objects.labels[b, g]] * quality[b]
        near = [a for a in range(len(priors)) if iou[a] >= 0.1]
        best = {*sorted(near, key=lambda a: (-iou[a], a))[:most], *sorted(near, key=lambda a: (-score[a], a))[:most]}
        mine = best | {a for a in range(len(priors)) if owner[b, a] == g}
        number = int(ids[b, g])
        kept |= {(number, a) for a in mine}
        left = set(near) - mine
        lost[number] = (len(left), sum(float(iou[a]) >= 0.5 for a in left))
    return kept, lost, owner


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("most", [1, 5, 1000])
@pytest.mark.parametrize("ties", [False, True])
def test_the_candidates_and_the_best_by_overlap_and_by_score_are_recorded(kind, most, ties, monkeypatch) -> None:
    monkeypatch.setattr(engine, "PAIRS", 700)  # blocks of a few objects
    priors = GRIDS[kind]
    for seed, counts in enumerate([(3, 0, 6), (0,), (1,), (4, 4)]):
        objects, ids = drawn(seed, counts)
        predictions = predicted(seed, priors, len(counts), ties=ties)
        batch = batch_of(objects, ids)
        rows, counts_table = candidate_tables(predictions, METHOD, batch, objects, priors, most)
        kept, lost, owner = recorded(priors, predictions, objects, ids, most)
        assert set(zip(rows.object_id, rows.prior, strict=True)) == kept and len(rows) == len(kept)
        told = counts_table.itertuples(index=False)
        assert {r.object_id: (r.left_out, r.close_left_out) for r in told} == lost
        where = {int(n): (b, g) for b, g in torch.nonzero(objects.valid).tolist() for n in [ids[b, g]]}
        for row in rows.itertuples(index=False):
            b, g = where[row.object_id]
            assert row.image_id == 10 + b and row.in_jk == (int(owner[b, row.prior]) == g)
            assert row.level == int(priors.levels()[row.prior])
            iou = float(pairwise_iou(objects.boxes[b, g : g + 1], predictions.boxes[b, row.prior : row.prior + 1]))
            logits = (
                predictions.cls_logits[b, row.prior, objects.labels[b, g]],
                predictions.quality_logits[b, row.prior],
            )
            cls, quality = (float(x.sigmoid()) for x in logits)
            expected = [iou, cls, quality, cls * quality]
            assert [row.iou, row.cls_score, row.quality_score, row.ranking_score] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_the_sets_of_anchors_are_those_of_matching_whatever_the_blocks(seed, monkeypatch) -> None:
    priors = GRIDS["anchor"]
    objects, _ = drawn(seed, (9, 2, 0, 5))
    iou = prior_iou(priors, objects)
    index, _ = MaxIoU(low_quality="mmdet").match(iou, objects.valid)
    expected = torch.where(index == IGNORE, iou.argmax(dim=1), index)
    for pairs in (1, 3 * 4 * len(priors), 10**9):
        monkeypatch.setattr(sets, "PAIRS", pairs)
        assert torch.equal(divergence_candidates(priors, objects), expected)
