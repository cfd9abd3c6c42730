"""Max-IoU matching by hand and against mmdet."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from assignbench.assigners.max_iou import MaxIoU
from assignbench.config.method import CoderConfig
from assignbench.contract import BACKGROUND, IGNORE, Objects, Predictions
from assignbench.methods import PRESETS
from assignbench.priors import Priors
from tests.assigners.cases import anchors_of, meta, objects_of, read
from tests.conftest import golden

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 22], [4, 0, 14, 10], [50, 50, 60, 60]])
PRIORS = Priors(BOXES, strides=torch.full((4,), 8.0), kind="anchor")


def nothing(priors: Priors) -> Predictions:
    return Predictions(torch.zeros(len(priors), 3), None, priors.boxes)


def index(assigner: MaxIoU, boxes: list[list[float]]) -> list[int]:
    objects = Objects(torch.tensor(boxes), torch.zeros(len(boxes), dtype=torch.long))
    return assigner(PRIORS, nothing(PRIORS), objects).cls.index[0].tolist()


def test_by_hand() -> None:
    # IoUs of the object with the priors: 1, 100/220, 60/140, 0.
    assert index(MaxIoU(), [[0, 0, 10, 10]]) == [0, IGNORE, IGNORE, BACKGROUND]


def test_low_quality_by_framework() -> None:
    # A 4 x 4 box inside priors 0, 1 and 2: IoU 16/100, 16/220, 16/100. Two tie for the best.
    small = [[5, 5, 9, 9]]
    assert index(MaxIoU(low_quality="ssd"), small) == [0, -1, -1, -1]
    assert index(MaxIoU(low_quality="mmdet"), small) == [0, -1, 0, -1]
    assert index(MaxIoU(low_quality="none"), small) == [-1, -1, -1, -1]
    # Two objects whose best prior is the same: a later one overwrites (SSD, mmdet); torchvision keeps the prior's own.
    shared = [[0, 0, 10, 5], [0, 0, 4, 4]]
    assert index(MaxIoU(low_quality="ssd"), shared)[0] == 1
    assert index(MaxIoU(low_quality="mmdet"), shared)[0] == 1
    assert index(MaxIoU(low_quality="torchvision"), shared)[0] == 0


def test_an_object_that_touches_nothing() -> None:
    far = [[0, 0, 10, 10], [500, 500, 510, 510]]
    assert index(MaxIoU(low_quality="mmdet"), far) == [0, IGNORE, IGNORE, BACKGROUND]
    # mmdet's own behaviour wipes out the other object.
    assert index(MaxIoU(low_quality="mmdet", zero_overlap="force"), far) == [1, 1, 1, 1]


def test_matching_nothing() -> None:
    index, forced = MaxIoU().match(torch.zeros(2, 0, 5), torch.zeros(2, 0, dtype=torch.bool))
    assert index.tolist() == [[BACKGROUND] * 5] * 2
    assert not bool(forced.any())


def test_least_iou_for_forcing() -> None:
    assert index(MaxIoU(low_quality="mmdet", min_iou=0.2), [[5, 5, 9, 9]]) == [-1, -1, -1, -1]


def test_refuses_thresholds_out_of_order() -> None:
    with pytest.raises(ValueError, match="negative <= positive"):
        MaxIoU(positive=0.3, negative=0.4)


@pytest.mark.parametrize("path", golden("maxiou/*.npz"))
def test_golden(path) -> None:
    case = read(path)
    priors, objects = anchors_of(case), objects_of(case)
    for key, config in meta(case)["configs"].items():
        rule = "mmdet" if config.get("match_low_quality", True) else "none"
        assigner = MaxIoU(config["pos_iou_thr"], config["neg_iou_thr"], rule, config["min_pos_iou"], "force")
        found = assigner(priors, nothing(priors), objects)
        compared = ~case[f"out_tie_sensitive__{key}"]
        index = found.cls.index[0].numpy()
        np.testing.assert_array_equal(index[compared], case[f"out_assigned__{key}"][compared], err_msg=key)
        np.testing.assert_allclose(found.prior_diagnostics["max_iou"][0].numpy(), case["out_max_iou"], atol=1e-6)


def test_inclusive_pixels_by_hand() -> None:
    # Counted inclusively, boxes [0, 9] and [0, 4] are 10 and 5 px wide: IoU 50/100 reaches 0.5; continuously 36/81.
    box, half = torch.tensor([[0.0, 0, 9, 9]]), [[0, 0, 9, 4]]
    one = Priors(box, strides=torch.ones(1), kind="anchor", coding=CoderConfig(legacy_plus_one="paa"))
    objects = Objects(torch.tensor(half).float(), torch.zeros(1, dtype=torch.long))
    rule = MaxIoU(low_quality="none")
    assert rule(one, nothing(one), objects).cls.index.tolist() == [[0]]
    plain = replace(one, coding=CoderConfig())
    assert rule(plain, nothing(plain), objects).cls.index.tolist() == [[IGNORE]]


@pytest.mark.parametrize("name", ["rpn", "mlc_rpn", "iou_rescoring_rpn", "rpn_mlc"])
def test_scores_of_rpn_start_undecided(name) -> None:
    """As in torchvision and mmdet: half of the priors drawn are positive, so that no bias against them is needed."""
    assert PRESETS[name].method.head_init.prior_prob == 0.5
