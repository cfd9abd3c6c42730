"""The ranking score by hand, and that it is the one that boxes are predicted with."""

from typing import get_args

import numpy as np
import pytest
import torch

from assignbench.config.method import Ranking
from assignbench.engine.scoring import ranking_scores
from assignbench.measure.ranking import ranking_score

BY_HAND = {"cls": [0.9, 0.4], "cls*quality": [0.225, 0.4], "sqrt(cls*quality)": [0.225**0.5, 0.4**0.5]}
BY_HAND |= {"quality": [0.25, 1.0]}


@pytest.mark.parametrize("ranking", get_args(Ranking))
def test_by_hand_a_method_without_a_head_has_quality_one(ranking) -> None:
    found = ranking_score(ranking, np.array([0.9, 0.4]), np.array([0.25, np.nan]))
    assert found.tolist() == pytest.approx(BY_HAND[ranking])


@pytest.mark.parametrize("ranking", get_args(Ranking))
def test_it_is_the_engines(ranking) -> None:
    logits = torch.randn(2, 50, generator=torch.Generator().manual_seed(1))
    wanted, cls, quality = ranking_scores(*logits, ranking)
    np.testing.assert_allclose(ranking_score(ranking, cls.numpy(), quality.numpy()), wanted.numpy(), rtol=1e-6)
