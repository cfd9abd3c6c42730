"""LTM: equations by hand and vectors derived from the paper."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from assignbench.assigners.ltm import LTM, LTMCriterion, box_term, class_log_scores, log_phi_minus, normalised_distance
from assignbench.assigners.mean_max import log_max, log_mean_max, log_mean_max_minus
from assignbench.boxes import pairwise_iou
from assignbench.coders import coder_for
from assignbench.conformance_cases import make_case, random_boxes
from assignbench.contract import BACKGROUND, Assignment, Context, Objects, Predictions, Targets, total
from assignbench.methods import PRESETS, build
from assignbench.priors import Priors
from assignbench.select import prior_iou
from tests.assigners.cases import anchors_of, objects_of, points_of, read, tensor, with_bags
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
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 20], [50, 50, 60, 60]])
    priors = Priors(boxes, strides=torch.ones(3), kind="anchor")
    p = torch.tensor([[0.8, 0.1], [0.3, 0.2], [0.4, 0.05]])
    predictions = Predictions(torch.logit(p), torch.zeros(3, 4), priors.boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    result = LTM(bag=2)(priors, predictions, objects)
    assert result.bags.prior[0, 0].tolist() == [0, 1]
    terms = LTMCriterion()(priors, predictions, objects, result, Context())
    losses = {name: term.value() for name, term in terms.items()}

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


def test_a_bag_whose_likelihoods_are_all_zero() -> None:
    """M- is defined as 1 there; as printed, Eq. 11 gives 0, whose loss is infinite. No slope is NaN."""
    phi = torch.full((1, 3), -float("inf"), requires_grad=True)
    assert log_mean_max_minus(phi, everything(phi)).item() == 0
    assert log_mean_max_minus(phi, everything(phi), equation_11=True).item() == -float("inf")
    log_mean_max_minus(phi, everything(phi)).sum().backward()
    assert torch.equal(phi.grad, torch.zeros_like(phi))


@pytest.mark.parametrize("seed", range(4))
def test_the_slope_of_the_mean_max_functions(seed) -> None:
    """Given in closed form; against the difference quotient of its definition, in double precision."""
    random = torch.Generator().manual_seed(seed)
    phi = (torch.rand(5, 7, generator=random, dtype=torch.float64) * 0.98 + 0.01).log().requires_grad_()
    mask = torch.rand(5, 7, generator=random) < 0.8
    mask[:, 0] = True
    assert torch.autograd.gradcheck(lambda x: log_mean_max(x, mask), (phi,))
    assert torch.autograd.gradcheck(lambda x: log_mean_max_minus(x, mask), (phi,))


def test_a_sure_member_has_a_finite_slope() -> None:
    """Where 1 - phi is at the guard, the shares of the others vanish and the slope is the number of members."""
    phi = torch.tensor([[0.0, -3.0, -5.0]], requires_grad=True)
    value = log_mean_max(phi, everything(phi))
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    value.sum().backward()
    torch.testing.assert_close(phi.grad, torch.tensor([[3.0, 0.0, 0.0]]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("path", golden("ltm/*.npz"))
@pytest.mark.parametrize("size", [40, 10])
def test_golden(path, size) -> None:
    """Bags, their IoUs, box losses, phi+, phi-, M+, M-, every loss and their total, Eq. 11, and gradients."""
    case = read(path)

    def wanted(name: str) -> np.ndarray:
        return case[f"out_{name}__K{size}"]

    priors, objects = anchors_of(case), objects_of(case)
    leaves = [tensor(case, n).requires_grad_() for n in ("cls_logits", "deltas")]
    predictions = Predictions(*leaves, coder_for(priors).decode(priors, leaves[1].detach()))
    result = LTM(bag=size)(priors, predictions, objects)
    count = len(case["gt_boxes"])
    if count:
        iou = prior_iou(priors, objects)[0]
        found = result.bags.prior[0]
        expected = wanted("bag_idx")
        ours, theirs = (iou.gather(1, t).sort(1).values for t in (found, torch.from_numpy(expected)))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        np.testing.assert_allclose(theirs.numpy(), np.sort(wanted("bag_iou"), 1), atol=1e-6)
        for g in np.flatnonzero(~wanted("bag_tied")):
            assert set(found[g].tolist()) == set(expected[g].tolist())
        result = with_bags(result, expected)
        check_likelihoods(case, size, priors, predictions, objects, result)
    terms = LTMCriterion()(priors, predictions, objects, result, Context())
    for key, name in (("loss_positive", "match_plus"), ("loss_negative", "match_minus"), ("loss_focal", "focal")):
        assert terms[key].value().item() == pytest.approx(float(wanted(f"loss_{name}")), rel=1e-4, abs=1e-6), key
    assert total(terms).item() == pytest.approx(float(wanted("loss_total")), rel=1e-4)
    focal = 0.5 * (float(wanted("focal_background_sum")) + float(wanted("focal_otherclass_sum")))
    assert terms["loss_focal"].sum.item() == pytest.approx(focal, rel=1e-4)
    printed = LTMCriterion(negative="eq11", other_classes=False)(priors, predictions, objects, result, Context())
    infinite = float(wanted("loss_match_minus_eq11"))
    assert printed["loss_negative"].value().item() == pytest.approx(infinite, rel=1e-4, abs=1e-6)
    background = float(wanted("loss_focal_background_only"))
    assert printed["loss_focal"].value().item() == pytest.approx(background, rel=1e-4, abs=1e-6)
    total(terms).backward()
    for name, leaf in (("grad_cls", leaves[0]), ("grad_deltas", leaves[1])):
        if f"out_{name}_abs_sum__K{size}" in case:
            summed = float(wanted(f"{name}_abs_sum"))
            assert leaf.grad.abs().sum().item() == pytest.approx(summed, rel=1e-3, abs=1e-6)
        if f"out_{name}__K{size}" in case:
            scale = abs(wanted(name)).max()
            np.testing.assert_allclose(leaf.grad.numpy(), wanted(name), atol=1e-4 * max(scale, 1e-12))


def check_likelihoods(case, size, priors, predictions, objects, result) -> None:
    def close(ours: torch.Tensor, name: str, rtol: float = 1e-5, atol: float = 1e-5) -> None:
        expected = case[f"out_{name}__K{size}"]
        np.testing.assert_allclose(ours[0].detach().numpy(), expected, rtol=rtol, atol=atol, err_msg=name)

    predictions = predictions.detached()
    bags = result.bags
    box = box_term(priors, predictions, objects, bags.prior, "smooth_l1")
    close(box, "reg_smoothl1_sum", 1e-4, 1e-4)
    score = class_log_scores(predictions, bags.prior, objects.labels)
    plus, minus = score - 0.5 * box, log_phi_minus(priors, predictions, objects, bags, score)
    close(plus, "log_phi_plus", 1e-4, 1e-4)
    close(plus.exp(), "phi_plus")
    close(minus.exp(), "phi_minus")
    close(log_mean_max(plus, bags.mask).exp(), "mplus")
    close(log_mean_max_minus(minus, bags.mask).exp(), "mminus")
    close(log_mean_max_minus(minus, bags.mask, equation_11=True).exp(), "mminus_eq11")
    close(-log_mean_max(plus, bags.mask), "neglog_mplus", 1e-4, 1e-5)
    close(-log_mean_max_minus(minus, bags.mask), "neglog_mminus", 1e-4, 1e-5)
    close(-log_mean_max_minus(minus, bags.mask, equation_11=True), "neglog_mminus_eq11", 1e-4, 1e-5)
    best = pairwise_iou(objects.boxes[0], predictions.boxes[0]).amax(0)
    np.testing.assert_allclose(best.numpy(), case["out_max_iou_pred"], atol=1e-5)
    inside = np.zeros(len(priors), bool)
    inside[bags.prior[0].flatten().numpy()] = True
    np.testing.assert_array_equal(inside, case[f"out_in_any_bag__K{size}"])


@pytest.mark.parametrize("path", golden("ltm/*.npz"))
def test_what_the_assigner_tells_of_its_own_bags(path) -> None:
    """Diagnostics: the likelihoods of every member and the mean-max of the bags, where no tie leaves the bag open."""
    case = read(path)
    priors, objects = anchors_of(case), objects_of(case)
    deltas = tensor(case, "deltas")
    predictions = Predictions(tensor(case, "cls_logits"), deltas, coder_for(priors).decode(priors, deltas))
    told = {name: value[0].numpy() for name, value in LTM()(priors, predictions, objects).diagnostics.items()}
    for g in np.flatnonzero(~case["out_bag_tied__K40"]):
        assert told["bag_size"][g] == len(case["out_bag_idx__K40"][g])
        for name in ("plus", "minus"):
            np.testing.assert_allclose(told[f"m_{name}"][g], case[f"out_m{name}__K40"][g], rtol=1e-4, atol=1e-6)
            expected = np.sort(case[f"out_phi_{name}__K40"][g])
            np.testing.assert_allclose(np.sort(told[f"phi_{name}"][g]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", golden("ltm_af/*.npz"))
def test_golden_distance_bags(path) -> None:
    case = read(path)
    priors, objects = points_of(case), objects_of(case)
    predictions = Predictions(torch.zeros(len(priors), 3), boxes=priors.boxes)
    result = LTM(bag=int(case["K"]), kind="distance", box="giou")(priors, predictions, objects)
    prior, mask = result.bags.prior[0], result.bags.mask[0]
    if not len(case["gt_boxes"]):
        assert not mask.any() and int(result.cls.index.max()) < 0
        return
    key = normalised_distance(priors, objects.boxes)[0]
    np.testing.assert_array_equal(result.diagnostics["bag_size"][0].numpy(), case["out_bag_size"])
    covered = np.zeros(len(priors), bool)
    starts = np.cumsum([0, *priors.level_sizes])
    for g, tied in enumerate(case["out_bag_tied"]):
        ours, expected = prior[g][mask[g]].numpy(), case["out_bag_idx"][g][case["out_bag_idx"][g] >= 0]
        found = np.sort(key[g, prior[g][mask[g]]].numpy())
        np.testing.assert_allclose(found, np.sort(case["out_bag_key"][g][case["out_bag_key"][g] >= 0]), rtol=1e-6)
        if len(found):
            assert found[-1] == pytest.approx(float(case["out_key_kth"][g]), rel=1e-6)
        else:
            assert np.isnan(case["out_key_kth"][g]) and bool(torch.isnan(result.diagnostics["m_plus"][0, g]))
        if not tied:
            assert set(ours) == set(expected)
            per_level = np.histogram(ours, starts)[0]
            np.testing.assert_array_equal(per_level, case["out_bag_level_counts"][g])
        covered[ours] = True
    if not case["out_bag_tied"].any():
        np.testing.assert_array_equal(covered, case["out_in_any_bag"])


def test_random_bags_depend_on_image_and_epoch_alone() -> None:
    case = make_case([random_boxes(3, 1), random_boxes(2, 2)])
    assigner = LTM(bag=5, random_from=20)

    def bags(**context: object) -> torch.Tensor:
        told = Context(image_ids=(7, 8), **context)
        return assigner(case.priors, case.predictions, case.objects, told).bags.prior

    assert torch.equal(bags(epoch=1), bags(epoch=1))
    assert not torch.equal(bags(epoch=1), bags(epoch=2))
    alone = assigner(
        case.priors, case.predictions.images(1, 2), case.objects.images(1, 2), Context(epoch=1, image_ids=(8,))
    )
    assert torch.equal(alone.bags.prior[0], bags(epoch=1)[1])


def test_parameters_of_the_matching_live_in_the_assigner_alone() -> None:
    """A changed beta, bag or box loss reaches the criterion with the bags."""
    case = make_case([random_boxes(3, 1)])
    values = []
    for rule in (LTM(bag=6), LTM(bag=6, beta=0.1), LTM(bag=6, box="giou"), LTM(bag=3)):
        result = rule(case.priors, case.predictions, case.objects, case.context)
        terms = LTMCriterion()(case.priors, case.predictions, case.objects, result, case.context)
        values.append(terms["loss_positive"].value().item())
        assert terms["loss_focal"].count.item() == 3 * rule.bag
    assert len(set(values)) == 4


def test_a_bag_as_positives_for_a_criterion_of_labels() -> None:
    """K anchors: every member is positive alike, the object of higher IoU takes what two bags share."""
    case = make_case([random_boxes(4, 1)])
    result = LTM(bag=6, labels="bag")(case.priors, case.predictions, case.objects, case.context)
    iou = prior_iou(case.priors, case.objects)[0]
    bags = result.bags.prior[0]
    for a, g in enumerate(result.cls.index[0].tolist()):
        claimants = [h for h in range(len(bags)) if a in bags[h] and iou[h, a] > 0]
        assert g == (max(claimants, key=lambda h: float(iou[h, a])) if claimants else -1)
    positive = result.cls.index >= 0
    assert (result.box.weight[positive] == 1).all() and (result.box.weight[~positive] == 0).all()
    built = build(PRESETS["k_anchors"].method)
    losses = built.criterion(
        case.priors, replace(case.predictions, quality_logits=None), case.objects, result, Context()
    )
    assert math.isfinite(total(losses).item())


def test_multiple_instance_learning_takes_the_best_member() -> None:
    phi = logs(0.2, 0.7, 0.9)
    assert log_max(phi, torch.tensor([True, True, False])).exp().item() == pytest.approx(0.7)


def test_the_iou_of_equation_5_teaches_boxes_only_if_asked() -> None:
    case = make_case([random_boxes(3, 1)])
    result = LTM(bag=6)(case.priors, case.predictions, case.objects, case.context)
    for through in (False, True):
        boxes = case.predictions.boxes.clone().requires_grad_()
        told = Predictions(case.predictions.cls_logits, case.predictions.deltas, boxes)
        terms = LTMCriterion(through_iou=through)(case.priors, told, case.objects, result, Context())
        value = terms["loss_negative"].value()
        if not through:
            assert not value.requires_grad
            plain = value.item()
            continue
        assert value.item() == pytest.approx(plain, rel=1e-5)
        value.backward()
        assert torch.isfinite(boxes.grad).all() and boxes.grad.abs().sum() > 0


def test_refuses_an_impossible_bag() -> None:
    with pytest.raises(ValueError, match="bag"):
        LTM(bag=40, random_from=20)
    with pytest.raises(ValueError, match="set box: giou"):
        LTM(kind="distance")
    case = make_case([random_boxes(1, 1)])
    empty = Targets.hard(torch.full((1, len(case.priors)), -1))
    with pytest.raises(ValueError, match="needs bags"):
        LTMCriterion()(case.priors, case.predictions, case.objects, Assignment(empty, empty), Context())
    points = make_case([random_boxes(1, 1)], kind="point")
    with pytest.raises(ValueError, match="smooth_l1"):
        LTM(bag=3)(points.priors, points.predictions, points.objects)


@pytest.mark.parametrize("negative", ["eq25", "freeanchor", "none"])
@pytest.mark.parametrize("other_classes", [True, False])
def test_the_sparse_and_the_dense_way_agree(negative, other_classes) -> None:
    case = make_case([random_boxes(5, 1), random_boxes(2, 2)])
    criterion = LTMCriterion(negative=negative, other_classes=other_classes, saturation=0.3)
    bags = LTM(bag=12)(case.priors, case.predictions, case.objects).bags
    told = []
    for way in (criterion._sparse, criterion._dense):
        logits = case.predictions.cls_logits.clone().requires_grad_()
        predictions = Predictions(logits, case.predictions.deltas, case.predictions.boxes)
        score, focal = way(case.priors, predictions, case.objects, bags)
        (score.square().sum() + focal).backward()
        told.append((score.detach(), focal.detach(), logits.grad))
    for sparse, dense in zip(*told, strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-6)


def test_the_surfaces_of_figure_2_are_the_functions() -> None:
    rows = LTM().formulas()
    assert {row["curve"] for row in rows} == {"M+", "M-"}
    for row in rows[::97]:
        pair = logs(row["x"], row["y"])
        function = {"M+": log_mean_max, "M-": log_mean_max_minus}[row["curve"]]
        assert row["value"] == pytest.approx(function(pair, everything(pair)).exp().item())


def test_an_orphan_of_the_anchor_free_variant_learns_from_the_point_it_got() -> None:
    """A box between four points holds none: its bag is empty, and no loss of matching is its; given a point, one is."""
    case = make_case([torch.tensor([[5.0, 5, 7, 7], [20, 20, 50, 50]])], kind="point", quality=None)
    given = (case.priors, case.predictions, case.objects)
    found = {
        rule: LTM(bag=9, kind="distance", box="giou", orphan=rule)(*given, case.context)
        for rule in ("keep", "best_prior")
    }
    kept, adopted = found["keep"].bags, found["best_prior"].bags
    assert kept.mask.sum(-1).tolist() == [[0, 9]] and adopted.mask.sum(-1).tolist() == [[1, 9]]
    overlap = prior_iou(case.priors, case.objects)[0, 0]
    assert overlap[adopted.prior[0, 0, 0]] == overlap.max() > 0
    assert torch.equal(kept.prior[0, 1], adopted.prior[0, 1])
    assert (found["best_prior"].cls.index == 0).sum() == 1 and not (found["keep"].cls.index == 0).any()
    terms = {rule: LTMCriterion()(*given, result, case.context) for rule, result in found.items()}
    for key in ("loss_positive", "loss_negative"):
        assert terms["best_prior"][key].sum > terms["keep"][key].sum


def test_an_orphan_that_touches_no_point_stays_one() -> None:
    case = make_case([torch.tensor([[500.0, 500, 520, 520]])], kind="point", quality=None)
    rule = LTM(bag=3, kind="distance", box="giou", orphan="best_prior")
    assert not rule(case.priors, case.predictions, case.objects).bags.mask.any()


def test_bags_by_iou_leave_no_orphan_so_that_the_word_is_refused() -> None:
    with pytest.raises(ValueError, match="orphan 'best_prior' would change nothing"):
        LTM(orphan="best_prior")
    assert LTM(orphan="best_prior", labels="bag").orphan == "best_prior"


def test_labels_of_a_bag_adopt_an_orphan() -> None:
    """Two objects share all members of their bags; the one that loses them all gets its best free prior."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 10, 30]])
    priors = Priors(boxes, strides=torch.ones(3), kind="anchor")
    predictions = Predictions(torch.zeros(3, 1), torch.zeros(3, 4), boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]]), torch.tensor([0, 0]))
    for orphan, expected in (("keep", [[0, 0, BACKGROUND]]), ("best_prior", [[0, 1, BACKGROUND]])):
        found = LTM(bag=2, labels="bag", orphan=orphan)(priors, predictions, objects)
        assert found.cls.index.tolist() == expected
