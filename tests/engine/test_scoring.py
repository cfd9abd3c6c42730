"""What enters NMS: ranking scores, floors, limits and pixels, by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.contract import Predictions
from assignbench.engine.scoring import RANKINGS, boxes_before_nms
from assignbench.measure.nms import select_before
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
    return boxes_before_nms(predictions, PRIORS, how, given, [(20, 30)], scale).image(0)


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


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("floor_on", ["cls", "ranking"])
@pytest.mark.parametrize("per", ["image", "level"])
def test_what_enters_is_what_the_replays_selection_lets_in(ranking, floor_on, per) -> None:
    """Against the selection from all scores of an image, with ties, and floors from none to all."""
    how, made = method(ranking=ranking, **({} if ranking == "cls" else {"floor_on": floor_on})), torch.Generator()
    priors = Priors(torch.rand(60, 4), strides=torch.ones(60), level_sizes=(40, 15, 5), kind="anchor")
    level = priors.levels().numpy()
    for case in range(30):
        made.manual_seed(case)
        logits, quality = 3 * torch.randn(2, 60, 4, generator=made), 3 * torch.randn(2, 60, generator=made)
        if case % 2:
            logits, quality = logits.round(), quality.round()
        corner = 50 * torch.rand(2, 60, 2, generator=made)
        boxes = torch.cat([corner, corner + 9 * torch.rand(2, 60, 2, generator=made) - 1], dim=-1)
        given = Evaluation(
            floor=(0.0, 0.01, 0.3, 0.9, 0.9999)[case % 5], pre_nms=(1, 7, 1000)[case % 3], pre_nms_per=per
        )
        sizes, scale = [(40, 50), (33, 60)], torch.tensor([[2.0, 0.5], [1.0, 3.0]])
        predictions = Predictions(logits, None, boxes, quality, "iou")
        found = boxes_before_nms(predictions, priors, how, given, sizes, scale)
        cls = logits.sigmoid()
        told = quality.sigmoid().unsqueeze(-1).expand_as(cls)
        rank = RANKINGS[ranking](cls, told)
        for i, (height, width) in enumerate(sizes):
            floored = {"cls": cls, "ranking": rank}[how.floor_on][i].numpy()
            chosen = select_before(rank[i].numpy(), floored, given.floor, given.pre_nms,
                                   level if per == "level" else None)  # fmt: skip
            corners = boxes[i].clamp(min=0).minimum(torch.tensor([width, height, width, height]).float())
            whole = (corners[:, 2:] > corners[:, :2]).all(dim=-1).numpy()
            chosen = chosen[whole[chosen // 4]]
            one = found.image(i)
            assert (one.priors * 4 + one.labels).tolist() == chosen.tolist()
            np.testing.assert_allclose(one.scores, rank[i].flatten()[chosen], rtol=1e-6)
            np.testing.assert_allclose(one.cls_scores, cls[i].flatten()[chosen], rtol=1e-6)
            np.testing.assert_array_equal(one.boxes, (corners * scale[i].repeat(2))[chosen // 4])


def test_a_masked_prior_is_refused() -> None:
    """Test images of a batch share their padding, so that none is masked; else it would be scored."""
    masked = replace(PRIORS, valid=torch.tensor([[True, False]]))
    predictions = Predictions(torch.logit(CLS), None, BOXES)
    with pytest.raises(ValueError, match="score them apart"):
        boxes_before_nms(predictions, masked, resolve("iou"), Evaluation(), [(20, 30)], UNIT)
