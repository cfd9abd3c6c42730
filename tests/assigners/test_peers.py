"""Peers by hand and against mmdet's outputs: FCOS, SimOTA, TAL, RTMDet, AutoAssign, one-to-one, and the controls."""

import math

import numpy as np
import pytest
import torch

from assignbench.assigners.autoassign import AutoAssign, AutoAssignCriterion
from assignbench.assigners.controls import OracleIoU, RandomMatched
from assignbench.assigners.fcos import FCOS, centerness
from assignbench.assigners.hungarian import Hungarian
from assignbench.assigners.max_iou import MaxIoU
from assignbench.assigners.simota import DynamicSoftLabel, SimOTA, binary_absence, binary_cost
from assignbench.assigners.tal import TAL, power
from assignbench.conformance_cases import make_case, random_boxes
from assignbench.contract import Context, Objects, Predictions, total
from assignbench.priors import point_grid
from assignbench.select import labels_of
from tests.assigners.cases import anchors_of, meta, objects_of, points_of, predictions_of, read, tensor
from tests.conftest import golden


def scored(case) -> Predictions:
    """Predictions whose sigmoid gives the file's probabilities."""
    scores = tensor(case, "scores").double()
    logits = torch.logit(scores).float().clamp(-80, 80)
    return Predictions(logits, None, tensor(case, "pred_boxes"))


def test_centerness_by_hand() -> None:
    # Distances 2, 4 (top 5, bottom 5): sqrt(2/4 * 1).
    value = centerness(torch.tensor([[2.0, 5.0]]), torch.tensor([[[0.0, 0, 6, 10]]]))
    assert value.item() == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize("path", golden("fcos/*.npz"))
def test_fcos(path) -> None:
    case = read(path)
    config = meta(case)
    priors = points_of(case)
    radius = config["center_sample_radius"] if config["center_sampling"] else 0.0
    nothing = Predictions(torch.zeros(len(priors), 1), None, priors.boxes)
    found = FCOS(center_radius=radius)(priors, nothing, objects_of(case))
    np.testing.assert_array_equal(found.cls.index[0].numpy(), case["out_assigned"])
    np.testing.assert_allclose(found.prior_diagnostics["ltrb"][0].numpy(), case["out_ltrb"], atol=1e-4)


@pytest.mark.parametrize("path", golden("simota/*.npz"))
def test_simota(path) -> None:
    case = read(path)
    config = meta(case)
    assigner = SimOTA(config["center_radius"], config["candidate_topk"], zero_overlap="force")
    result = assigner(anchors_of(case), scored(case), objects_of(case))
    compared = ~case["out_tie_sensitive"]
    np.testing.assert_array_equal(result.cls.index[0].numpy()[compared], case["out_assigned"][compared])
    matched = result.prior_diagnostics["matched_iou"][0].numpy()
    np.testing.assert_allclose(matched[compared], case["out_matched_iou"][compared], atol=1e-5)


def test_binary_cost_equals_torch() -> None:
    scores = torch.rand(1, 6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[2, 0]])
    onehot = torch.nn.functional.one_hot(labels, 4).float()[:, :, None, :].expand(-1, -1, 6, -1)
    expected = torch.nn.functional.binary_cross_entropy(scores[:, None].expand_as(onehot), onehot, reduction="none")
    torch.testing.assert_close(binary_cost(scores, labels, binary_absence(scores)), expected.sum(-1))


@pytest.mark.parametrize("path", golden("dynamic_soft_label/*.npz"))
def test_dynamic_soft_label(path) -> None:
    case = read(path)
    assigner = DynamicSoftLabel(zero_overlap="force")
    found = assigner(anchors_of(case), predictions_of(case), objects_of(case)).cls.index[0].numpy()
    compared = ~case["out_tie_sensitive"]
    np.testing.assert_array_equal(found[compared], case["out_assigned"][compared])


def test_power_by_multiplication() -> None:
    x = torch.tensor([0.3, 0.9])
    for exponent in (0.5, 1.0, 2.0, 5.0, 6.0, 13.0):
        torch.testing.assert_close(power(x, exponent), x.pow(exponent))


