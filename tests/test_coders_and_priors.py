"""Grids and coders by hand, in round trips, and against golden vectors."""

import math

import numpy as np
import pytest
import torch

from assignbench.coders import DeltaCoder, DistanceCoder, coder_for
from assignbench.priors import Priors, anchor_grid, point_grid
from tests.conftest import golden


def test_mutual_guidance_has_12750_anchors_at_320() -> None:
    grid = anchor_grid((320, 320), (8, 16, 32, 64), (3.0, 3 * 2**0.5), (1.0, 2.0, 0.5))
    assert grid.level_sizes == (9600, 2400, 600, 150)
    assert grid.boxes[0].tolist() == [4 - 12, 4 - 12, 4 + 12, 4 + 12]
    width, height = (grid.boxes[1, 2:] - grid.boxes[1, :2]).tolist()
    assert (width, height) == (pytest.approx(24 * 2**0.5), pytest.approx(24 / 2**0.5))


def test_points_repeat_and_have_square_boxes() -> None:
    grid = point_grid((16, 24), (8,), per_location=2)
    assert grid.points[:4].tolist() == [[4, 4], [4, 4], [12, 4], [12, 4]]
    assert grid.boxes[2].tolist() == [4, -4, 20, 12]
    assert grid.kind == "point"


def test_priors_from_boxes_alone() -> None:
    priors = Priors(torch.tensor([[0.0, 0, 10, 20]]))
    assert priors.points.tolist() == [[5, 10]]
    assert priors.level_sizes == (1,)
    with pytest.raises(ValueError, match="level sizes"):
        Priors(torch.zeros(3, 4), level_sizes=(2,))


def test_delta_coder_by_hand() -> None:
    priors = Priors(torch.tensor([[0.0, 0, 10, 10]]))
    delta = DeltaCoder().encode(priors, torch.tensor([[1.0, 0, 21, 10]]))
    # Centre moves by 6 of 10 px: 0.6 / 0.1; width doubles: ln 2 / 0.2.
    assert delta[0].tolist() == [pytest.approx(6.0), 0.0, pytest.approx(math.log(2) / 0.2), 0.0]


@pytest.mark.parametrize("kind", ["anchor", "point"])
def test_round_trip(kind) -> None:
    priors = point_grid((64, 64), (8, 16))
    boxes = priors.boxes + torch.tensor([-3.0, -2, 4, 7])
    coder = coder_for(kind)
    torch.testing.assert_close(coder.decode(priors, coder.encode(priors, boxes)), boxes, rtol=1e-4, atol=1e-3)


def test_zero_distances_give_the_square() -> None:
    priors = point_grid((32, 32), (8,))
    torch.testing.assert_close(DistanceCoder().decode(priors, torch.zeros(len(priors), 4)), priors.boxes)


@pytest.mark.parametrize("path", golden("boxes/*.npz"))
def test_golden(path) -> None:
    case = np.load(path, allow_pickle=False)
    priors = Priors(torch.from_numpy(case["boxes1"][:17]))
    encoded = DeltaCoder().encode(priors, torch.from_numpy(case["boxes2"]))
    np.testing.assert_allclose(encoded.numpy(), case["out_encoded_first17"], rtol=1e-4, atol=1e-4)
    decoded = DeltaCoder().decode(priors, torch.from_numpy(case["deltas"]))
    np.testing.assert_allclose(decoded.numpy(), case["out_decoded_first17"], rtol=1e-4, atol=1e-3)
