"""The one NMS: parity with torchvision, with slow transcriptions of each definition, and with the golden vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, box_iou, nms

from assignbench.config.method import Nms, NmsKind, Voting
from assignbench.measure.boxes import pairwise_iou
from assignbench.measure.nms import Boxes, select_before, thin_out, vote
from tests.conftest import golden

SEEDS = range(12)


def drawn(seed: int, count: int = 120, classes: int = 3, *, ties: bool = False) -> Boxes:
    """Boxes in clumps, so that many overlap; scores on a coarse grid if `ties`."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(20, 180, (8, 2))[rng.integers(0, 8, count)] + rng.normal(0, 5, (count, 2))
    sides = rng.uniform(10, 60, (count, 2))
    scores = rng.integers(1, 9, (3, count)) / 10 if ties else rng.uniform(0.01, 1, (3, count))
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], axis=1)
    return Boxes(boxes, rng.integers(0, classes, count), scores[0], scores[1], scores[2], np.arange(count))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_standard_and_agnostic_are_torchvisions(seed: int, iou: float) -> None:
    b = drawn(seed)
    boxes, scores, labels = torch.tensor(b.boxes), torch.tensor(b.scores), torch.tensor(b.labels)
    assert thin_out(b, Nms(iou=iou), 1000).priors.tolist() == batched_nms(boxes, scores, labels, iou).tolist()
    agnostic = thin_out(b, Nms(kind="agnostic", iou=iou), 1000)
    assert agnostic.priors.tolist() == nms(boxes, scores, iou).tolist()


def slow_standard(b: Boxes, setting: Nms) -> tuple[list[int], list[float]]:
    labels = np.zeros_like(b.labels) if setting.kind == "agnostic" else b.labels
    overlap = pairwise_iou(b.boxes, b.boxes)
    kept: list[int] = []
    for i in sorted(range(len(b)), key=lambda i: (-b.scores[i], i)):
        if all(labels[j] != labels[i] or overlap[i, j] <= setting.iou for j in kept):
            kept.append(i)
    return kept, [float(b.scores[i]) for i in kept]


def slow_soft(b: Boxes, setting: Nms) -> tuple[list[int], list[float]]:
    scores, overlap = {i: float(s) for i, s in enumerate(b.scores)}, pairwise_iou(b.boxes, b.boxes)
    kept, final = [], []
    while scores:
        pick = min(scores, key=lambda i: (-scores[i], i))
        kept.append(pick)
        final.append(scores.pop(pick))
        for i in scores:
            if b.labels[i] == b.labels[pick]:
                scores[i] *= float(np.exp(-(overlap[pick, i] ** 2) / setting.sigma))
    return kept, final


def slow_guided(b: Boxes, setting: Nms) -> tuple[list[int], list[float]]:
    overlap, best = pairwise_iou(b.boxes, b.boxes), dict[int, float]()
    for i in sorted(range(len(b)), key=lambda i: (-b.quality_scores[i], i)):
        owners = [j for j in best if b.labels[j] == b.labels[i] and overlap[i, j] > setting.iou]
        if owners:
            best[owners[0]] = max(best[owners[0]], float(b.cls_scores[i]))
        else:
            best[i] = float(b.cls_scores[i])
    order = sorted(best, key=lambda i: (-best[i], list(best).index(i)))
    return order, [best[i] for i in order]


def slow_none(b: Boxes, _: Nms) -> tuple[list[int], list[float]]:
    order = sorted(range(len(b)), key=lambda i: (-b.scores[i], i))
    return order, [float(b.scores[i]) for i in order]


SLOW: dict[NmsKind, Callable[[Boxes, Nms], tuple[list[int], list[float]]]] = {
    "standard": slow_standard,
    "agnostic": slow_standard,
    "soft": slow_soft,
    "iou_guided": slow_guided,
    "none": slow_none,
}


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("limit", [7, 1000])
def test_every_flavour_is_its_definition(kind: NmsKind, ties: bool, limit: int) -> None:
    for seed in SEEDS:
        b, setting = drawn(seed, count=60, ties=ties), Nms(kind=kind, iou=0.45, sigma=0.4)
        kept, final = SLOW[kind](b, setting)
        found = thin_out(b, setting, limit)
        assert found.priors.tolist() == kept[:limit]
        np.testing.assert_allclose(found.scores, final[:limit], rtol=1e-12)
        np.testing.assert_array_equal(found.boxes, b.boxes[kept[:limit]])


@pytest.mark.parametrize("kind", SLOW)
def test_no_boxes_give_no_detections(kind: NmsKind) -> None:
    nothing = drawn(0).take(np.zeros(0, np.int64))
    assert len(vote(thin_out(nothing, Nms(kind=kind), 10), nothing, Voting())) == 0


