"""MuSu by hand and against the paper-derived vectors, both readings of the owner."""

import math

import numpy as np
import pytest
import torch

from assignbench.assigners.musu import MuSu, MuSuCriterion
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets
from assignbench.losses import focal_on_log_probability
from assignbench.priors import Priors
from tests.assigners.cases import objects_of, points_of, predictions_of, read
from tests.conftest import golden


def test_by_hand() -> None:
    """Three points in one object: p = .8, .4, .2 and q = IoU^4 of boxes with IoU 1, .9, .5, and one outside."""
    points = torch.tensor([[5.0, 5], [6, 5], [4, 5], [30, 30]])
    priors = Priors(torch.cat([points - 4, points + 4], 1), points, torch.full((4,), 4.0), (4,), 1, "point")
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 10], [0, 0, 5, 10], [0, 0, 10, 10]])
    p = torch.tensor([0.4, 0.8, 0.2, 0.9])
    predictions = Predictions(torch.logit(p)[:, None], torch.zeros(4, 4), boxes)
    result = MuSu()(priors, predictions, Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0])))
    # Eq. (1): joint .4, .8 * .6561 = .525, .2 * .0625 = .0125; Eq. (2): above .1 * .525 are the first two.
    torch.testing.assert_close(result.diagnostics["joint"][0], torch.tensor([0.4, 0.8 * 0.9**4, 0.2 * 0.5**4, 0]))
    assert result.cls.index[0].tolist() == [0, 0, BACKGROUND, BACKGROUND]
    # Eq. (3): v_cls = q p^(1/3): .737 and .609; v_reg = p q^(1/3): .4 and .695. Eqs. (4), (6): tau = sqrt 2 and half.
    second = math.exp(-1 / math.sqrt(2))
    torch.testing.assert_close(result.cls.quality[0], torch.tensor([1, second, 0, 0]))
    torch.testing.assert_close(result.box.weight[0], torch.tensor([second**2, 1, 0, 0]))


def test_equation_7_by_hand() -> None:
    """One candidate of weight w on class 0 of two: w l+ + (1 - w)^4 l- + l of class 1; one background prior."""
    p = torch.tensor([[0.7, 0.2], [0.1, 0.3]])
    positive, negative = focal_on_log_probability(p.log())
    assert positive[0, 0].item() == pytest.approx(0.25 * 0.3**2 * -math.log(0.7))
    assert negative[0, 0].item() == pytest.approx(0.75 * 0.7**2 * -math.log(0.3), rel=1e-5)
    points = torch.tensor([[5.0, 5], [50, 50]])
    priors = Priors(torch.cat([points - 4, points + 4], 1), points, torch.full((2,), 4.0), (2,), 1, "point")
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    predictions = Predictions(torch.logit(p), torch.zeros(2, 4), boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    losses = MuSuCriterion()(priors, predictions, objects, MuSu()(priors, predictions, objects), Context())
    expected = positive[0, 0] + negative[0, 1] + negative[1].sum()  # w = 1, so (1 - w)^4 l- vanishes; N = 1
    assert losses["loss_cls"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses["loss_box"].item() == pytest.approx(0.0, abs=1e-6)


def test_equation_5_by_hand() -> None:
    """The box loss is the weighted sum of 1 - GIoU over the sum of weights: exact, 9/10 and 1/2 of the object."""
    points = torch.tensor([[5.0, 5], [6, 5], [4, 5]])
    priors = Priors(torch.cat([points - 4, points + 4], 1), points, torch.full((3,), 4.0), (3,), 1, "point")
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 10], [0, 0, 5, 10]])
    predictions = Predictions(torch.zeros(3, 1), torch.zeros(3, 4), boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    index = torch.zeros(1, 3, dtype=torch.long)
    weight = torch.tensor([[1.0, 0.5, 0.25]])
    targets = Targets(index, weight, weight)
    losses = MuSuCriterion()(priors, predictions, objects, Assignment(targets, targets), Context())
    # Boxes inside the object: the hull is the object and GIoU is IoU.
    assert losses["loss_box"].item() == pytest.approx((1 * 0 + 0.5 * 0.1 + 0.25 * 0.5) / 1.75, rel=1e-5)


@pytest.mark.parametrize("path", golden("musu/*.npz") + golden("mutual_extra/musu_edge.npz"))
@pytest.mark.parametrize("owners", ["literal", "inside_first"])
def test_golden(path, owners) -> None:
    case = read(path)
    assigner = MuSu(
        theta=float(case["theta"]),
        threshold=float(case["b"]),
        alpha=float(case["alpha"]),
        tau_ratio=float(case["tau_ratio"]),
        owners=owners,
    )
    priors, objects = points_of(case), objects_of(case)
    predictions = predictions_of(case, quality="obj_logits")
    result = assigner(priors, predictions, objects)
    if not bool(case["margin_ok"]) if "margin_ok" in case else False:
        pytest.skip("the file says that rounding decides this case")
    np.testing.assert_array_equal(result.cls.index[0].numpy(), case[f"{owners}_gt_assign"])
    np.testing.assert_allclose(result.cls.quality[0].numpy(), case[f"{owners}_w_cls"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result.box.weight[0].numpy(), case[f"{owners}_w_reg"], rtol=1e-4, atol=1e-6)
    criterion = MuSuCriterion(alpha=float(case["fl_alpha"]), gamma=float(case["fl_gamma"]), beta=float(case["beta"]))
    losses = criterion(priors, predictions, objects, result, Context())
    assert losses["loss_cls"].item() == pytest.approx(float(case[f"{owners}_loss_cls"]), rel=1e-4)
    assert losses["loss_box"].item() == pytest.approx(float(case[f"{owners}_loss_reg"]), rel=1e-4, abs=1e-7)


def test_variants() -> None:
    with pytest.raises(ValueError, match="alpha"):
        MuSu(alpha=2)
