"""Rank correlation against scipy, and crowdedness by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from assignbench.measure.boxes import areas, aspect_ratio, pairwise_iou
from assignbench.measure.correlation import mean_ranks, rank_correlation, spearman
from assignbench.measure.crowding import crowdedness


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"object_id": rng.integers(0, 20, 300), "ranking_score": rng.integers(0, 6, 300) / 6})
    table["iou"] = rng.integers(0, 8, 300) / 8
    table["cls_score"] = rng.random(300)
    for column in ("ranking_score", "cls_score"):
        found = rank_correlation(table, column).set_index("object_id").spearman
        for one, group in table.groupby("object_id"):
            assert found[one] == pytest.approx(stats.spearmanr(group[column], group.iou).statistic, abs=1e-12)
        ours = spearman(table[column].to_numpy(), table.iou.to_numpy())
        assert ours == pytest.approx(stats.spearmanr(table[column], table.iou).statistic, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_those_of_pandas(seed: int) -> None:
    """Ties share their mean rank, what is no number has none and takes no place."""
    rng = np.random.default_rng(seed)
    values = rng.choice([np.nan, 0.0, -0.0, 1e-300, np.inf, *rng.normal(size=8)], 200)
    group = rng.integers(0, 12, len(values))
    for count in (0, 1, len(values)):
        expected = pd.Series(values[:count]).groupby(group[:count]).rank()
        np.testing.assert_array_equal(mean_ranks(group[:count], values[:count]), expected)


def test_what_cannot_be_ranked_is_nan() -> None:
    one = np.array([0.5])
    assert np.isnan(spearman(one, one)) and np.isnan(spearman(np.zeros(0), np.zeros(0)))
    assert np.isnan(spearman(np.array([0.5, 0.5]), np.array([0.1, 0.2])))


def test_crowdedness_by_hand() -> None:
    """Two boxes of 10 x 10 px, shifted by 5: IoU 1/3; a third far away; the same boxes on another image are alone."""
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [80, 80, 90, 90], [0, 0, 10, 10]], float)
    assert crowdedness(np.array([1, 1, 1, 2]), boxes).tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0])
    assert len(crowdedness(np.zeros(0, int), np.zeros((0, 4)))) == 0


def test_boxes_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 20], [0, 0, 0, 5], [5, 5, 3, 9]], float)
    assert areas(boxes).tolist() == [200, 0, 0]
    assert aspect_ratio(boxes[:2]).tolist() == [2.0, np.inf]
    assert pairwise_iou(boxes[:2], boxes[:2]).tolist() == [[1, 0], [0, 0]]
