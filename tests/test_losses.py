"""Losses by hand, against torchvision and the official Mutual Guidance primitives."""

import math

import numpy as np
import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from assignbench import losses
from assignbench.losses import balanced_l1, focal_sum, giou_loss, quality_focal, sigmoid_focal, smooth_l1
from tests.conftest import GOLDEN, golden


def test_focal_by_hand() -> None:
    # p = 0.5: alpha (1 - p)^2 (-ln p) for the positive, (1 - alpha) p^2 (-ln(1 - p)) for the negative.
    loss = sigmoid_focal(torch.zeros(2), torch.tensor([1.0, 0.0]))
    assert loss.tolist() == pytest.approx([0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)])


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 1.5), (-1.0, 1.0)])
def test_focal_equals_torchvision_with_gradient(alpha, gamma) -> None:
    logits = torch.linspace(-12, 12, 101).repeat(2).requires_grad_()
    targets = torch.cat([torch.zeros(101), torch.ones(101)])
    ours = sigmoid_focal(logits, targets, alpha, gamma)
    theirs = sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma)
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=1e-7)
    (mine,) = torch.autograd.grad(ours.sum(), logits, retain_graph=True)
    (other,) = torch.autograd.grad(theirs.sum(), logits)
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)


def test_focal_is_finite_for_extreme_logits() -> None:
    logits = torch.tensor([-200.0, 200.0]).requires_grad_()
    loss = sigmoid_focal(logits, torch.tensor([1.0, 0.0])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("alpha", "gamma"), [(0.25, 2.0), (0.5, 1.5), (-1.0, 1.0), (0.0, 0.0), (1.0, 0.5), (0.25, 5.0)]
)
@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 1, 1), (3, 4, 80), (2, 0, 3), (0, 5, 3), (7, 2)])
def test_focal_sum_is_the_sum_of_focal(shape, alpha, gamma, piece, monkeypatch) -> None:
    """Value and gradient on generated logits, targets and weights, in pieces of any size."""
    monkeypatch.setattr(losses, "PIECE", piece)
    draw = torch.Generator().manual_seed(sum(shape))
    logits = (5 * torch.randn(shape, generator=draw, dtype=torch.float64)).requires_grad_()
    targets = (torch.rand(shape, generator=draw) < 0.3).double()
    weights = torch.rand(shape[:-1], generator=draw, dtype=torch.float64) * (
        torch.rand(shape[:-1], generator=draw) < 0.8
    )
    whole = focal_sum(logits, targets, weights, alpha, gamma)
    expected = (sigmoid_focal(logits, targets, alpha, gamma) * weights.unsqueeze(-1)).sum()
    torch.testing.assert_close(whole, expected)
    for _ in range(2):  # the graph can be kept
        found = torch.autograd.grad(3 * whole, logits, retain_graph=True)
        torch.testing.assert_close(found, torch.autograd.grad(3 * expected, logits, retain_graph=True))


def test_focal_sum_of_extreme_logits() -> None:
    logits = torch.tensor([[-200.0, 200.0], [200.0, -200.0], [3e38, -3e38]]).requires_grad_()
    whole = focal_sum(logits, torch.tensor([[1.0, 0.0]] * 3), torch.tensor([1.0, 1.0, 0.0]))
    whole.backward()
    assert whole.item() == pytest.approx(200 * (0.25 + 0.75))
    assert logits.grad.flatten().tolist() == pytest.approx([-0.25, 0.75, 0, 0, 0, 0])


def test_quality_focal_vanishes_at_its_target() -> None:
    assert quality_focal(torch.zeros(1), torch.tensor([0.5])).item() == pytest.approx(0.0)


def test_smooth_l1_by_hand() -> None:
    values = smooth_l1(torch.tensor([0.05, 1.0]), beta=0.11)
    assert values.tolist() == pytest.approx([0.05**2 / 0.22, 1 - 0.055])


def test_balanced_l1_is_continuous() -> None:
    near, far = balanced_l1(torch.tensor([0.11 - 1e-6, 0.11 + 1e-6]))
    assert near.item() == pytest.approx(far.item(), abs=1e-4)


def test_giou_loss_of_equal_boxes_is_zero() -> None:
    box = torch.tensor([[0.0, 0, 3, 4]])
    assert giou_loss(box, box).item() == pytest.approx(0.0)


@pytest.mark.parametrize("path", golden("mutual_guidance/mg_primitives.npz"))
def test_primitives_of_the_official_code(path) -> None:
    case = np.load(GOLDEN / "mutual_guidance" / "mg_primitives.npz", allow_pickle=False)
    names = [n for n in case.files if n.startswith(("bl1", "focal_v1"))]
    assert names
    difference = torch.from_numpy(case["bl1_pred"] - case["bl1_target"])
    np.testing.assert_allclose(balanced_l1(difference).numpy(), case["bl1_elementwise"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("path", golden("mutual_guidance/mg_primitives.npz"))
def test_focal_of_the_official_code(path) -> None:
    case = np.load(path, allow_pickle=False)
    logits, target = torch.from_numpy(case["focal_logits"]), torch.from_numpy(case["focal_target"]).float()
    for gamma in (1, 2):
        ours = sigmoid_focal(logits, target, 0.25, float(gamma)).numpy()
        np.testing.assert_allclose(ours, case[f"focal_v1_alpha025_gamma{gamma}_elementwise"], rtol=1e-4, atol=1e-6)
