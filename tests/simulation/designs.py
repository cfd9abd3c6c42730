"""The worlds that are run, and what is asked in each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from tests.simulation import questions
from tests.simulation.questions import Answers
from tests.simulation.tally import Rate, rates, ratio
from tests.simulation.worlds import EQUAL, MANY, RARE, ZIPF, World

Ask = Callable[[World, np.random.Generator], Answers]
# What makes two results differ: other trainings, other test images, or both about alike.
SEEDS = World(seed=0.07, own=0.1, luck=0.2)
IMAGES = World(seed=0.01, own=0.7, luck=0.1)
BOTH = World(seed=0.05, own=0.5, luck=0.2)


@dataclass(frozen=True)
class Design:
    """A world and what is asked of its studies."""

    world: World
    ask: Ask

    def answers(self, first: int, last: int) -> list[Answers]:
        """The answers of studies with the numbers first .. last - 1; a number always gives the same study, and those of
        two designs have nothing in common.
        """
        own = crc32(f"{self.ask.__name__} {self.world}".encode())
        return [self.ask(self.world, np.random.default_rng([own, number])) for number in range(first, last)]


def table_of(answers: list[Answers]) -> list[Rate]:
    """The rates of a design, and how much more moderation finds, where that was asked."""
    found = rates(answers)
    by_question = {r.question: r for r in found}
    with_, without = (by_question.get(f"told: power {name}") for name in ("with moderation", "by plain t"))
    if with_ and without:
        found.append(ratio(with_, without, "ratio: power with moderation over that by plain t"))
    return found


def _compared(world: World, seeds: int, classes: tuple[float, ...], *, skewed: bool) -> Design:
    return Design(replace(world, seeds=seeds, classes=classes, skewed=skewed), questions.compared)


DESIGNS: dict[str, Design] = {
    "seeds dominate, 3 seeds, equal classes": _compared(SEEDS, 3, EQUAL, skewed=False),
    "seeds dominate, 5 seeds, Zipf classes, skewed errors": _compared(SEEDS, 5, ZIPF, skewed=True),
    "images dominate, 3 seeds, Zipf classes": _compared(IMAGES, 3, ZIPF, skewed=False),
    "images dominate, 5 seeds, equal classes, skewed errors": _compared(IMAGES, 5, EQUAL, skewed=True),
    "both matter, 3 seeds, equal classes, skewed errors": _compared(BOTH, 3, EQUAL, skewed=True),
    "both matter, 5 seeds, Zipf classes": _compared(BOTH, 5, ZIPF, skewed=False),
    "trends, even groups, images dominate, 5 seeds": Design(
        replace(IMAGES, images=70, seeds=5, own=0.3), questions.trending
    ),
    "trends, uneven groups, both matter, 3 seeds": Design(
        replace(BOTH, images=120, own=0.3, even=False), questions.trending
    ),
    "trends of nothing, uneven groups, some harder, skewed errors": Design(
        replace(BOTH, images=120, even=False, hard=0.5, skewed=True), questions.trending_twins
    ),
    "at the bound, seeds dominate, 3 seeds": Design(replace(SEEDS, images=100), questions.bounded),
    "at the bound, images dominate, 5 seeds": Design(replace(IMAGES, seeds=5, images=100), questions.bounded),
    "categories, Zipf, both matter, 3 seeds": Design(
        replace(BOTH, images=300, own=0.3, classes=MANY, kinds=True), questions.over_categories
    ),
    "every form, both matter, 3 seeds": Design(replace(BOTH, images=120), questions.forms),
    "rare classes, images dominate, 3 seeds": Design(replace(IMAGES, images=60, classes=RARE), questions.rare),
    "rare classes, seeds dominate, 3 seeds": Design(replace(SEEDS, images=60, classes=RARE), questions.rare),
    "unlike spreads, seeds dominate, 3 seeds": Design(SEEDS, questions.unsteady),
    "divergence, 3 seeds": Design(replace(SEEDS, images=30), questions.predicting),
    "moderation, 12 pairs, 3 seeds": Design(SEEDS, questions.moderating),
}


def answered(task: tuple[str, int, int]) -> tuple[str, int, list[Answers], float]:
    """Name, first study, answers and CPU seconds of some studies of a design; a spawned process finds it here, where it
    would not in the module that is run.
    """
    name, first, last = task
    begun = time.process_time()
    return name, first, DESIGNS[name].answers(first, last), time.process_time() - begun
