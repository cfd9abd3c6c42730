"""LTM and FreeAnchor: equations by hand, paper-derived, mmdet's and official vectors."""

import math

import numpy as np
import pytest
import torch

from assignbench.assigners.ltm import LTM, LTMCriterion, log_mean_max, log_mean_max_minus, normalised_distance
from assignbench.boxes import pairwise_iou, plus_one
from assignbench.coders import DeltaCoder
from assignbench.contract import Assignment, Context, Objects, Predictions, Targets
from assignbench.priors import Priors
from tests.assigners.cases import anchors_of, meta, objects_of, points_of, read, tensor
from tests.conftest import golden


def logs(*phi: float) -> torch.Tensor:
    return torch.tensor(phi, dtype=torch.float64).log()


def everything(values: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(values, dtype=torch.bool)


def test_mean_max_by_hand() -> None:
    """Eq. (10): phi = .5 and .014389 give 1.014599 / 3.014599; one phi gives itself; a certain one dominates."""
    phi = logs(0.5, 0.014389)
    assert log_mean_max(phi, everything(phi)).exp().item() == pytest.approx(0.336562, abs=1e-6)
    one = logs(0.3)
    assert log_mean_max(one, everything(one)).exp().item() == pytest.approx(0.3)
    sure = logs(0.1, 0.1, 1 - 1e-9)
    assert log_mean_max(sure, everything(sure)).exp().item() == pytest.approx(1.0, abs=1e-6)


def test_equation_25_and_the_misprinted_11() -> None:
    phi = logs(0.01, 0.01, 0.9, 0.01)
    assert log_mean_max_minus(phi, everything(phi)).exp().item() == pytest.approx(0.1003, abs=1e-4)
    assert log_mean_max_minus(phi, everything(phi), equation_11=True).exp().item() == pytest.approx(0.0876, abs=1e-4)
    small = logs(0.01)
    assert log_mean_max_minus(small, everything(small)).exp().item() == pytest.approx(0.99)
    # As printed, a lone anchor gives phi (1 - phi): the loss would reward a false positive.
    assert log_mean_max_minus(small, everything(small), equation_11=True).exp().item() == pytest.approx(0.0099)


def test_a_bag_of_two_anchors_by_hand() -> None:
    """Eqs. (4)-(9) and (12)-(14) for one object of class 0 of two, a bag of two anchors and one background anchor.

    Anchor 0 lies on the object, anchor 1 is twice as high, no deltas are predicted: boxes are anchors, IoU 1 and 1/2.
    """
    priors = Priors(torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 20], [50, 50, 60, 60]]))
    p = torch.tensor([[0.8, 0.1], [0.3, 0.2], [0.4, 0.05]])
    predictions = Predictions(torch.logit(p), torch.zeros(3, 4), priors.boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    result = LTM(bag=2)(priors, predictions, objects)
    assert result.bags[0][0, 0].tolist() == [0, 1]
    losses = LTMCriterion(bag=2)(priors, predictions, objects, result, Context())

    # Eq. (4): the object seen from anchor 1 is a shift of -5 / 20 / .1 = -2.5 and a stretch of ln(1/2) / .2 = -3.4657;
    # smooth L1 with its bend at .11 takes .055 off each. beta = .5.
    first, second = 0.8, 0.3 * math.exp(-0.5 * (2.5 - 0.055 + math.log(2) / 0.2 - 0.055))
    # Eqs. (7) and (10).
    plus = (first / (1 - first) + second / (1 - second)) / (1 / (1 - first) + 1 / (1 - second))
    # Eq. (5): anchor 0 has IoU 1 and is no false alarm; anchor 1: .3 x (1 - 1/2) = .15. Eqs. (8) and (25): 1 - .15.
    minus = 1 - 0.15
    # Eqs. (6), (9): the likelihood is the product; Eq. (12): its negative logarithm, each part times alpha = .5.
    assert losses["loss_positive"].item() == pytest.approx(-0.5 * math.log(plus), rel=1e-5)
    assert losses["loss_negative"].item() == pytest.approx(-0.5 * math.log(minus), rel=1e-5)
    together = (losses["loss_positive"] + losses["loss_negative"]).item()
    assert math.exp(-together / 0.5) == pytest.approx(plus * minus, rel=1e-5)
    # Eq. (13): p^2 x -ln(1 - p) over the background anchor and the bag's other class, over 2 anchors x 1 object.
    rest = sum(q * q * -math.log(1 - q) for q in (0.4, 0.05, 0.1, 0.2))
    assert losses["loss_focal"].item() == pytest.approx(0.5 * rest / 2, rel=1e-5)


def test_masked_entries_do_not_count() -> None:
    phi = logs(0.5, 0.2)
    mask = torch.tensor([True, False])
    assert log_mean_max(phi, mask).exp().item() == pytest.approx(0.5)
    assert log_mean_max_minus(phi, mask).exp().item() == pytest.approx(0.5)


def with_bags(assignment: Assignment, bag: np.ndarray) -> Assignment:
    prior = torch.from_numpy(bag)[None]
    return Assignment(assignment.cls, assignment.box, (prior, torch.ones_like(prior, dtype=torch.bool), prior.float()))


@pytest.mark.parametrize("path", golden("ltm/*.npz"))
@pytest.mark.parametrize("size", [40, 10])
def test_golden(path, size) -> None:
    case = read(path)
    priors, objects = anchors_of(case), objects_of(case)
    leaves = [tensor(case, n).requires_grad_() for n in ("cls_logits", "deltas")]
    predictions = Predictions(*leaves, DeltaCoder().decode(priors, leaves[1].detach()))
    result = LTM(bag=size)(priors, predictions, objects)
    expected = case[f"out_bag_idx__K{size}"]
    if len(expected):
        ours = result.bags[0][0].numpy()
        for g, tied in enumerate(case[f"out_bag_tied__K{size}"]):
            if not tied:
                assert set(ours[g]) == set(expected[g])
        result = with_bags(result, expected)
    losses = LTMCriterion(bag=size)(priors, predictions, objects, result, Context())
    for key, name in (("loss_positive", "match_plus"), ("loss_negative", "match_minus"), ("loss_focal", "focal")):
        assert losses[key].item() == pytest.approx(float(case[f"out_loss_{name}__K{size}"]), rel=1e-4, abs=1e-6), key
    printed = LTMCriterion(bag=size, negative="eq11", other_classes=False)(
        priors, predictions, objects, result, Context()
    )
    wanted = float(case[f"out_loss_match_minus_eq11__K{size}"])
    if math.isfinite(wanted):
        assert printed["loss_negative"].item() == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    background = float(case[f"out_loss_focal_background_only__K{size}"])
    assert printed["loss_focal"].item() == pytest.approx(background, rel=1e-4, abs=1e-6)
    if size == 40 and "out_grad_cls__K40" in case:
        torch.stack(list(losses.values())).sum().backward()
        for name, found in (("grad_cls", leaves[0]), ("grad_deltas", leaves[1])):
            scale = abs(case[f"out_{name}__K40"]).max()
            np.testing.assert_allclose(found.grad.numpy(), case[f"out_{name}__K40"], atol=1e-4 * max(scale, 1e-12))


@pytest.mark.parametrize("path", golden("ltm_af/*.npz"))
def test_golden_distance_bags(path) -> None:
    case = read(path)
    priors, objects = points_of(case), objects_of(case)
    if not len(case["gt_boxes"]):
        pytest.skip("no object")
    predictions = Predictions(torch.zeros(len(priors), 3), torch.zeros(len(priors), 4), priors.boxes)
    result = LTM(bag=int(case["K"]), kind="distance", box="giou")(priors, predictions, objects)
    prior, mask, _ = result.bags
    key = normalised_distance(priors, objects.boxes)[0]
    for g, tied in enumerate(case["out_bag_tied"]):
        ours = prior[0, g][mask[0, g]].numpy()
        expected = case["out_bag_idx"][g][case["out_bag_idx"][g] >= 0]
        assert len(ours) == len(expected) == case["out_bag_size"][g]
        if tied:
            found = np.sort(key[g, prior[0, g][mask[0, g]]].numpy())
            wanted = np.sort(case["out_bag_key"][g][case["out_bag_key"][g] >= 0])
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
        else:
            assert set(ours) == set(expected)


@pytest.mark.parametrize("path", golden("freeanchor/mmdet_*.npz"))
def test_golden_freeanchor(path) -> None:
    case = read(path)
    config = meta(case)
    priors, objects = anchors_of(case), objects_of(case)
    leaves = [tensor(case, n).requires_grad_() for n in ("cls_logits", "deltas")]
    predictions = Predictions(*leaves, DeltaCoder().decode(priors, leaves[1].detach()))
    result = LTM(bag=config["K"], beta=config["beta_w"])(priors, predictions, objects)
    if len(case["gt_boxes"]):
        # Most bags tie at the K-th IoU: their IoUs must agree, and the losses are compared on the stored bags.
        iou = pairwise_iou(objects.boxes[0], priors.boxes)
        ours = iou.gather(1, result.bags[0][0]).sort(dim=1).values
        theirs = iou.gather(1, tensor(case, "out_bag_idx")).sort(dim=1).values
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        result = with_bags(result, case["out_bag_idx"])
    criterion = LTMCriterion(
        beta=config["beta_w"], negative="freeanchor", bag=config["K"], alpha=config["alpha"], saturation=config["t1"]
    )
    losses = criterion(priors, predictions, objects, result, Context())
    if "far_out" not in path.stem:  # mmdet floors the logarithm at -100 there
        assert losses["loss_positive"].item() == pytest.approx(float(case["out_loss_pos"]), rel=1e-4, abs=1e-6)
    assert losses["loss_focal"].item() == pytest.approx(float(case["out_loss_neg"]), rel=1e-4)
    torch.stack(list(losses.values())).sum().backward()
    # torch's binary cross-entropy, which mmdet uses, divides its gradient by at least 1e-12: bags less likely than that
    # (tiny and far objects) get a smaller gradient there.
    if "far_out" not in path.stem and "tiny" not in path.stem:
        for name, found in (("out_grad_cls", leaves[0]), ("out_grad_deltas", leaves[1])):
            np.testing.assert_allclose(found.grad.numpy(), case[name], atol=1e-4 * max(abs(case[name]).max(), 1e-9))


@pytest.mark.parametrize("path", golden("freeanchor/official_*.npz"))
def test_golden_freeanchor_as_released(path) -> None:
    """The official code measures, encodes and decodes boxes inclusively and floors its logarithms at -100."""
    case = read(path)
    config = meta(case)
    priors, objects = anchors_of(case), objects_of(case)
    leaves = [tensor(case, n).requires_grad_() for n in ("cls_logits", "deltas")]
    decoded = DeltaCoder().decode(Priors(plus_one(priors.boxes)), leaves[1].detach())
    decoded = torch.cat([decoded[:, :2], decoded[:, 2:] - 1], dim=1)
    predictions = Predictions(*leaves, decoded)
    rule = LTM(bag=config["K"], beta=config["beta_w"], legacy_plus_one=True)
    result = rule(priors, predictions, objects)
    iou = pairwise_iou(plus_one(objects.boxes[0]), plus_one(priors.boxes))
    ours = iou.gather(1, result.bags[0][0]).sort(dim=1).values
    theirs = iou.gather(1, tensor(case, "out_bag_idx")).sort(dim=1).values
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    result = with_bags(result, case["out_bag_idx"])
    criterion = LTMCriterion(
        beta=config["beta_w"],
        negative="freeanchor",
        bag=config["K"],
        alpha=config["alpha"],
        saturation=config["t1"],
        legacy_plus_one=True,
    )
    losses = criterion(priors, predictions, objects, result, Context())
    if "far_out" not in path.stem:
        assert losses["loss_positive"].item() == pytest.approx(float(case["out_loss_pos"]), rel=1e-4, abs=1e-6)
    assert losses["loss_focal"].item() == pytest.approx(float(case["out_loss_neg"]), rel=1e-4)
    torch.stack(list(losses.values())).sum().backward()
    if "far_out" not in path.stem and "tiny" not in path.stem:
        for name, found in (("out_grad_cls", leaves[0]), ("out_grad_deltas", leaves[1])):
            np.testing.assert_allclose(found.grad.numpy(), case[name], atol=1e-4 * max(abs(case[name]).max(), 1e-9))


def test_random_bags_depend_on_image_and_epoch_alone() -> None:
    from assignbench.conformance import make_case, random_boxes

    case = make_case([random_boxes(3, 1), random_boxes(2, 2)])
    assigner = LTM(bag=5, random_from=20)

    def bags(**context: object) -> torch.Tensor:
        return assigner(case.priors, case.predictions, case.objects, Context(image_ids=(7, 8), **context)).bags[0]

    assert torch.equal(bags(epoch=1), bags(epoch=1))
    assert not torch.equal(bags(epoch=1), bags(epoch=2))
    alone = assigner(
        case.priors, case.predictions.images(1, 2), case.objects.images(1, 2), Context(epoch=1, image_ids=(8,))
    )
    assert torch.equal(alone.bags[0][0], bags(epoch=1)[1])


def test_refuses_an_impossible_bag() -> None:
    with pytest.raises(ValueError, match="bag"):
        LTM(bag=40, random_from=20)
    empty = Targets.hard(torch.full((1, 1), -1))
    with pytest.raises(ValueError, match="needs bags"):
        LTMCriterion()(Priors(torch.ones(1, 4)), None, None, Assignment(empty, empty), Context())  # type: ignore[arg-type]


@pytest.mark.parametrize("negative", ["eq25", "freeanchor", "none"])
@pytest.mark.parametrize("other_classes", [True, False])
def test_the_sparse_and_the_dense_way_agree(negative, other_classes) -> None:
    from assignbench.conformance import make_case, random_boxes

    case = make_case([random_boxes(5, 1), random_boxes(2, 2)])
    criterion = LTMCriterion(negative=negative, other_classes=other_classes, bag=12, saturation=0.3)
    prior, mask, _ = LTM(bag=12)(case.priors, case.predictions, case.objects).bags
    overlap = pairwise_iou(case.objects.boxes, case.predictions.boxes) * case.objects.valid.unsqueeze(-1)
    told = []
    for way in (criterion._sparse, criterion._dense):
        logits = case.predictions.cls_logits.clone().requires_grad_()
        predictions = Predictions(logits, case.predictions.deltas, case.predictions.boxes)
        score, focal = way(predictions, case.objects, prior, mask, overlap)
        (score.square().sum() + focal).backward()
        told.append((score.detach(), focal.detach(), logits.grad))
    for sparse, dense in zip(*told, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-6)
