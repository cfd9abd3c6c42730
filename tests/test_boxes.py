"""Boxes against hand-worked values, torchvision and mmdet's golden vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torchvision import ops

from assignbench.boxes import clip, inside, paired_giou, paired_iou, pairwise_iof, pairwise_iou
from tests.conftest import golden

SIDES = st.floats(0.5, 200, width=32)
PLACES = st.floats(-100, 300, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> torch.Tensor:
    x, y, w, h = draw(PLACES), draw(PLACES), draw(SIDES), draw(SIDES)
    return torch.tensor([x, y, x + w, y + h])


def test_iou_by_hand() -> None:
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[5.0, 0, 15, 10], [0, 0, 10, 10], [20, 20, 30, 30]])
    assert pairwise_iou(a, b).tolist() == [[pytest.approx(1 / 3), 1.0, 0.0]]
    # GIoU with a gap of 10: hull 30 x 30, union 200.
    assert paired_giou(a[0], b[2]).item() == pytest.approx(-(900 - 200) / 900)


def test_degenerate_boxes_have_iou_zero_not_nan() -> None:
    point = torch.tensor([[3.0, 3, 3, 3]])
    assert pairwise_iou(point, point).item() == 0.0
    assert pairwise_iof(point, point).item() == 0.0


@given(boxes(), boxes())
def test_iou_is_symmetric_bounded_and_equals_torchvision(a: torch.Tensor, b: torch.Tensor) -> None:
    value = pairwise_iou(a[None], b[None]).item()
    assert 0 <= value <= 1 + 1e-6
    assert value == pytest.approx(pairwise_iou(b[None], a[None]).item(), abs=1e-6)
    assert value == pytest.approx(ops.box_iou(a[None], b[None]).item(), abs=1e-6)
    assert value == pytest.approx(paired_iou(a, b).item(), abs=1e-6)
    assert paired_giou(a, b).item() == pytest.approx(ops.generalized_box_iou(a[None], b[None]).item(), abs=1e-5)
    assert paired_giou(a, b).item() <= value + 1e-6


def test_batches_broadcast() -> None:
    a, b = torch.rand(3, 4, 4).cumsum(-1), torch.rand(5, 4).cumsum(-1)
    together = pairwise_iou(a, b)
    assert together.shape == (3, 4, 5)
    assert torch.equal(together[1], pairwise_iou(a[1], b))


def test_inside_is_positive_strictly_inside() -> None:
    box = torch.tensor([[0.0, 0, 10, 20]])
    points = torch.tensor([[5.0, 5], [0, 5], [11, 5]])
    assert inside(points, box).tolist() == [[5.0, 0.0, -1.0]]


def test_clip() -> None:
    boxes = torch.tensor([-5.0, -5, 50, 50]).expand(2, 1, 4)
    height, width = torch.tensor([[20.0], [60.0]]), torch.tensor([[30.0], [40.0]])
    assert clip(boxes, height, width).tolist() == [[[0, 0, 30, 20]], [[0, 0, 40, 50]]]


@pytest.mark.parametrize("path", golden("boxes/*.npz"))
def test_golden(path) -> None:
    case = np.load(path, allow_pickle=False)
    one, two = torch.from_numpy(case["boxes1"]), torch.from_numpy(case["boxes2"])
    np.testing.assert_allclose(pairwise_iou(one, two).numpy(), case["out_iou"], atol=1e-6)
    np.testing.assert_allclose(pairwise_iof(one, two).numpy(), case["out_iof"], atol=1e-6)
    giou = paired_giou(one[:, None], two[None]).numpy()
    np.testing.assert_allclose(giou, case["out_giou"], atol=1e-5)


def test_blocks_change_nothing(monkeypatch) -> None:
    random = torch.Generator().manual_seed(0)
    corner = 100 * torch.rand(2, 300, 2, generator=random)
    boxes = torch.cat([corner, corner + 50 * torch.rand(2, 300, 2, generator=random)], dim=-1)
    whole = pairwise_iou(boxes[:, :7], boxes[0])
    monkeypatch.setattr("assignbench.boxes._MANY_PAIRS", 1)
    monkeypatch.setattr("assignbench.boxes._BLOCK", 64)
    monkeypatch.setattr("assignbench.boxes._BLOCK_PAIRS", 4 * 64)
    assert torch.equal(pairwise_iou(boxes[:, :7], boxes[0]), whole)
