"""Mutual Guidance: Eq. 1 with the rows of Fig. 2, hand-worked labels, and the official code's vectors."""

import numpy as np
import pytest
import torch

from assignbench.assigners.criteria import DenseCriterion
from assignbench.assigners.max_iou import MaxIoU
from assignbench.assigners.mutual_guidance import MutualGuidance, amplified_iou
from assignbench.contract import BACKGROUND, IGNORE, Assignment, Context, Objects, Predictions
from assignbench.priors import Priors
from tests.conftest import golden

# Fig. 2: IoU_anchor, classification score and IoU_amplified of anchors A to M, in per cent.
FIG2_IOU = [61, 61, 61, 61, 60, 51, 49, 46, 42, 39, 39, 38, 36]
FIG2_SCORE = [85, 77, 3, 57, 71, 0, 42, 66, 3, 14, 0, 28, 0]
FIG2_AMPLIFIED = [75, 74, 62, 70, 72, 51, 57, 59, 43, 42, 39, 44, 36]


def test_equation_1_gives_the_printed_rows_of_figure_2() -> None:
    iou, score = torch.tensor(FIG2_IOU) / 100, torch.tensor(FIG2_SCORE) / 100
    ours = 100 * amplified_iou(iou, score, sigma=2.0)
    # The figure prints rounded inputs: half a point of IoU and of score moves the result by up to one point.
    assert (ours - torch.tensor(FIG2_AMPLIFIED)).abs().max() <= 1.0
    assert (ours.round() == torch.tensor(FIG2_AMPLIFIED)).sum() >= 11


def test_sigma_one_with_a_certain_score_gives_one() -> None:
    assert amplified_iou(torch.tensor(0.3), torch.tensor(1.0), sigma=1.0).item() == 1.0
    with pytest.raises(ValueError, match="sigma"):
        MutualGuidance(sigma=0.5)


def case(regressed: list[list[float]], scores: list[float]) -> tuple[Priors, Predictions, Objects]:
    """Object (0, 0, 10, 10); priors with IoU 1, .6, .45 and 0 to it."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 6, 10], [0, 0, 4.5, 10], [40, 40, 50, 50]])
    logits = torch.logit(torch.tensor(scores))[:, None]
    objects = Objects(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))
    return Priors(boxes), Predictions(logits, torch.zeros(4, 4), torch.tensor(regressed)), objects


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


def official_priors(data) -> Priors:
    """The clamped anchors that the official code really uses, in pixels, in float32 as it computes."""
    norm = data["anchors_cxcywh_norm"] * np.float32(data["image_size"])
    corners = np.concatenate([norm[:, :2] - norm[:, 2:] / 2, norm[:, :2] + norm[:, 2:] / 2], axis=1)
    return Priors(torch.from_numpy(corners), level_sizes=tuple(data["level_counts"].tolist()))


def losses(
    priors: Priors, predictions: Predictions, objects: Objects, assignment: Assignment
) -> dict[str, torch.Tensor]:
    criterion = DenseCriterion(alpha=0.25, gamma=1.0, box="balanced_l1", box_weight=1.0)
    return criterion(priors, predictions, objects, assignment, Context())


RULES = {"": MutualGuidance(zero_overlap="force"), "static_": MaxIoU(zero_overlap="force")}
SINGLE = [p for p in golden("mutual_guidance/mgv1_*.npz") if "zero_gt" not in str(p) and "batch_of" not in str(p)]


@pytest.mark.parametrize("path", SINGLE)
def test_official_assignments_losses_and_gradients(path) -> None:
    data = np.load(path, allow_pickle=False)
    objects = Objects(torch.from_numpy(data["gt_boxes"]), torch.from_numpy(data["gt_labels"]))
    for prefix, assigner in RULES.items():
        priors = official_priors(data)
        logits = torch.from_numpy(data["cls_logits"]).requires_grad_()
        deltas = torch.from_numpy(data["deltas"]).requires_grad_()
        predictions = Predictions(logits, deltas, torch.from_numpy(data["pred_boxes"]))
        result = assigner(priors, predictions, objects)
        affected = bool((data["zero_picks_cls_per_gt"] + data["zero_picks_reg_per_gt"]).any())
        if prefix:
            np.testing.assert_array_equal(result.cls.index[0].numpy(), data["static_assign"])
        else:
            assert result.diagnostics["positives_wanted"][0].tolist() == data["n_pos_per_gt"].tolist()
            if not affected:  # elsewhere top-k of the official code picks among zeros in arbitrary order
                np.testing.assert_array_equal(result.cls.index[0].numpy(), data["cls_assign"])
                np.testing.assert_array_equal(result.box.index[0].numpy(), data["reg_assign"])
        if affected and not prefix:
            continue
        parts = losses(priors, predictions, objects, result)
        assert parts["loss_cls"].item() == pytest.approx(float(data[f"{prefix}loss_cls"]), rel=1e-4)
        assert parts["loss_box"].item() == pytest.approx(float(data[f"{prefix}loss_reg"]), rel=1e-4)
        torch.stack(list(parts.values())).sum().backward()
        assert logits.grad.abs().sum().item() == pytest.approx(float(data[f"{prefix}grad_logits_abs_sum"]), rel=1e-4)
        assert deltas.grad.abs().sum().item() == pytest.approx(float(data[f"{prefix}grad_deltas_abs_sum"]), rel=1e-4)
        if f"{prefix}grad_deltas" in data:
            np.testing.assert_allclose(deltas.grad.numpy(), data[f"{prefix}grad_deltas"], rtol=1e-3, atol=1e-6)
            np.testing.assert_allclose(logits.grad.numpy(), data[f"{prefix}grad_logits"], rtol=1e-3, atol=1e-6)


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
        assert parts["loss_cls"].item() == pytest.approx(float(data[f"{prefix}loss_cls"]), rel=1e-4)
        assert parts["loss_box"].item() == pytest.approx(float(data[f"{prefix}loss_reg"]), rel=1e-4)
