"""The short version of the simulation: a few studies of small worlds, with bounds that chance passes.

Each bound lies more than three Monte-Carlo deviations from the rate that the long version (`python -m
tests.simulation`, 400 studies of every design) found, and on the right side of the rate that the rule would have that
it is there to keep out.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from assignbench.analysis.estimates import Measured, estimates
from tests.simulation import questions
from tests.simulation.designs import IMAGES, SEEDS, Ask
from tests.simulation.tally import rates
from tests.simulation.worlds import RARE, World

STUDIES = 10


@cache
def told(ask: Ask, world: World, studies: int) -> Callable[[str], float]:
    """The rate of a question over some studies of a world; the mean over all questions that begin so."""
    found = rates([ask(world, np.random.default_rng([37, number])) for number in range(studies)])

    def rate(start: str) -> float:
        mine = [r.mean for r in found if r.question.startswith(start)]
        assert mine, start
        return float(np.mean(mine))

    return rate


def by_images() -> Callable[[str], float]:
    return told(questions.compared, replace(IMAGES, images=50), STUDIES)


def by_seeds() -> Callable[[str], float]:
    return told(questions.compared, replace(SEEDS, images=50), STUDIES)


@pytest.mark.parametrize("world", [by_images, by_seeds])
def test_combined_intervals_cover_the_population(world) -> None:
    assert world()("covers:") >= 0.88


def test_intervals_over_seeds_alone_do_not_where_images_dominate() -> None:
    """Teeth: the interval that was printed before."""
    assert by_images()("told: the seeds' part alone covers AP") < 0.7


@pytest.mark.parametrize("world", [by_images, by_seeds])
def test_false_headlines_are_rare(world) -> None:
    assert world()("false: any") <= 0.2
    assert world()("false: claim") <= 0.2
    assert world()("false: a better method called worse") == 0.0


def test_a_much_better_method_is_found() -> None:
    assert by_images()("finds: a method that is much better") >= 0.6


def test_what_is_the_same_in_every_group_is_no_trend() -> None:
    rate = told(questions.trending, replace(IMAGES, images=60, own=0.4), 3)
    assert rate("false: trend of") <= 0.2
    assert rate("finds: a gain that grows with aspect_ratio") >= 0.25


def test_divergence_that_has_nothing_to_do_with_precision_predicts_nothing() -> None:
    rate = told(questions.predicting, replace(SEEDS, images=30), 8)
    assert rate("false: divergence predicts AP, though it does not") <= 0.4
    assert rate("finds: divergence that predicts AP") >= 0.5


def test_moderation_finds_more_of_what_is_there() -> None:
    """Twelve pairs of one spread, three seeds, a difference of two seed deviations: 1.6 times the power of plain t."""
    rng = np.random.default_rng(3)
    power = {True: 0.0, False: 0.0}
    for _ in range(60):
        samples = [Measured(rng.normal(2.0, 1.0, 3)) for _ in range(questions.PAIRS)]
        for moderate in power:
            found = estimates(samples, [f"baseline {k // 2}" for k in range(questions.PAIRS)], moderate=moderate)
            power[moderate] += np.mean([e.p < 0.05 for e in found]) / 60
    assert power[True] >= 1.6 * power[False] > 0.4


def test_a_class_of_one_image_makes_no_false_verdicts() -> None:
    """Half of the mean over classes hangs on single objects: with their own replicates alone, which do not vary, three
    of five intervals held the truth.
    """
    rate = told(questions.rare, replace(IMAGES, images=60, classes=RARE), 2 * STUDIES)
    assert rate("covers: AP") >= 0.85 and rate("false: any verdict") <= 0.2
