"""ATSS by hand and against mmdet."""

import numpy as np
import pytest
import torch

from assignbench.assigners.atss import ATSS
from assignbench.contract import Objects, Predictions
from assignbench.priors import Priors, anchor_grid
from tests.assigners.cases import anchors_of, meta, objects_of, read
from tests.conftest import golden


def nothing(priors: Priors) -> Predictions:
    return Predictions(torch.zeros(len(priors), 3), None, priors.boxes)


def one(boxes: list[list[float]]) -> Objects:
    return Objects(torch.tensor(boxes), torch.zeros(len(boxes), dtype=torch.long))


def test_by_hand() -> None:
    # Three priors, all candidates. IoUs 1, 1/3, 0: mean 4/9, unbiased deviation .509; only the first reaches .954.
    priors = Priors(
        torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [30, 0, 40, 10]]), strides=torch.ones(3), kind="anchor"
    )
    assert ATSS()(priors, nothing(priors), one([[0, 0, 10, 10]])).cls.index[0].tolist() == [0, -1, -1]


def test_candidates_are_the_nearest_of_every_level() -> None:
    priors = anchor_grid((32, 32), (8, 16), (4.0,), (1.0,))
    chosen = ATSS(topk=2).candidates(priors, one([[2, 2, 7, 6]]))[0, 0].tolist()
    # Stride 8: centres (4, 4) and (12, 4) or (4, 12); the object's centre (4.5, 4) is nearer to (12, 4).
    assert chosen == [0, 1, 16, 17]


def test_an_object_may_end_without_a_positive_and_can_be_given_one() -> None:
    # Two priors with the same IoU: mean + 0 is reached, but no centre lies inside the thin object.
    priors = Priors(torch.tensor([[0.0, 0, 10, 10], [0, 1, 10, 11]]), strides=torch.ones(2), kind="anchor")
    thin = one([[0, 8, 10, 9]])
    assert ATSS()(priors, nothing(priors), thin).cls.index[0].tolist() == [-1, -1]
    assert ATSS(orphan="best_prior")(priors, nothing(priors), thin).cls.index[0].tolist() == [0, -1]


@pytest.mark.parametrize("path", golden("atss/*.npz"))
def test_golden(path) -> None:
    case = read(path)
    priors = anchors_of(case)
    found = ATSS(meta(case)["topk"], meta(case)["center_eps"])(priors, nothing(priors), objects_of(case))
    compared = ~case["out_tie_sensitive"]
    np.testing.assert_array_equal(found.cls.index[0].numpy()[compared], case["out_assigned"][compared])
