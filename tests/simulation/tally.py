"""Rates over many studies with their Monte-Carlo error, and whether they are what is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

# What is wanted of a question, by its first word: the lowest and highest rate; None where it is only told.
WANTED: dict[str, tuple[float, float] | None] = {
    "covers": (0.93, 0.975),
    "false": (0.0, 0.06),
    "finds": (0.8, 1.0),
    "ratio": (1.6, float("inf")),
    "told": None,
}
QUANTILE = 1.96


@dataclass(frozen=True)
class Rate:
    """A question's mean over studies; `error` is the deviation of that mean."""

    question: str
    mean: float
    error: float
    studies: int

    @property
    def wanted(self) -> tuple[float, float] | None:
        """The lowest and highest rate that is wanted; None for what is only told."""
        return WANTED[self.question.split(":", maxsplit=1)[0]]

    @property
    def word(self) -> str:
        """ "yes" within what is wanted, "error" if outside by no more than the Monte-Carlo error, "NO" beyond it."""
        if self.wanted is None:
            return ""
        beyond = max(self.wanted[0] - self.mean, self.mean - self.wanted[1])
        return "yes" if beyond <= 0 else "error" if beyond <= QUANTILE * self.error else "NO"


def rates(answers: Iterable[Mapping[str, float]]) -> list[Rate]:
    """One rate per question. A rate of 0 or 1 has the error of one more study that answered otherwise."""
    collected: dict[str, list[float]] = {}
    for one in answers:
        for question, value in one.items():
            collected.setdefault(question, []).append(value)
    found = []
    for question, values in collected.items():
        n, mean = len(values), float(np.mean(values))
        spread = float(np.var(values))
        if spread == 0 and mean in (0.0, 1.0):
            spread = n / (n + 1) ** 2
        found.append(Rate(question, mean, (spread / n) ** 0.5, n))
    return found


def ratio(over: Rate, under: Rate, question: str) -> Rate:
    """One rate over another one, their errors taken as independent (they are alike, so that is too much)."""
    value = over.mean / under.mean if under.mean else float("nan")
    relative = (over.error / over.mean) ** 2 + (under.error / under.mean) ** 2 if over.mean and under.mean else np.nan
    return Rate(question, value, value * relative**0.5, over.studies)