def test_scores_are_only_changed_where_the_flavour_says_so() -> None:
    b = drawn(3)
    for kind in ("standard", "agnostic", "none"):
        found = thin_out(b, Nms(kind=kind), 50)
        np.testing.assert_array_equal(found.scores, b.scores[found.priors])
        np.testing.assert_array_equal(found.cls_scores, b.cls_scores[found.priors])
    assert (thin_out(b, Nms(kind="soft"), 120).scores < b.scores[thin_out(b, Nms(kind="soft"), 120).priors]).any()


@pytest.mark.parametrize("by", ["score", "closeness"])
def test_voting_is_the_weighted_mean_of_the_class_around(by: str) -> None:
    b = drawn(5, count=50)
    kept = thin_out(b, Nms(), 12)
    found = vote(kept, b, Voting(sigma=0.05, by=by))
    overlap = box_iou(torch.tensor(kept.boxes), torch.tensor(b.boxes)).numpy()
    for i in range(len(kept)):
        near = [j for j in range(len(b)) if overlap[i, j] > 0.01 and b.labels[j] == kept.labels[i]]
        weight = [np.exp(-((1 - overlap[i, j]) ** 2) / 0.05) * (b.scores[j] if by == "score" else 1) for j in near]
        np.testing.assert_allclose(found.boxes[i], np.average(b.boxes[near], axis=0, weights=weight), rtol=1e-10)
    np.testing.assert_array_equal(found.scores, kept.scores)


def test_a_box_without_votes_stays() -> None:
    b = drawn(1, count=2)
    far = Boxes(b.boxes + 1e4, b.labels, b.scores, b.cls_scores, b.quality_scores, b.priors)
    np.testing.assert_array_equal(vote(b, far, Voting()).boxes, b.boxes)


@pytest.mark.parametrize("path", golden("paa_voting/*.npz"))
def test_voting_gives_the_golden_boxes(path: Path) -> None:
    with np.load(path, allow_pickle=False) as g:
        meta = json.loads(str(g["meta_json"]))
        scores = g["cand_scores"]
        chosen = select_before(scores, scores, meta["score_thr"], scores.size)
        prior, label = chosen // scores.shape[1], chosen % scores.shape[1]
        flat = scores.ravel()[chosen]
        before = Boxes(g["cand_boxes"][prior], label, flat, flat, np.ones_like(flat), prior)
        n = len(g["nms_scores"])
        survivors = (g["nms_boxes"], g["nms_labels"], g["nms_scores"], g["nms_scores"], np.ones(n), np.arange(n))
        found = vote(Boxes(*survivors), before, Voting(sigma=meta["sigma_t"]))
        order = np.lexsort((found.boxes[:, 0], -found.scores, found.labels))
        theirs = np.lexsort((g["out_boxes"][:, 0], -g["out_scores"], g["out_labels"]))
        np.testing.assert_allclose(found.boxes[order], g["out_boxes"][theirs], atol=2e-3)
        np.testing.assert_array_equal(found.scores[order], g["out_scores"][theirs])
        np.testing.assert_array_equal(found.labels[order], g["out_labels"][theirs])


@pytest.mark.parametrize("path", golden("metrics/*.json"))
def test_kept_lists_are_the_golden_ones(path: Path) -> None:
    case = json.loads(path.read_text())
    for image in case["images"]:
        rows = image["candidates"]
        score = np.asarray([c["score"] for c in rows], float)
        above = np.flatnonzero(score > 0.05)
        boxes = np.asarray([c["bbox_xyxy"] for c in rows], float).reshape(-1, 4)
        label = np.asarray([c["category_id"] for c in rows], int)
        all_ = Boxes(boxes, label, score, score, np.ones(len(rows)), np.arange(len(rows)))
        kept = thin_out(all_.take(above), Nms(iou=0.5), 10**6).priors.tolist()
        assert kept == case["expected"]["nms"]["kept"][str(image["image_id"])], image["image_id"]


@pytest.mark.parametrize("seed", SEEDS)
def test_selection_is_floor_then_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cls = rng.integers(0, 20, (50, 4)) / 20  # with ties
    ranking = np.sqrt(cls * rng.integers(0, 5, (50, 1)) / 5)
    level = np.repeat([0, 1, 2], [30, 15, 5])
    pairs = [i for i in range(200) if cls.ravel()[i] > 0.25]
    best = sorted(pairs, key=lambda i: (-ranking.ravel()[i], i))
    assert select_before(ranking, cls, 0.25, 40).tolist() == best[:40]
    assert select_before(ranking, cls, 0.25, 10**6).tolist() == best
    of_level = [[i for i in best if level[i // 4] == n][:10] for n in range(3)]
    expected = sorted((i for one in of_level for i in one), key=lambda i: (-ranking.ravel()[i], i))
    assert select_before(ranking, cls, 0.25, 10, level).tolist() == expected
    assert select_before(ranking, cls, 2.0, 10, level).tolist() == []
