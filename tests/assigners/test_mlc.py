"""Mutual labeling: Otsu by hand and by sweep, labels and losses against the paper-derived vectors."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from assignbench.assigners.mlc import BEFORE, MLCCriterion, MutualLabeling
from assignbench.assigners.otsu import candidates_alone, exact_otsu, histogram_otsu, segment_spearman
from assignbench.conformance_cases import make_case, random_boxes
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets
from assignbench.errors import InputError
from assignbench.methods import PRESETS, build, build_method
from assignbench.priors import Priors
from tests.assigners.cases import anchors_of, objects_of, points_of, predictions_of, read
from tests.conftest import golden


def test_otsu_by_hand() -> None:
    values = torch.tensor([[0.1, 0.9, 0.2, 0.8, 0.5, 0.3, 0.3]])
    owner = torch.tensor([[0, 0, 0, 0, -1, 1, 1]])
    found = exact_otsu(values, owner, 3)[0]
    # Owner 0: {.1, .2} against {.8, .9}, midpoint .5; owner 1: equal values; owner 2: nothing.
    assert found[0].item() == pytest.approx(0.5)
    assert torch.isnan(found[1:]).all()


@pytest.mark.parametrize("path", golden("mutual_extra/otsu.json"))
def test_otsu_golden(path) -> None:
    for case in json.loads(path.read_text()):
        values = torch.tensor([case["values"]], dtype=torch.float32)
        found = exact_otsu(values, torch.zeros_like(values, dtype=torch.long), 1)[0, 0].item()
        if case["expected"] is None:
            assert np.isnan(found), case["note"]
        else:
            assert found == pytest.approx(case["expected"]["tau"], abs=1e-6), case["note"]
            below = values[values <= found]
            assert below.max().item() == pytest.approx(case["expected"]["lower"], abs=1e-6), case["note"]


def test_labels_by_hand() -> None:
    """Eqs. (4)-(8): four candidates, one of them formerly ignored."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 6, 10], [0, 0, 4.5, 10], [0, 0, 10, 9], [60, 60, 70, 70]])
    predicted = torch.tensor([[0.0, 0, 3, 10], [0, 0, 9, 10], [0, 0, 8, 10], [0, 0, 2, 10], [0, 0, 1, 1]])
    scores = torch.tensor([0.9, 0.2, 0.8, 0.1, 0.5])
    predictions = Predictions(torch.logit(scores)[:, None], torch.zeros(5, 4), predicted)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    priors = Priors(boxes, strides=torch.ones(5), kind="anchor")
    result = MutualLabeling(alpha=0.5)(priors, predictions, objects, Context(progress=1.0))
    # I = .3, .9, .8, .2: Otsu cuts at .55. S = .9, .2, .8, .1: cut at .5. Prior 2 (IoU .45) was ignored.
    assert result.cls.index[0].tolist() == [BACKGROUND, 0, 0, BACKGROUND, BACKGROUND]
    assert result.box.index[0].tolist() == [0, BACKGROUND, 0, BACKGROUND, BACKGROUND]
    torch.testing.assert_close(result.cls.weight[0], torch.tensor([1, 1, 0.25**0.5, 1, 1]))
    torch.testing.assert_close(result.box.weight[0], torch.tensor([1, 1, 0.3**0.5, 1, 1]))
    early = MutualLabeling()(priors, predictions, objects, Context(progress=0.2))
    assert early.cls.index[0].tolist() == [0, 0, IGNORE, 0, BACKGROUND]


def test_histogram_by_hand() -> None:
    """Two values of one bin count as equal; the threshold is the first bin's upper edge."""
    values = torch.tensor([[0.1, 0.9, 0.101, 0.9, 0.5, 0.5005]])
    owner = torch.tensor([[0, 0, 0, 0, 1, 1]])
    found = histogram_otsu(values, owner, 2)[0]
    assert found[0].item() == pytest.approx((int(0.101 * 256) + 1) / 256)
    assert torch.isnan(found[1])


@pytest.mark.parametrize("seed", range(5))
def test_histogram_agrees_with_the_sweep_on_values_at_bin_centres(seed) -> None:
    random = torch.Generator().manual_seed(seed)
    values = (torch.randint(256, (2, 60), generator=random).float() + 0.5) / 256
    owner = torch.randint(-1, 4, (2, 60), generator=random)
    exact, histogram = exact_otsu(values, owner, 4), histogram_otsu(values, owner, 4)
    for b in range(2):
        for g in range(4):
            own = values[b][owner[b] == g]
            assert ((own > exact[b, g]) == (own > histogram[b, g])).all()


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_equals_scipy(seed) -> None:
    random = torch.Generator().manual_seed(seed)
    first = torch.randint(6, (2, 50), generator=random).float() / 6  # many ties
    second = torch.rand(2, 50, generator=random)
    owner = torch.randint(-1, 4, (2, 50), generator=random)
    ours = segment_spearman(first, second, owner, 5)
    for b in range(2):
        for g in range(4):
            mine = owner[b] == g
            expected = spearmanr(first[b][mine].numpy(), second[b][mine].numpy()).statistic
            assert ours[b, g].item() == pytest.approx(expected, abs=1e-6)
        assert torch.isnan(ours[b, 4])