@pytest.mark.parametrize("path", golden("tal/*.npz"))
def test_tal(path) -> None:
    case = read(path)
    config = meta(case)
    assigner = TAL(config["topk"], config["alpha"], config["beta"])
    result = assigner(anchors_of(case), scored(case), objects_of(case))
    compared = ~case["out_tie_sensitive"]
    np.testing.assert_array_equal(result.cls.index[0].numpy()[compared], case["out_assigned"][compared])
    metric = result.prior_diagnostics["metric"][0].numpy()
    np.testing.assert_allclose(metric[compared], case["out_metric"][compared], rtol=1e-3, atol=1e-7)
    labels = labels_of(result.cls.index, objects_of(case).with_room().labels)[0]
    labels = labels.masked_fill(result.cls.index[0] < 0, int(case["num_classes"])).numpy()
    if "out_norm_metric" in case:
        soft = result.cls.quality[0].numpy()
        np.testing.assert_allclose(soft[compared], case["out_norm_metric"][compared], rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(labels[compared], case["out_labels"][compared])


@pytest.mark.parametrize("path", golden("autoassign/*.npz"))
def test_autoassign(path) -> None:
    case = read(path)
    priors = points_of(case)
    ltrb, points = tensor(case, "ltrb"), tensor(case, "points")
    boxes = torch.cat([points - ltrb[:, :2], points + ltrb[:, 2:]], 1)
    logits = tensor(case, "cls_logits").requires_grad_()
    predictions = Predictions(logits, None, boxes, tensor(case, "obj_logits"), "implicit")
    objects = objects_of(case)
    force = int(meta(case)["topk"]) if meta(case).get("force_topk") else 0
    criterion = AutoAssignCriterion(classes=int(case["num_classes"]), force_topk=force)
    with torch.no_grad():
        criterion.mean.copy_(tensor(case, "cp_mean"))
        criterion.sigma.copy_(tensor(case, "cp_sigma"))
    prior, holds = criterion.center_prior(priors, objects.with_room())
    if len(case["gt_boxes"]):
        np.testing.assert_allclose(prior[0].detach().numpy().T, case["out_center_prior"], atol=1e-5)
        np.testing.assert_array_equal(holds[0].numpy().T, case["out_candidate_mask"])
    terms = criterion(priors, predictions, objects, AutoAssign()(priors, predictions, objects), Context())
    found = {name: term.value() for name, term in terms.items()}
    assert found["loss_positive"].item() == pytest.approx(float(case["out_loss_pos"]), rel=1e-4, abs=1e-6)
    assert found["loss_center"].item() == pytest.approx(float(case["out_loss_center"]), rel=1e-4, abs=1e-6)
    assert found["loss_negative"].item() == pytest.approx(float(case["out_loss_neg"]), rel=1e-4, abs=1e-6)
    if "out_grad_cls" in case:
        total(terms).backward()
        np.testing.assert_allclose(logits.grad.numpy(), case["out_grad_cls"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("path", golden("hungarian/*.npz"))
def test_hungarian(path) -> None:
    case = read(path)
    objects, hw = objects_of(case).with_room(), tuple(int(v) for v in case["image_hw"])
    predictions = Predictions(tensor(case, "cls_logits"), None, tensor(case, "pred_boxes"))
    background = tensor(case, "bg_logit")[None]
    for name, rule in (("detr", Hungarian("softmax", cls_weight=1.0)), ("deformable", Hungarian())):
        cost = rule.cost(predictions, objects, Context(image_hw=hw), background if name == "detr" else None)
        if len(case["gt_boxes"]):
            np.testing.assert_allclose(cost[0].numpy(), case[f"out_cost__{name}"], rtol=1e-4, atol=1e-4)
        found = rule.solve(cost, objects.valid)[0].numpy()
        np.testing.assert_array_equal(found, case[f"out_assigned__{name}"])


def test_fcos_matches_nothing() -> None:
    priors = point_grid((32, 32), (8, 16))
    none = Objects(torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.long))
    assert bool((FCOS().match(priors, none) == -1).all())


def test_an_orphan_of_autoassign_learns_from_the_point_it_got() -> None:
    """A box between four points holds none; it costs 100 without a point, and less with one."""
    case = make_case([torch.tensor([[5.0, 5, 7, 7]])], kind="point", quality="implicit")
    criterion = AutoAssignCriterion(classes=4)
    given = (case.priors, case.predictions, case.objects)
    kept, adopted = (
        criterion(*given, AutoAssign(orphan=rule)(*given), case.context)["loss_positive"].value().item()
        for rule in ("keep", "best_prior")
    )
    assert kept == pytest.approx(25.0)  # a quarter of the floor
    assert adopted < 25.0


def test_controls_have_the_baselines_counts() -> None:
    case = make_case([random_boxes(3, 5)])
    static = MaxIoU()(case.priors, case.predictions, case.objects).cls.index

    def counts(index: torch.Tensor) -> list[int]:
        return [int((index == g).sum()) for g in range(3)]

    for assigner in (RandomMatched(), OracleIoU()):
        found = assigner(case.priors, case.predictions, case.objects, Context(image_ids=(3,))).box.index
        assert all(a <= b for a, b in zip(counts(found), counts(static), strict=True))
        assert sum(counts(found)) >= 0.7 * sum(counts(static))
    one = RandomMatched()(case.priors, case.predictions, case.objects, Context(image_ids=(3,), epoch=1)).cls.index
    two = RandomMatched()(case.priors, case.predictions, case.objects, Context(image_ids=(3,), epoch=2)).cls.index
    assert not torch.equal(one, two)


def test_objects_of_nothing() -> None:
    assert Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)).with_room().boxes.shape == (1, 1, 4)
