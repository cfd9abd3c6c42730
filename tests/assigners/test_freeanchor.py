"""FreeAnchor, LTM's first version, as mmdet and the authors released it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from assignbench.assigners.ltm import LTM, LTMCriterion, box_term, class_log_scores
from assignbench.assigners.mean_max import log_mean_max, released_nll
from assignbench.coders import coder_for
from assignbench.config.method import CoderConfig
from assignbench.contract import Context, Objects, Predictions, total
from assignbench.methods import PRESETS
from assignbench.priors import Priors
from assignbench.select import predicted_iou, prior_iou
from tests.assigners.cases import anchors_of, meta, objects_of, read, tensor, with_bags
from tests.conftest import golden


def test_the_released_floor_is_torchs_cross_entropy() -> None:
    """-ln M floored at 100, with a slope that fades below 1e-12."""
    m = torch.tensor([1e-30, 1e-13, 3e-12, 1e-3, 0.4, 0.999], dtype=torch.float64)
    ours, theirs = m.log().requires_grad_(), m.clone().requires_grad_()
    shown = released_nll(ours)
    expected = torch.nn.functional.binary_cross_entropy(theirs, torch.ones_like(m), reduction="none")
    torch.testing.assert_close(shown, expected)
    assert released_nll(torch.tensor(-259.0)).item() == 100
    shown.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad * m)


@pytest.mark.parametrize("path", golden("freeanchor/*.npz"))
def test_golden_freeanchor(path) -> None:
    """mmdet's and the official code, which measures, encodes and decodes boxes inclusively: losses, per object too, the
    chance to match, and gradients.
    """
    case = read(path)
    config = meta(case)
    official = path.stem.startswith("official")
    coding = CoderConfig(legacy_plus_one="freeanchor" if official else "none")
    priors, objects = replace(anchors_of(case), coding=coding), objects_of(case)
    leaves = [tensor(case, n).requires_grad_() for n in ("cls_logits", "deltas")]
    predictions = Predictions(*leaves, coder_for(priors).decode(priors, leaves[1].detach()))
    result = LTM(bag=config["K"], beta=config["beta_w"])(priors, predictions, objects)
    if len(case["gt_boxes"]):
        # Most bags tie at the K-th IoU: their IoUs must agree, and the losses are compared on the stored bags.
        iou = prior_iou(priors, objects)[0]
        ours, theirs = (iou.gather(1, t).sort(1).values for t in (result.bags.prior[0], tensor(case, "out_bag_idx")))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        result = with_bags(result, case["out_bag_idx"])
    criterion = LTMCriterion(negative="freeanchor", balance=config["alpha"], saturation=config["t1"])
    terms = criterion(priors, predictions, objects, result, Context())
    assert terms["loss_positive"].value().item() == pytest.approx(float(case["out_loss_pos"]), rel=1e-4, abs=1e-6)
    assert terms["loss_focal"].value().item() == pytest.approx(float(case["out_loss_neg"]), rel=1e-4)
    if len(case["gt_boxes"]):
        found = predictions.detached()
        score = class_log_scores(found, result.bags.prior, objects.labels)
        box = box_term(priors, found, objects, result.bags.prior, "smooth_l1")
        each = released_nll(log_mean_max(score - config["beta_w"] * box, result.bags.mask))[0]
        share = 1 if official else config["alpha"]
        np.testing.assert_allclose(share * each.numpy(), case["out_pos_loss_per_gt"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(chances(criterion, priors, found, objects), case["out_box_prob"], atol=1e-4)
    total(terms).backward()
    for name, leaf in (("out_grad_cls", leaves[0]), ("out_grad_deltas", leaves[1])):
        np.testing.assert_allclose(leaf.grad.numpy(), case[name], atol=1e-4 * max(abs(case[name]).max(), 1e-9))


def chances(criterion: LTMCriterion, priors: Priors, predictions: Predictions, objects: Objects) -> np.ndarray:
    """FreeAnchor's chance to match some object of a class [A, C]."""
    overlap = predicted_iou(priors, predictions, objects)
    match = criterion._saturated(overlap, overlap.amax(-1, keepdim=True))[0]
    classes = predictions.cls_logits.shape[-1]
    rows = objects.labels[0].unsqueeze(-1).expand_as(match)
    return torch.zeros(classes, match.shape[1]).scatter_reduce(0, rows, match, "amax").T.numpy()


def test_a_perfect_net_returns_the_object_it_was_taught() -> None:
    """Released coding decodes what it encodes, to the pixel."""
    priors = Priors(
        torch.tensor([[80.0, 80, 160, 160]]),
        strides=torch.ones(1),
        kind="anchor",
        coding=PRESETS["freeanchor"].method.coder,
    )
    box = torch.tensor([[90.0, 91, 153, 171]])
    coder = coder_for(priors)
    torch.testing.assert_close(coder.decode(priors, coder.encode(priors, box)), box, rtol=0, atol=1e-4)
