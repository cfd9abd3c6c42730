"""Mutual Guidance: Eq. 1 with the rows of Fig. 2, hand-worked labels, and the official code's vectors."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from assignbench.assigners import mutual_guidance
from assignbench.assigners.max_iou import MaxIoU
from assignbench.assigners.mutual_guidance import MutualGuidance, amplified_iou
from assignbench.conformance_cases import make_case, random_boxes
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions, Targets, Term, total
from assignbench.methods import PRESETS, build
from assignbench.priors import Priors
from assignbench.study.published import printed_figure
from tests.conftest import golden

ANCHORS = "ABCDEFGHIJKLM"  # of Fig. 2


def figure_2(column: str) -> torch.Tensor:
    """A printed column of Fig. 2, of anchors A to M, as shares."""
    return torch.tensor(printed_figure("mutual_guidance_figure2")[column]) / 100


def test_equation_1_gives_the_printed_rows_of_figure_2() -> None:
    printed = figure_2("iou_amplified")
    ours = amplified_iou(figure_2("iou_anchor"), figure_2("classif_score"), sigma=2.0)
    assert len(printed) == len(ANCHORS)
    # The figure prints rounded inputs: half a point of IoU and of score moves the result by up to one point.
    assert (ours - printed).abs().max() <= 0.01
    assert ((100 * ours).round() == (100 * printed).round()).sum() >= 11


@pytest.mark.parametrize("forced", [True, False])
def test_the_boat_of_figure_2_is_matched_as_the_figure_says(forced) -> None:
    """Np = 6 and Ni = 3 by the anchors; the class goes to the best regressed six, the box to the best amplified six.

    An anchor with IoU u to the object (0, 0, 100, 100) is (0, 0, 100 u, 100). The labels are those of section 3: H
    becomes positive for both tasks and F for none, C is negative for the class and positive for the box.
    """

    def slices(name: str) -> torch.Tensor:
        share = 100 * figure_2(name)[:, None]
        return torch.cat([torch.zeros(13, 2), share, torch.full((13, 1), 100.0)], dim=1)

    priors = Priors(slices("iou_anchor"), strides=torch.ones(13), kind="anchor")
    logits = torch.logit(figure_2("classif_score"))[:, None]
    predictions = Predictions(logits, torch.zeros(13, 4), slices("iou_regressed"))
    objects = Objects(torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([0]))
    found = MutualGuidance(forced=forced)(priors, predictions, objects)
    assert found.diagnostics["positives_wanted"].item() == 6 and found.diagnostics["ignored_wanted"].item() == 3

    def named(mask: torch.Tensor) -> str:
        return "".join(a for a, there in zip(ANCHORS, mask.flatten().tolist(), strict=True) if there)

    assert named(found.cls.index == 0) == "ABDEGH" and named(found.cls.index == IGNORE) == "IJL"
    assert named(found.box.index == 0) == "ABCDEH"
    static = MutualGuidance(classify="static", localize="static")(priors, predictions, objects)
    assert named(static.cls.index == 0) == "ABCDEF" and named(static.cls.index == IGNORE) == "GHI"


def test_sigma_one_with_a_certain_score_gives_one() -> None:
    assert amplified_iou(torch.tensor(0.3), torch.tensor(1.0), sigma=1.0).item() == 1.0
    with pytest.raises(ValueError, match="sigma"):
        MutualGuidance(sigma=0.5)


def priors_of(boxes: list[list[float]]) -> Priors:
    return Priors(torch.tensor(boxes), strides=torch.ones(len(boxes)), kind="anchor")


def case(regressed: list[list[float]], scores: list[float]) -> tuple[Priors, Predictions, Objects]:
    """Object (0, 0, 10, 10); priors with IoU 1, .6, .45 and 0 to it."""
    priors = priors_of([[0.0, 0, 10, 10], [0, 0, 6, 10], [0, 0, 4.5, 10], [40, 40, 50, 50]])
    logits = torch.logit(torch.tensor(scores))[:, None]
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    return priors, Predictions(logits, torch.zeros(4, 4), torch.tensor(regressed)), objects


def test_labels_by_hand() -> None:
    # Statically priors 0 and 1 are positive and 2 is ignored: Np = 2, Ni = 1.
    # Regressed IoUs .2, .9, .8, .1: priors 1 and 2 are positive for the class, 0 is ignored.
    regressed = [[0, 0, 2.0, 10], [0, 0, 9.0, 10], [0, 0, 8.0, 10], [0, 0, 1.0, 10]]
    # Amplified IoUs: 1 (forced), .6^(1 - .05) = .616, .45^(1 - .475) = .658, 0: priors 0 and 2 learn the box.
    result = MutualGuidance()(*case(regressed, [0.5, 0.1, 0.95, 0.5]))
    assert result.cls.index[0].tolist() == [IGNORE, 0, 0, BACKGROUND]
    assert result.box.index[0].tolist() == [0, BACKGROUND, 0, BACKGROUND]


def test_halves_mix_with_the_static_rule() -> None:
    inputs = case([[0, 0, 2.0, 10], [0, 0, 9.0, 10], [0, 0, 8.0, 10], [0, 0, 1.0, 10]], [0.5, 0.1, 0.95, 0.5])
    localize = MutualGuidance(localize="static")(*inputs)
    assert localize.cls.index[0].tolist() == [IGNORE, 0, 0, BACKGROUND]
    assert localize.box.index[0].tolist() == [0, 0, BACKGROUND, BACKGROUND]
    classify = MutualGuidance(classify="static")(*inputs)
    assert classify.cls.index[0].tolist() == [0, 0, IGNORE, BACKGROUND]
    assert classify.box.index[0].tolist() == [0, BACKGROUND, 0, BACKGROUND]


def test_the_printed_variant_forces_nothing_and_ranks_every_object_on_its_own() -> None:
    """Two objects want prior 0; object 1 has no prior of its own that reaches 0.5, so it gets none.

    IoUs with object 0: 1, .6, 0; with object 1 (twice as wide): .5, .3, 0.
    """
    priors = priors_of([[0.0, 0, 10, 10], [0, 0, 6, 10], [40, 40, 50, 50]])
    objects = Objects(torch.tensor([[0.0, 0, 10, 10], [0, 0, 20.5, 10]]), torch.tensor([0, 0]))
    predictions = Predictions(torch.zeros(3, 1), boxes=torch.tensor([[0.0, 0, 20, 10], [0, 0, 9, 10], [40, 0, 41, 1]]))
    printed = MutualGuidance(forced=False, exclusive=False)(priors, predictions, objects)
    assert printed.diagnostics["positives_wanted"].tolist() == [[2, 0]]
    assert printed.diagnostics["ignored_wanted"].tolist() == [[0, 1]]
    # By regressed IoU (.5 and .9 for object 0) both stay positive for object 0; its own best of object 1 is prior 0.
    assert printed.cls.index[0].tolist() == [0, 0, BACKGROUND]
    assert printed.box.index[0].tolist() == [0, 0, BACKGROUND]
    # As released, prior 0 serves object 1 better after regression and counts for it alone, where it is forced.
    released = MutualGuidance()(priors, predictions, objects)
    assert released.cls.index[0].tolist() == [1, 0, BACKGROUND]


def test_a_prior_that_several_objects_chose_goes_to_the_highest_measure() -> None:
    priors = priors_of([[0.0, 0, 10, 10], [0, 0, 6, 10]])
    objects = Objects(torch.tensor([[0.0, 0, 9, 10], [0, 0, 10, 10]]), torch.tensor([0, 1]))
    predictions = Predictions(torch.zeros(2, 2), boxes=torch.tensor([[0.0, 0, 9.8, 10], [0, 0, 9.1, 10]]))
    found = MutualGuidance(forced=False, exclusive=False)(priors, predictions, objects)
    assert found.cls.index[0].tolist() == [1, 0]


def test_blocks_of_objects_change_nothing(monkeypatch) -> None:
    case = make_case([random_boxes(9, 1), random_boxes(2, 2), random_boxes(0, 3)])
    for parameters in ({}, {"forced": False, "exclusive": False}):
        whole = MutualGuidance(**parameters)(case.priors, case.predictions, case.objects, case.context)
        monkeypatch.setattr(mutual_guidance, "PAIRS", 1)
        parts = MutualGuidance(**parameters)(case.priors, case.predictions, case.objects, case.context)
        monkeypatch.undo()
        assert torch.equal(whole.cls.index, parts.cls.index)
        assert torch.equal(whole.box.index, parts.box.index)
        told = parts.diagnostics | parts.prior_diagnostics
        for name, value in (whole.diagnostics | whole.prior_diagnostics).items():
            assert torch.equal(value, told[name]), name


def test_only_the_class_score_amplifies() -> None:
    """A quality head changes nothing."""
    case = make_case([random_boxes(4, 1)])
    plain = Predictions(case.predictions.cls_logits, case.predictions.deltas, case.predictions.boxes)
    with_head, without = (
        MutualGuidance()(case.priors, p, case.objects, case.context) for p in (case.predictions, plain)
    )
    assert torch.equal(with_head.box.index, without.box.index)


CROWD = """
import resource, torch
from assignbench.assigners.mutual_guidance import MutualGuidance
from assignbench.contract import Objects, Predictions
from assignbench.priors import anchor_grid
torch.set_num_threads(1)
torch.manual_seed(0)
size, objects, classes = %d, %d, 20
priors = anchor_grid((size, size), (8, 16, 32, 64, 128), (4.0, 5.04, 6.35), (0.5, 1.0, 2.0))
corner, sides = torch.rand(objects, 2) * size * 0.9, 8 + torch.rand(objects, 2) * 90
boxes = torch.cat([corner, corner + sides], 1)
labels = torch.randint(classes, (objects,))
predicted = priors.boxes + torch.randn(len(priors), 4) * 4
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
predictions = Predictions(torch.randn(len(priors), classes), boxes=predicted)
found = MutualGuidance()(priors, predictions, Objects(boxes, labels))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert int((found.cls.index >= 0).sum()) > 0
print(len(priors), (after - before) / 1024, after / 1024)
"""


def test_memory_is_bounded_by_a_few_matrices() -> None:
    """300 objects on 49,104 priors: a matrix is 56 MB; not more than three are alive at once, beside the blocks."""
    run = subprocess.run([sys.executable, "-c", CROWD % (512, 300)], capture_output=True, text=True, check=True)
    priors, grown, _ = run.stdout.split()
    matrix = int(priors) * 300 * 4 / 2**20
    assert float(grown) < 5 * matrix + 250


def official_priors(data) -> Priors:
    """The clamped anchors that the official code really uses, in pixels, in float32 as it computes."""
    norm = data["anchors_cxcywh_norm"] * np.float32(data["image_size"])
    corners = np.concatenate([norm[:, :2] - norm[:, 2:] / 2, norm[:, :2] + norm[:, 2:] / 2], axis=1)
    sizes = tuple(int(n) for n in data["level_counts"])
    strides = torch.cat([torch.full((n,), 8.0 * 2**i) for i, n in enumerate(sizes)])
    return Priors(torch.from_numpy(corners), strides=strides, level_sizes=sizes, kind="anchor")


def losses(priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment) -> dict[str, Term]:
    """By the preset's own criterion: the released losses."""
    return build(PRESETS["mutual_guidance"].method).criterion(priors, predictions, objects, assignment, Context())


