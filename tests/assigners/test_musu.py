"""MuSu by hand and against the paper-derived vectors, both readings of the owner."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from assignbench.assigners.musu import MuSu, MuSuCriterion
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets
from assignbench.losses import focal_on_log_probability, sigmoid_focal
from assignbench.methods import PRESETS, build
from assignbench.priors import Priors
from tests.assigners.cases import objects_of, points_of, predictions_of, read
from tests.conftest import golden


def test_by_hand() -> None:
    """Three points in one object: p = .8, .4, .2 and q = IoU^4 of boxes with IoU 1, .9, .5, and one outside."""
    points = torch.tensor([[5.0, 5], [6, 5], [4, 5], [30, 30]])
    priors = Priors.from_points(points, torch.full((4,), 4.0))
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 10], [0, 0, 5, 10], [0, 0, 10, 10]])
    p = torch.tensor([0.4, 0.8, 0.2, 0.9])
    predictions = Predictions(torch.logit(p)[:, None], torch.zeros(4, 4), boxes)
    result = MuSu()(priors, predictions, Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0])))
    # Eq. (1): joint .4, .8 * .6561 = .525, .2 * .0625 = .0125; Eq. (2): above .1 * .525 are the first two.
    torch.testing.assert_close(result.prior_diagnostics["joint"][0], torch.tensor([0.4, 0.8 * 0.9**4, 0.2 * 0.5**4, 0]))
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
    priors = Priors.from_points(points, torch.full((2,), 4.0))
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    predictions = Predictions(torch.logit(p), torch.zeros(2, 4), boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    losses = MuSuCriterion()(priors, predictions, objects, MuSu()(priors, predictions, objects), Context())
    expected = positive[0, 0] + negative[0, 1] + negative[1].sum()  # w = 1, so (1 - w)^4 l- vanishes; N = 1
    assert losses["loss_cls"].value().item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses["loss_box"].value().item() == pytest.approx(0.0, abs=1e-6)


def test_equation_5_by_hand() -> None:
    """The box loss is the weighted sum of 1 - GIoU over the sum of weights: exact, 9/10 and 1/2 of the object."""
    points = torch.tensor([[5.0, 5], [6, 5], [4, 5]])
    priors = Priors.from_points(points, torch.full((3,), 4.0))
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 10], [0, 0, 5, 10]])
    predictions = Predictions(torch.zeros(3, 1), torch.zeros(3, 4), boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    index = torch.zeros(1, 3, dtype=torch.long)
    weight = torch.tensor([[1.0, 0.5, 0.25]])
    targets = Targets(index, weight, weight)
    losses = MuSuCriterion()(priors, predictions, objects, Assignment(targets, targets), Context())
    # Boxes inside the object: the hull is the object and GIoU is IoU.
    assert losses["loss_box"].value().item() == pytest.approx((1 * 0 + 0.5 * 0.1 + 0.25 * 0.5) / 1.75, rel=1e-5)


@pytest.mark.parametrize("path", golden("musu/*.npz") + golden("mutual_extra/musu_edge.npz"))
@pytest.mark.parametrize("owners", ["literal", "inside_first"])
def test_golden(path, owners) -> None:
    """Owners, P, thresholds, bags, v, ranks, weights, N and losses, undivided and divided."""
    case = read(path)
    assigner = MuSu(
        theta=float(case["theta"]),
        threshold=float(case["b"]),
        alpha=float(case["alpha"]),
        tau_ratio=float(case["tau_ratio"]),
        owners=owners,
    )
    priors, objects = points_of(case), objects_of(case)
    predictions = replace(predictions_of(case, quality="obj_logits"), quality_kind="implicit")
    result = assigner(priors, predictions, objects)
    told = {name: value[0].numpy() for name, value in (result.diagnostics | result.prior_diagnostics).items()}

    def wanted(name: str) -> np.ndarray:
        return case[f"{owners}_{name}"]

    bagged = wanted("in_bag")
    np.testing.assert_array_equal(told["owner"], wanted("owner"))
    np.testing.assert_allclose(told["joint"], wanted("joint_P"), rtol=1e-4, atol=1e-6)
    if len(wanted("bag_size")):
        np.testing.assert_array_equal(told["bag_size"], wanted("bag_size"))
        np.testing.assert_allclose(told["bag_threshold"], wanted("bag_threshold"), rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(result.cls.index[0].numpy() >= 0, bagged)
    np.testing.assert_array_equal(result.cls.index[0].numpy(), wanted("gt_assign"))
    for task, weight in (("cls", result.cls.quality), ("reg", result.box.weight)):
        np.testing.assert_allclose(told[f"v_{task}"][bagged], wanted(f"v_{task}")[bagged], rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(told[f"rank_{task}"], wanted(f"rank_{task}"))
        np.testing.assert_allclose(weight[0].numpy(), wanted(f"w_{task}"), rtol=1e-4, atol=1e-6)
    assert told["weight_cls"] == pytest.approx(float(wanted("N_cls")), rel=1e-4)
    assert told["weight_box"] == pytest.approx(float(wanted("N_reg")), rel=1e-4)
    criterion = MuSuCriterion(
        focal_alpha=float(case["fl_alpha"]), focal_gamma=float(case["fl_gamma"]), beta=float(case["beta"])
    )
    losses = criterion(priors, predictions, objects, result, Context())
    for key, name in (("loss_cls", "loss_cls"), ("loss_box", "loss_reg")):
        assert losses[key].sum.item() == pytest.approx(float(wanted(f"{name}_sum")), rel=1e-4, abs=1e-6)
        assert losses[key].value().item() == pytest.approx(float(wanted(name)), rel=1e-4, abs=1e-7)


def test_hard_labels_turn_equation_7_into_the_focal_loss() -> None:
    """MuSu's baselines: FCOS's labels with MuSu's criterion."""
    points = torch.tensor([[5.0, 5], [50, 50]])
    priors = Priors.from_points(points, torch.full((2,), 4.0))
    p = torch.tensor([[0.7, 0.2], [0.1, 0.3]])
    predictions = Predictions(torch.logit(p), boxes=torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]]))
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    built = build(PRESETS["fcos_plus_plus"].method)
    losses = built.criterion(priors, predictions, objects, built.assigner(priors, predictions, objects), Context())
    expected = sigmoid_focal(torch.logit(p), torch.tensor([[1.0, 0], [0, 0]])).sum()
    assert losses["loss_cls"].value().item() == pytest.approx(expected.item(), rel=1e-5)


def test_presets_differ_from_their_baseline_in_the_assigner_alone() -> None:
    base = PRESETS["fcos_plus_plus"].method
    for name in ("musu", "musu_p", "musu_q", "musu_hard", "musu_literal"):
        method = PRESETS[name].method
        assert PRESETS[name].baseline == "fcos_plus_plus"
        assert base.model_copy(update={"name": name, "preset": name, "assigner": method.assigner}) == method


def test_variants() -> None:
    with pytest.raises(ValueError, match="alpha"):
        MuSu(alpha=2)
    assert MuSu().needs.priors == ("point",)
