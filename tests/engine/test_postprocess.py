"""NMS flavours and score voting by hand and against mmdet's vectors."""

import math

import numpy as np
import pytest
import torch

from assignbench.contract import Predictions
from assignbench.engine.postprocess import Candidates, candidates_of, suppress, vote
from tests.assigners.cases import meta, read, tensor
from tests.conftest import golden


def found(boxes, scores, labels=None, quality=None) -> Candidates:
    n = len(boxes)
    s = torch.tensor(scores)
    q = torch.ones(n) if quality is None else torch.tensor(quality)
    label = torch.zeros(n, dtype=torch.long) if labels is None else torch.tensor(labels)
    return Candidates(torch.tensor(boxes), label, s, s, q, torch.arange(n))


# Two boxes with IoU 9/11 and one apart.
THREE = [[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]]


def test_standard_and_agnostic() -> None:
    assert suppress(found(THREE, [0.9, 0.8, 0.7]), 0.5, 100).priors.tolist() == [0, 2]
    two_classes = found(THREE, [0.9, 0.8, 0.7], [0, 1, 0])
    assert suppress(two_classes, 0.5, 100).priors.tolist() == [0, 1, 2]
    assert suppress(two_classes, 0.5, 100, "agnostic").priors.tolist() == [0, 2]
    assert suppress(two_classes, 0.5, 1).priors.tolist() == [0]


def test_soft_lowers_instead_of_dropping() -> None:
    kept = suppress(found(THREE, [0.9, 0.8, 0.7]), 0.5, 100, "soft")
    assert kept.priors.tolist() == [0, 2, 1]
    assert kept.scores[2].item() == pytest.approx(0.8 * math.exp(-((9 / 11) ** 2) / 0.5))


def test_iou_guided_keeps_the_better_box_with_the_better_score() -> None:
    kept = suppress(found(THREE, [0.9, 0.8, 0.7], quality=[0.2, 0.9, 0.5]), 0.5, 100, "iou_guided")
    assert kept.priors.tolist() == [1, 2]
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7])


def test_ranking_and_floor() -> None:
    logits = torch.logit(torch.tensor([[[0.9, 0.005], [0.5, 0.2]]]))
    quality = torch.logit(torch.tensor([[0.1, 0.8]]))
    predictions = Predictions(
        logits, torch.zeros(1, 2, 4), torch.tensor([[[0.0, 0, 5, 5], [0, 0, 90, 9]]]), quality, "iou"
    )
    (plain,) = candidates_of(predictions, "cls", (20, 30), 0.01, 10)
    assert plain.scores.tolist() == pytest.approx([0.9, 0.5, 0.2])
    (product,) = candidates_of(predictions, "cls*quality", (20, 30), 0.01, 2)
    assert product.scores.tolist() == pytest.approx([0.4, 0.16])
    (root,) = candidates_of(predictions, "sqrt(cls*quality)", (20, 30), 0.01, 1)
    assert root.scores.tolist() == pytest.approx([math.sqrt(0.4)])
    assert root.boxes.tolist() == [[0, 0, 30, 9]]


def test_voting_by_hand() -> None:
    """Eqs. (9), (10): weights 1 x .9 and exp(-(2/11)^2 / .025) x .8."""
    all_of_them = found(THREE, [0.9, 0.8, 0.7])
    kept = all_of_them[torch.tensor([0])]
    weight = 0.8 * math.exp(-((2 / 11) ** 2) / 0.025)
    assert vote(kept, all_of_them, 0.025).boxes[0, 0].item() == pytest.approx(weight / (0.9 + weight), rel=1e-5)
    plain = math.exp(-((2 / 11) ** 2) / 0.025)
    assert vote(kept, all_of_them, 0.025, by_score=False).boxes[0, 0].item() == pytest.approx(
        plain / (1 + plain), rel=1e-5
    )


@pytest.mark.parametrize("path", golden("paa_voting/*.npz"))
def test_golden_voting(path) -> None:
    case = read(path)
    boxes, scores = tensor(case, "cand_boxes"), tensor(case, "cand_scores")
    prior, label = torch.nonzero(scores > meta(case)["score_thr"], as_tuple=True)
    s = scores[prior, label]
    everything = Candidates(boxes[prior], label, s, s, torch.ones_like(s), prior)
    k = tensor(case, "nms_scores")
    kept = Candidates(
        tensor(case, "nms_boxes"), tensor(case, "nms_labels"), k, k, torch.ones_like(k), torch.arange(len(k))
    )
    ours = vote(kept, everything, meta(case)["sigma_t"])
    order = np.lexsort((ours.boxes[:, 0].numpy(), -ours.scores.numpy(), ours.labels.numpy()))
    theirs = np.lexsort((case["out_boxes"][:, 0], -case["out_scores"], case["out_labels"]))
    np.testing.assert_allclose(ours.boxes.numpy()[order], case["out_boxes"][theirs], rtol=1e-4, atol=1e-3)