RULES = {"": MutualGuidance(zero_overlap="force"), "static_": MaxIoU(zero_overlap="force")}


def single(pattern: str) -> list[object]:
    """The files of one image with objects; the other two kinds have tests of their own."""
    other = ("zero_gt", "batch_of")
    return [p for p in golden(pattern) if not any(name in str(p) for name in other)]


@pytest.mark.parametrize("path", single("mutual_guidance/mgv1_*.npz"))
@pytest.mark.parametrize("prefix", list(RULES))
def test_official_assignments_losses_and_gradients(path, prefix) -> None:
    data = np.load(path, allow_pickle=False)
    objects = Objects(torch.from_numpy(data["gt_boxes"]), torch.from_numpy(data["gt_labels"]))
    priors = official_priors(data)
    logits = torch.from_numpy(data["cls_logits"]).requires_grad_()
    deltas = torch.from_numpy(data["deltas"]).requires_grad_()
    predictions = Predictions(logits, deltas, torch.from_numpy(data["pred_boxes"]))
    result = RULES[prefix](priors, predictions, objects)
    if prefix:
        np.testing.assert_array_equal(result.cls.index[0].numpy(), data["static_assign"])
    else:
        told = {name: value[0].numpy() for name, value in (result.diagnostics | result.prior_diagnostics).items()}
        np.testing.assert_array_equal(told["positives_wanted"], data["n_pos_per_gt"])
        wanted = told["positives_wanted"] + told["ignored_wanted"]
        np.testing.assert_array_equal(wanted, data["n_pos_plus_ign_per_gt"])
        # Where an object has fewer priors above zero than it wants, top-k of the official code picks zeros in arbitrary
        # order, once among positive and ignored ones and once among positive ones: ours may differ from as many priors,
        # and only by leaving them out.
        picked = 0
        for ours, theirs, raw, zeros in (
            (result.cls.index, "cls_assign", "cls_quality_raw", "zero_picks_cls_per_gt"),
            (result.box.index, "reg_assign", "reg_quality_raw", "zero_picks_reg_per_gt"),
        ):
            differs = ours[0].numpy() != data[theirs]
            above_zero = data["n_pos_plus_ign_per_gt"] - data[zeros]
            twice = np.maximum(data["n_pos_per_gt"] - above_zero, 0) * (data[zeros] > 0)
            picked += int(data[zeros].sum())
            assert int(differs.sum()) <= int((data[zeros] + twice).sum())
            assert (data[raw][differs] >= 2).all() and (told[raw][differs] < 3).all()
            np.testing.assert_allclose(told[raw][~differs], data[raw][~differs], rtol=1e-5, atol=1e-7)
        if picked:  # the losses follow the official picks
            result = Assignment(*(targets(data[name]) for name in ("cls_assign", "reg_assign")))
    parts = losses(priors, predictions, objects, result)
    assert parts["loss_cls"].value().item() == pytest.approx(float(data[f"{prefix}loss_cls"]), rel=1e-4)
    assert parts["loss_box"].value().item() == pytest.approx(float(data[f"{prefix}loss_reg"]), rel=1e-4)
    total(parts).backward()
    assert logits.grad.abs().sum().item() == pytest.approx(float(data[f"{prefix}grad_logits_abs_sum"]), rel=1e-4)
    assert deltas.grad.abs().sum().item() == pytest.approx(float(data[f"{prefix}grad_deltas_abs_sum"]), rel=1e-4)
    if f"{prefix}grad_deltas" in data:
        np.testing.assert_allclose(deltas.grad.numpy(), data[f"{prefix}grad_deltas"], rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(logits.grad.numpy(), data[f"{prefix}grad_logits"], rtol=1e-3, atol=1e-6)


def targets(index: np.ndarray) -> Targets:
    return Targets.hard(torch.from_numpy(index)[None])


@pytest.mark.parametrize("path", golden("mutual_guidance/mgv1_*zero_gt*.npz"))
def test_an_image_without_objects(path) -> None:
    """The official code's loss is infinite on its placeholder (an empty box); without objects nothing is positive."""
    data = np.load(path, allow_pickle=False)
    assert not np.isfinite(float(data["loss_reg"]))
    predictions = Predictions(*(torch.from_numpy(data[n]) for n in ("cls_logits", "deltas", "pred_boxes")))
    objects = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    result = MutualGuidance()(official_priors(data), predictions, objects)
    assert int(result.cls.index.max()) == int(result.box.index.max()) == BACKGROUND
    parts = losses(official_priors(data), predictions, objects, result)
    assert parts["loss_box"].value().item() == 0
    assert np.isfinite(parts["loss_cls"].value().item())


@pytest.mark.parametrize("path", golden("mutual_guidance/mgv1_22_batch_of_3.npz"))
def test_official_batch_normalises_over_all_images(path) -> None:
    data = np.load(path, allow_pickle=False)

    def stacked(name: str) -> torch.Tensor:
        return torch.stack([torch.from_numpy(data[f"img{i}_{name}"]) for i in range(3)])

    def listed(name: str) -> list[torch.Tensor]:
        return [torch.from_numpy(data[f"img{i}_{name}"]) for i in range(3)]

    objects = Objects.pad(listed("gt_boxes"), listed("gt_labels"))
    predictions = Predictions(stacked("cls_logits"), stacked("deltas"), stacked("pred_boxes"))
    priors = official_priors(data)
    result = RULES[""](priors, predictions, objects)
    assert torch.equal(result.cls.index, stacked("cls_assign"))
    assert torch.equal(result.box.index, stacked("reg_assign"))
    for prefix, assigner in RULES.items():
        parts = losses(priors, predictions, objects, assigner(priors, predictions, objects))
        assert parts["loss_cls"].value().item() == pytest.approx(float(data[f"{prefix}loss_cls"]), rel=1e-4)
        assert parts["loss_box"].value().item() == pytest.approx(float(data[f"{prefix}loss_reg"]), rel=1e-4)


def test_presets_and_their_baseline_differ_in_the_assigner_alone() -> None:
    base = PRESETS["iou_mg"].method
    for name in ("mutual_guidance", "mutual_guidance_printed", "localize_to_classify", "classify_to_localize"):
        method = PRESETS[name].method
        assert PRESETS[name].baseline == "iou_mg"
        same = base.model_copy(update={"name": name, "preset": name, "assigner": method.assigner})
        assert same == method


def test_the_curves_of_figure_3_are_the_formula() -> None:
    rows = MutualGuidance(sigma=2.5).formulas()
    assert {row["curve"] for row in rows} == {"p = 0", "p = 0.25", "p = 0.5", "p = 0.75", "p = 1"}
    sigmas = {f"amplified IoU, σ = {sigma:g}": sigma for sigma in (1.0, 2.0, 2.5, 3.0)}
    assert {row["formula"] for row in rows} == set(sigmas)
    for row in rows[::17]:
        sigma = sigmas[row["formula"]]
        assert row["value"] == pytest.approx(row["x"] ** ((sigma - row["y"]) / sigma))


def test_an_anchor_that_does_not_touch_the_object_is_never_amplified() -> None:
    """At sigma = 1 and a sure score, 0^0 would amplify an IoU of 0 to 1: refused, and above it 0 stays 0."""
    with pytest.raises(ValueError, match="sigma must be above 1"):
        MutualGuidance(sigma=1.0)
    for sigma in (1.001, 1.5, 2.0):
        found = amplified_iou(torch.tensor([0.0, 0.5]), torch.ones(2), sigma)
        assert found[0] == 0 and 0.5 < found[1] < 1