@pytest.mark.parametrize("seed", range(3))
def test_candidates_alone_give_the_same_numbers(seed) -> None:
    random = torch.Generator().manual_seed(seed)
    first, second = torch.rand(2, 3, 80, generator=random)
    owner = torch.randint(-6, 4, (3, 80), generator=random).clamp(min=-1)
    owner[2] = -1
    held, values = candidates_alone(owner, first, second)
    assert held.shape == (3, int((owner >= 0).sum(1).max()))
    for rule in (exact_otsu, histogram_otsu):
        torch.testing.assert_close(rule(values[0], held, 4), rule(first, owner, 4), rtol=0, atol=0, equal_nan=True)
    ours, theirs = segment_spearman(*values, held, 4), segment_spearman(first, second, owner, 4)
    torch.testing.assert_close(ours, theirs, equal_nan=True)
    nothing, _ = candidates_alone(torch.full((2, 5), -1), first[:2, :5])
    assert nothing.tolist() == [[-1], [-1]]


def check(case, prefix: str, assigner: MutualLabeling, priors: Priors) -> None:
    """Candidates, I, S, thresholds, labels, weights, counts, correlations and losses."""
    predictions = replace(predictions_of(case, quality="iou_logits"))
    objects = objects_of(case)
    result = assigner(priors, predictions, objects, Context(progress=1.0))
    told = {name: value[0].numpy() for name, value in (result.diagnostics | result.prior_diagnostics).items()}

    def wanted(name: str) -> np.ndarray:
        return case[f"{prefix}{name}"]

    held = wanted("candidate_gt") >= 0
    np.testing.assert_array_equal(told["candidate"], wanted("candidate_gt"))
    np.testing.assert_array_equal(told["ignored"], wanted("ignored_flag"))
    np.testing.assert_allclose(told["iou"][held], wanted("cand_iou")[held], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(told["score"][held], wanted("cand_score")[held], rtol=1e-4, atol=1e-6)
    for ours, theirs in (("threshold_iou", "tau_loc"), ("threshold_score", "tau_cls")):
        count = len(wanted(theirs))
        found = np.nan_to_num(told[ours][:count], nan=-1)  # -1: all candidates are positive, or there is none
        np.testing.assert_allclose(found, np.nan_to_num(wanted(theirs), nan=-1), rtol=1e-4, atol=1e-6)
        value = {"tau_loc": told["iou"], "tau_cls": told["score"]}[theirs]
        for g in np.flatnonzero(found >= 0):  # the largest value of the lower class
            own = value[(told["candidate"] == g) & (value <= found[g])]
            assert own.max() == pytest.approx(float(wanted(f"{theirs}_lower")[g]), rel=1e-4, abs=1e-6)
    np.testing.assert_array_equal(result.cls.index[0].numpy(), wanted("cls_assign"))
    np.testing.assert_array_equal(result.box.index[0].numpy(), wanted("reg_assign"))
    np.testing.assert_allclose(result.cls.weight[0].numpy(), wanted("w_cls"), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.box.weight[0].numpy(), wanted("w_loc"), rtol=1e-4, atol=1e-5)
    counts = [int(told[f"positives_{name}"]) for name in ("cls", "box", "either")]
    assert counts == [int(wanted(name)) for name in ("n_cls_pos", "n_loc_pos", "n_iur")]
    if len(case["gt_boxes"]):
        np.testing.assert_allclose(told["spearman"], wanted("spearman_per_gt"), atol=1e-5)
    losses = MLCCriterion(box="iou")(priors, predictions, objects, result, Context())
    assert losses["loss_cls"].sum.item() == pytest.approx(float(wanted("loss_cls_sum")), rel=1e-4)
    assert losses["loss_cls"].value().item() == pytest.approx(float(wanted("loss_cls")), rel=1e-4)
    expected = float(np.nan_to_num(wanted("loss_iur")))
    assert losses["loss_quality"].value().item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("path", golden("mlc/*retina*.npz") + golden("mutual_extra/mlc_retina_edge.npz"))
def test_golden_retina(path) -> None:
    case = read(path)
    check(case, "", MutualLabeling("retina", alpha=float(case["alpha"])), anchors_of(case, "anchors_xyxy"))


@pytest.mark.parametrize("path", golden("mlc/*fcos*.npz"))
@pytest.mark.parametrize(("prefix", "kind"), [("all_levels_", "fcos"), ("level_range_", "fcos_levels")])
def test_golden_fcos(path, prefix, kind) -> None:
    case = read(path)
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


@pytest.mark.parametrize("path", golden("mutual_extra/mlc_fcos_edge.npz"))
def test_points_on_an_edge_are_no_candidates(path) -> None:
    case = read(path)
    check(case, "", MutualLabeling("fcos", alpha=float(case["alpha"])), points_of(case))


def test_labels_and_rescoring_switch_on_together() -> None:
    """D11: before `start` the baseline's labels hold and IoU rescoring has no loss, with and without mutual labels."""
    case = make_case([random_boxes(3, 1), random_boxes(2, 2)])
    for name in ("mlc", "iou_rescoring"):
        built = build(PRESETS[name].method)
        for progress, on in ((0.49, False), (0.5, True)):
            context = replace(case.context, progress=progress)
            result = built.assigner(case.priors, case.predictions, case.objects, context)
            assert (result.stage == BEFORE) is not on
            losses = built.criterion(case.priors, case.predictions, case.objects, result, context)
            assert set(losses) == {"loss_cls", "loss_box", "loss_quality"}
            assert (losses["loss_quality"].sum.item() > 0) is on
    rule = MutualLabeling(mutual=False)
    whole = rule(case.priors, case.predictions, case.objects, case.context)
    early = MutualLabeling()(case.priors, case.predictions, case.objects, replace(case.context, progress=0.0))
    assert torch.equal(whole.cls.index, early.cls.index)


def test_a_start_in_epochs() -> None:
    """The paper's epoch 12 is the same moment in a training of 19 and of 24 epochs."""
    case = make_case([random_boxes(3, 1)])
    rule = build_method("mlc", assigner={"start": {"epochs": 12}}).assigner
    for epoch, progress, on in ((11, 0.63, False), (12, 0.4, True), (18, 0.99, True), (0, 0.0, False)):
        context = replace(case.context, epoch=epoch, progress=progress)
        assert (rule(case.priors, case.predictions, case.objects, context).stage == BEFORE) is not on
    over = rule(case.priors, case.predictions, case.objects, replace(case.context, epoch=0, progress=1.0))
    assert over.stage == ""  # after its training a method is shown as it ended
    for wrong, told in (({"epochs": 0}, "just above 0"), ({"epoch": 12}, "did you mean 'epochs'"), ("late", "'start'")):
        with pytest.raises(InputError, match=told):
            build_method("mlc", assigner={"start": wrong})


def test_thresholds_are_said_once_and_are_not_ignored() -> None:
    assert MutualLabeling().thresholds == (0.5, 0.4, 0.0)
    assert MutualLabeling("rpn").thresholds == (0.7, 0.3, 0.3)
    assert MutualLabeling("rpn", high=0.6).thresholds == (0.6, 0.3, 0.3)
    with pytest.raises(ValueError, match="low has no meaning for candidates 'fcos'"):
        MutualLabeling("fcos", low=0.3)
    with pytest.raises(ValueError, match="low <= high"):
        MutualLabeling(high=0.3)
    case = make_case([random_boxes(5, 1)])
    found = [
        MutualLabeling("rpn", low=low, sample=10_000)(case.priors, case.predictions, case.objects, case.context)
        for low in (0.3, 0.6)
    ]
    assert (found[0].prior_diagnostics["candidate"] >= 0).sum() > (found[1].prior_diagnostics["candidate"] >= 0).sum()


def test_losses_over_the_priors_drawn_by_hand() -> None:
    """RPN: BCE of two drawn priors with p = .5 each, L1 of one box that is off by 2 in one delta; both over two."""
    priors = Priors(
        torch.tensor([[0.0, 0, 10, 10], [40, 40, 50, 50], [80, 80, 90, 90]]), strides=torch.ones(3), kind="anchor"
    )
    deltas = torch.zeros(3, 4)
    deltas[0, 1] = 2.0
    predictions = Predictions(torch.zeros(3, 1), deltas, priors.boxes)
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    cls, box = torch.tensor([[0, BACKGROUND, IGNORE]]), torch.tensor([[0, BACKGROUND, BACKGROUND]])
    assignment = Assignment(Targets.hard(cls), Targets.hard(box))
    losses = build(PRESETS["rpn_mlc"].method).criterion(priors, predictions, objects, assignment, Context())
    assert losses["loss_cls"].value().item() == pytest.approx(np.log(2))
    assert losses["loss_box"].value().item() == pytest.approx(1.0)
    smooth = MLCCriterion(box_beta=1.0)(priors, predictions, objects, assignment, Context())
    assert smooth["loss_box"].value().item() == pytest.approx(2 - 0.5)


def test_presets_differ_from_their_baseline_in_the_assigner_alone() -> None:
    for name in ("mlc", "mutual_labeling", "mlc_fcos", "mutual_labeling_fcos", "mlc_rpn"):
        method, base = PRESETS[name].method, PRESETS[PRESETS[name].baseline].method
        assert base.model_copy(update={"name": name, "preset": name, "assigner": method.assigner}) == method


def test_only_presets_with_the_papers_box_loss_are_called_printed() -> None:
    """The paper's words for anchors are smooth L1; the toolbox that it trains has L1."""
    for name in ("mlc", "mutual_labeling", "iou_rescoring", "iou_mlc"):
        assert PRESETS[name].method.criterion.parameters["box"] == "l1"
        assert PRESETS[name].source == "framework"
    assert PRESETS["mlc_fcos"].source == "printed"
