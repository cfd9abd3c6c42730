"""Grids and coders by hand, in round trips, and against golden vectors."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from assignbench.coders import DeltaCoder, DistanceCoder, coder_for
from assignbench.config.method import CoderConfig
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
    priors = Priors(torch.tensor([[0.0, 0, 10, 20]]), strides=torch.tensor([8.0]), kind="anchor")
    assert priors.points.tolist() == [[5, 10]]
    assert priors.level_sizes == (1,)
    with pytest.raises(ValueError, match="level sizes"):
        Priors(torch.zeros(3, 4), strides=torch.ones(3), kind="anchor", level_sizes=(2,))


def test_kind_and_strides_are_never_guessed() -> None:
    with pytest.raises(ValueError, match="strides"):
        Priors(torch.zeros(3, 4), kind="anchor")
    with pytest.raises(ValueError, match="kind"):
        Priors(torch.zeros(3, 4), strides=torch.ones(3))


def test_priors_from_points() -> None:
    priors = Priors.from_points(torch.tensor([[4.0, 4], [8, 8]]), torch.tensor([8.0, 16]), (1, 1))
    assert priors.boxes.tolist() == [[-4, -4, 12, 12], [-8, -8, 24, 24]]
    assert (priors.kind, priors.level_starts()) == ("point", (0, 1))


def test_a_subset_of_priors() -> None:
    grid = anchor_grid((64, 64), (16, 32), (2.0,), (1.0, 2.0))
    few = grid.take(torch.tensor([0, 1, 8, 9, 32]), (4, 1))
    assert torch.equal(few.boxes, grid.boxes[[0, 1, 8, 9, 32]])
    assert few.level_sizes == (4, 1)
    assert few.anchors_per_location == 2


def anchors(*boxes: list[float], **coding: object) -> Priors:
    config = CoderConfig.model_validate(coding)
    return Priors(torch.tensor(boxes), strides=torch.full((len(boxes),), 8.0), kind="anchor", coding=config)


def test_delta_coder_by_hand() -> None:
    priors = anchors([0.0, 0, 10, 10])
    delta = DeltaCoder().encode(priors, torch.tensor([[1.0, 0, 21, 10]]))
    # Centre moves by 6 of 10 px: 0.6 / 0.1; width doubles: ln 2 / 0.2.
    assert delta[0].tolist() == [pytest.approx(6.0), 0.0, pytest.approx(math.log(2) / 0.2), 0.0]


def test_inclusive_coders_by_hand() -> None:
    # Widths 10 and 20. FreeAnchor's centres are x1 + w/2: 5 and 10 + 10 = 20; PAA's (x1 + x2)/2: 4.5 and 19.5.
    for convention in ("freeanchor", "paa"):
        priors = anchors([0.0, 0, 9, 9], stds=(1.0, 1.0), legacy_plus_one=convention)
        delta = coder_for(priors).encode(priors, torch.tensor([[10.0, 0, 29, 9]]))
        assert delta[0].tolist() == pytest.approx([1.5, 0, math.log(2), 0])
    # A width that changes tells them apart: the box [0, 19] has the centres 10 and 9.5, the anchor 5 and 4.5.
    for convention, shift in (("freeanchor", 0.5), ("paa", 0.5)):
        priors = anchors([0.0, 0, 9, 9], stds=(1.0, 1.0), legacy_plus_one=convention)
        delta = coder_for(priors).encode(priors, torch.tensor([[0.0, 0, 19, 9]]))
        assert delta[0, 0].item() == pytest.approx(shift)
        decoded = coder_for(priors).decode(priors, torch.tensor([[0.5, 0, math.log(2), 0]]))
        assert decoded[0].tolist() == pytest.approx([0, 0, 19, 9], abs=1e-5)


def test_a_perfect_net_returns_the_exact_box() -> None:
    # Coding with inclusive widths but decoding without them gave 90.3 to 152.3.
    priors = anchors([64.0, 64, 191, 191], legacy_plus_one="freeanchor")
    coder, box = coder_for(priors), torch.tensor([[90.0, 90, 153, 153]])
    torch.testing.assert_close(coder.decode(priors, coder.encode(priors, box)), box, rtol=0, atol=1e-3)


SIDE = st.floats(3, 150, width=32)
PLACE = st.floats(-40, 200, width=32)


@given(st.sampled_from(["none", "freeanchor", "paa"]), SIDE, SIDE, SIDE, SIDE, PLACE, PLACE)
def test_decoding_undoes_encoding(convention, w, h, aw, ah, x, y) -> None:
    priors = anchors([30.0, 40, 30 + aw, 40 + ah], legacy_plus_one=convention)
    box = torch.tensor([[x, y, x + w, y + h]])
    coder = coder_for(priors)
    deltas = coder.encode(priors, box)
    torch.testing.assert_close(coder.decode(priors, deltas), box, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(coder.encode(priors, coder.decode(priors, deltas)), deltas, rtol=1e-3, atol=2e-3)


@given(st.sampled_from(["exp", "relu"]), st.lists(st.floats(0.25, 90, width=32), min_size=4, max_size=4))
def test_distances_make_the_round_trip(activation, sides) -> None:
    priors = Priors.from_points(torch.tensor([[20.0, 30]]), torch.tensor([8.0]))
    priors = replace(priors, coding=CoderConfig(distance=activation))
    left, top, right, bottom = sides
    box = torch.tensor([[20 - left, 30 - top, 20 + right, 30 + bottom]])
    coder = coder_for(priors)
    torch.testing.assert_close(coder.decode(priors, coder.encode(priors, box)), box, rtol=1e-4, atol=1e-3)


def test_relu_distances_by_hand() -> None:
    priors = Priors.from_points(torch.tensor([[20.0, 30]]), torch.tensor([8.0]))
    decoded = DistanceCoder("relu").decode(priors, torch.tensor([[1.0, -3, 2, 0.5]]))
    assert decoded[0].tolist() == [12, 30, 36, 34]


@pytest.mark.parametrize("kind", ["anchor", "point"])
def test_round_trip(kind) -> None:
    priors = replace(point_grid((64, 64), (8, 16)), kind=kind)
    boxes = priors.boxes + torch.tensor([-3.0, -2, 4, 7])
    coder = coder_for(priors)
    torch.testing.assert_close(coder.decode(priors, coder.encode(priors, boxes)), boxes, rtol=1e-4, atol=1e-3)


def test_zero_distances_give_the_square() -> None:
    priors = point_grid((32, 32), (8,))
    torch.testing.assert_close(DistanceCoder().decode(priors, torch.zeros(len(priors), 4)), priors.boxes)


@pytest.mark.parametrize("path", golden("boxes/*.npz"))
def test_golden(path) -> None:
    case = np.load(path, allow_pickle=False)
    priors = anchors(*case["boxes1"][:17].tolist())
    encoded = DeltaCoder().encode(priors, torch.from_numpy(case["boxes2"]))
    np.testing.assert_allclose(encoded.numpy(), case["out_encoded_first17"], rtol=1e-4, atol=1e-4)
    decoded = DeltaCoder().decode(priors, torch.from_numpy(case["deltas"]))
    np.testing.assert_allclose(decoded.numpy(), case["out_decoded_first17"], rtol=1e-4, atol=1e-3)
