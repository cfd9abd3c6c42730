"""Mutual labeling: Otsu by hand and by sweep, labels and losses against the paper-derived vectors."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from assignbench.assigners.mlc import MLCCriterion, MutualLabeling, otsu_thresholds
from assignbench.conformance import make_case, random_boxes
from assignbench.contract import BACKGROUND, IGNORE, Context, Objects, Predictions
from assignbench.priors import Priors
from tests.assigners.cases import anchors_of, objects_of, points_of, predictions_of, read
from tests.conftest import golden


def test_otsu_by_hand() -> None:
    values = torch.tensor([[0.1, 0.9, 0.2, 0.8, 0.5, 0.3, 0.3]])
    owner = torch.tensor([[0, 0, 0, 0, -1, 1, 1]])
    found = otsu_thresholds(values, owner, 3)[0]
    # Owner 0: {.1, .2} against {.8, .9}, midpoint .5; owner 1: equal values; owner 2: nothing.
    assert found[0].item() == pytest.approx(0.5)
    assert torch.isnan(found[1:]).all()


@pytest.mark.parametrize("path", golden("mutual_extra/otsu.json"))
def test_otsu_golden(path) -> None:
    for case in json.loads(path.read_text()):
        values = torch.tensor([case["values"]], dtype=torch.float32)
        found = otsu_thresholds(values, torch.zeros_like(values, dtype=torch.long), 1)[0, 0].item()
        if case["expected"] is None:
            assert np.isnan(found), case["note"]
        else:
            assert found == pytest.approx(case["expected"]["tau"], abs=1e-6), case["note"]


def test_labels_by_hand() -> None:
    """Eqs. (4)-(8): four candidates, one of them formerly ignored."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 6, 10], [0, 0, 4.5, 10], [0, 0, 10, 9], [60, 60, 70, 70]])
    predicted = torch.tensor([[0.0, 0, 3, 10], [0, 0, 9, 10], [0, 0, 8, 10], [0, 0, 2, 10], [0, 0, 1, 1]])
    scores = torch.tensor([0.9, 0.2, 0.8, 0.1, 0.5])
    predictions = Predictions(torch.logit(scores)[:, None], torch.zeros(5, 4), predicted)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    result = MutualLabeling(alpha=0.5)(Priors(boxes), predictions, objects, Context(progress=1.0))
    # I = .3, .9, .8, .2: Otsu cuts at .55. S = .9, .2, .8, .1: cut at .5. Prior 2 (IoU .45) was ignored.
    assert result.cls.index[0].tolist() == [BACKGROUND, 0, 0, BACKGROUND, BACKGROUND]
    assert result.box.index[0].tolist() == [0, BACKGROUND, 0, BACKGROUND, BACKGROUND]
    torch.testing.assert_close(result.cls.weight[0], torch.tensor([1, 1, 0.25**0.5, 1, 1]))
    torch.testing.assert_close(result.box.weight[0], torch.tensor([1, 1, 0.3**0.5, 1, 1]))
    early = MutualLabeling()(Priors(boxes), predictions, objects, Context(progress=0.2))
    assert early.cls.index[0].tolist() == [0, 0, IGNORE, 0, BACKGROUND]


def check(case, prefix: str, assigner: MutualLabeling, priors: Priors) -> None:
    predictions = replace(predictions_of(case), quality_logits=torch.from_numpy(case["iou_logits"])[None])
    objects = objects_of(case)
    result = assigner(priors, predictions, objects, Context(progress=1.0))
    np.testing.assert_array_equal(result.diagnostics["candidate"][0].numpy(), case[f"{prefix}candidate_gt"])
    np.testing.assert_array_equal(result.cls.index[0].numpy(), case[f"{prefix}cls_assign"])
    np.testing.assert_array_equal(result.box.index[0].numpy(), case[f"{prefix}reg_assign"])
    np.testing.assert_allclose(result.cls.weight[0].numpy(), case[f"{prefix}w_cls"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.box.weight[0].numpy(), case[f"{prefix}w_loc"], rtol=1e-4, atol=1e-5)
    losses = MLCCriterion()(priors, predictions, objects, result, Context())
    assert losses["loss_cls"].item() == pytest.approx(float(case[f"{prefix}loss_cls"]), rel=1e-4)
    if int(case[f"{prefix}n_iur"]):
        assert losses["loss_quality"].item() == pytest.approx(float(case[f"{prefix}loss_iur"]), rel=1e-4)


@pytest.mark.parametrize("path", golden("mlc/*retina*.npz") + golden("mutual_extra/mlc_retina_edge.npz"))
def test_golden_retina(path) -> None:
    case = read(path)
    if "margin_ok" in case and not bool(case["margin_ok"]):
        pytest.skip("the file says that rounding decides this case")
    check(case, "", MutualLabeling("retina", alpha=float(case["alpha"])), anchors_of(case, "anchors_xyxy"))


@pytest.mark.parametrize("path", golden("mlc/*fcos*.npz"))
@pytest.mark.parametrize(("prefix", "kind"), [("all_levels_", "fcos"), ("level_range_", "fcos_levels")])
def test_golden_fcos(path, prefix, kind) -> None:
    case = read(path)
    if not bool(case["margin_ok"]):
        pytest.skip("the file says that rounding decides this case")
    check(case, prefix, MutualLabeling(kind, alpha=float(case["alpha"])), points_of(case))


def test_rpn_draws_priors_that_are_positive_for_either_task() -> None:
    case = make_case([random_boxes(3, 1), random_boxes(2, 2)])
    rule = MutualLabeling("rpn", sample=16)
    drawn = rule(case.priors, case.predictions, case.objects, case.context)
    whole = MutualLabeling("rpn", sample=10_000)(case.priors, case.predictions, case.objects, case.context)
    taken = drawn.cls.index != -2
    assert (taken.sum(1) == 16).all()
    assert ((drawn.box.index >= 0) <= taken).all()
    positive = taken & ((drawn.cls.index >= 0) | (drawn.box.index >= 0))
    assert (positive.sum(1) <= 8).all() and positive.any()
    assert torch.equal(drawn.cls.index[taken], whole.cls.index[taken])
