"""What enters NMS: ranking scores, floors, limits and pixels, by hand."""

import math

import numpy as np
import pytest
import torch

from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.contract import Predictions
from assignbench.engine.scoring import RANKINGS, boxes_before_nms
from assignbench.methods import resolve
from assignbench.priors import Priors

CLS = torch.tensor([[[0.9, 0.005], [0.5, 0.2]]])
QUALITY = torch.tensor([[0.1, 0.8]])
BOXES = torch.tensor([[[0.0, 0, 5, 5], [0, 0, 90, 9]]])
PRIORS = Priors(BOXES[0], strides=torch.tensor([8.0, 16.0]), level_sizes=(1, 1), kind="anchor")
UNIT = torch.ones(1, 2)


def method(**parts) -> MethodConfig:
    return resolve("iou", {"quality": "iou", **parts})


def found(how: MethodConfig, scale=UNIT, boxes=BOXES, **evaluation):
    predictions = Predictions(torch.logit(CLS), torch.zeros(1, 2, 4), boxes, torch.logit(QUALITY), "iou")
    given = Evaluation(**{"pre_nms": 10, **evaluation})
    (one,) = boxes_before_nms(predictions, PRIORS, how, given, [(20, 30)], scale)
    return one


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        ("cls", [0.9, 0.5, 0.2]),
        ("quality", [0.8, 0.8, 0.1]),
        ("cls*quality", [0.4, 0.16, 0.09]),
        ("sqrt(cls*quality)", [math.sqrt(0.4), 0.4, 0.3]),
    ],
)
def test_rankings(ranking, expected) -> None:
    assert ranking in RANKINGS
    boxes = found(method(ranking=ranking))
    np.testing.assert_allclose(boxes.scores, expected, rtol=1e-5)
    assert set(zip(boxes.priors.tolist(), boxes.labels.tolist(), strict=True)) == {(0, 0), (1, 0), (1, 1)}


def test_every_ranking_that_a_method_may_name_is_there() -> None:
    from typing import get_args

    from assignbench.config.method import Ranking

    assert set(RANKINGS) == set(get_args(Ranking))


def test_the_floor_acts_on_the_score_that_the_method_names() -> None:
    assert found(method(ranking="cls*quality"), floor=0.1).priors.tolist() == [1, 1, 0]
    assert found(method(ranking="cls*quality", floor_on="ranking"), floor=0.1).priors.tolist() == [1, 1]


def test_the_best_of_the_image_or_of_each_level() -> None:
    how = method(ranking="cls*quality")
    assert found(how, pre_nms=1).scores.tolist() == pytest.approx([0.4])
    per_level = found(how, pre_nms=1, pre_nms_per="level")
    assert per_level.priors.tolist() == [1, 0] and per_level.scores.tolist() == pytest.approx([0.4, 0.09])


def test_boxes_are_clipped_scaled_and_dropped_without_area() -> None:
    boxes = found(method(), scale=torch.tensor([[2.0, 3.0]]))
    assert boxes.boxes.tolist() == [[0, 0, 10, 15], [0, 0, 60, 27], [0, 0, 60, 27]]
    outside = torch.tensor([[[40.0, 0, 50, 5], [0, 0, 90, 9]]])
    assert found(method(), boxes=outside).priors.tolist() == [1, 1]
