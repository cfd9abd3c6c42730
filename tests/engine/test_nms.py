"""NMS and voting of the engine, in torch on batches, give what the analyses' replay gives in numpy, box by box."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torchvision.ops import nms as torchvision_nms

from assignbench.config.method import Nms, NmsKind, Voting
from assignbench.engine import nms as engine
from assignbench.engine.scored import Scored
from assignbench.measure import nms as replay
from assignbench.measure.nms import Boxes

COLUMNS = ("boxes", "labels", "scores", "cls_scores", "quality_scores", "priors")


def drawn(rng: np.random.Generator, count: int, classes: int, *, ties: bool) -> Boxes:
    """float32 boxes in clumps, some of them twice or on whole pixels; scores on a coarse grid if `ties`."""
    centre = rng.uniform(20, 180, (6, 2))[rng.integers(0, 6, count)] + rng.normal(0, 6, (count, 2))
    sides = rng.uniform(4, 60, (count, 2))
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], axis=1)
    if ties and count:
        boxes = (boxes / 8).round() * 8 + np.array([0, 0, 8, 8])
        boxes[rng.random(count) < 0.2] = boxes[rng.integers(count)]
    scores = rng.integers(1, 6, (3, count)) / 5 if ties else rng.uniform(0.01, 1, (3, count))
    order = np.argsort(-scores[0], kind="stable")  # as they come before NMS
    labels, scores = rng.integers(0, classes, count), scores.astype(np.float32)[:, order]
    return Boxes(boxes.astype(np.float32)[order], labels, *scores, np.arange(count))


def batch_of(images: list[Boxes]) -> Scored:
    parts = [
        Scored(*(torch.tensor(np.asarray(getattr(one, c))) for c in COLUMNS), torch.ones(len(one), dtype=torch.bool))
        for one in images
    ]
    return Scored.pad(parts)


def same(found: Scored, expected: list[Boxes]) -> None:
    for i, one in enumerate(expected):
        valid = found.valid[i]
        assert found.priors[i][valid].tolist() == one.priors.tolist()
        for name in ("labels", "cls_scores", "quality_scores"):
            assert getattr(found, name)[i][valid].tolist() == getattr(one, name).tolist(), name
        np.testing.assert_allclose(found.scores[i][valid].numpy(), one.scores, rtol=1e-6)
        np.testing.assert_allclose(found.boxes[i][valid].numpy(), one.boxes, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", get_args(NmsKind))
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("limit", [1, 9, 1000])
def test_every_flavour_is_the_replays(kind: NmsKind, ties: bool, limit: int, monkeypatch) -> None:
    rng = np.random.default_rng([limit, ties])
    for case in range(12):
        monkeypatch.setattr(engine, "BLOCK", int(rng.choice([3, 16, 256])))  # a block that ends anywhere
        monkeypatch.setattr(engine, "ROUNDS", int(rng.choice([1, 5, 16])))
        sizes = [int(n) for n in rng.choice([0, 1, 2, 7, 40, 90], rng.integers(1, 5))]
        images = [drawn(rng, n, int(rng.choice([1, 3, 80])), ties=ties) for n in sizes]
        setting = Nms(kind=kind, iou=float(rng.choice([0.3, 0.5, 0.8])), sigma=float(rng.choice([0.01, 0.4])))
        expected = [replay.thin_out(one, setting, limit) for one in images]
        found = engine.thin_out(batch_of(images), setting, limit)
        same(found, expected)
        voting = Voting(sigma=float(rng.choice([0.025, 0.3])), by=("score", "closeness")[case % 2])
        monkeypatch.setattr(engine, "VOTES", int(rng.choice([1, 300, 4_000_000])))
        voted = [replay.vote(kept, before, voting) for kept, before in zip(expected, images, strict=True)]
        same(engine.vote(found, batch_of(images), voting), voted)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", [False, True])
def test_agnostic_is_torchvisions(seed: int, ties: bool) -> None:
    one = drawn(np.random.default_rng(seed), 300, 3, ties=ties)
    expected = torchvision_nms(torch.tensor(one.boxes).double(), torch.tensor(one.scores).double(), 0.5).tolist()
    assert engine.thin_out(batch_of([one]), Nms(kind="agnostic"), 1000).priors[0].tolist() == expected


def test_an_iou_at_the_threshold_does_not_cover() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4]], np.float32)
    score = np.array([0.9, 0.8, 0.7], np.float32)
    one = Boxes(boxes, np.zeros(3, int), score, score, score, np.arange(3))
    assert engine.thin_out(batch_of([one]), Nms(iou=0.5), 10).priors.tolist() == [[0, 1]]


def test_no_image_and_no_box() -> None:
    nothing = drawn(np.random.default_rng(0), 0, 1, ties=False)
    for kind in get_args(NmsKind):
        before = batch_of([nothing, nothing])
        found = engine.vote(engine.thin_out(before, Nms(kind=kind), 10), before, Voting())
        assert found.valid.shape == (2, 0) and not len(found.rows((1, 2), "score"))
