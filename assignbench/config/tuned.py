"""What a sweep came to: tuned.json beside its cells, and `tuned` in the study.json of a study that took it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from assignbench.config.base import Config
from assignbench.config.cell import LARGEST_SEED

Setting = dict[str, Any]  # values by the entry of a method that they stand for


class Trialled(Config):
    """A method under a setting: how many cells, and their mean; None where one of them diverged."""

    method: str
    setting: Setting
    cells: int = Field(ge=1, le=100_000)
    mean: float | None = Field(ge=0, le=1)


class Tuned(Config):
    """The sweep, what every method came to under each of its settings, and the setting that each one takes.

    `cells` are the ids that all of it was measured on. `at_end` are, by method, the entries whose lowest or highest
    value it took: a wider sweep may find more.
    """

    version: str
    split: Literal["val"]
    metric: str
    seeds: list[Annotated[int, Field(ge=0, le=LARGEST_SEED)]] = Field(min_length=1)
    sweep: dict[str, list[Any]] = Field(min_length=1)
    cells: list[str]
    rows: list[Trialled]
    chosen: dict[str, Setting] = Field(min_length=1)
    at_end: dict[str, list[str]]

    @model_validator(mode="after")
    def _whole(self) -> Tuned:
        """Every method was measured under the same settings, and takes one of them."""
        settings = [row.setting for row in self.rows if row.method == next(iter(self.chosen))]
        for method, setting in self.chosen.items():
            if [row.setting for row in self.rows if row.method == method] != settings or setting not in settings:
                raise ValueError(f"the settings of method '{method}' are not those of the others")
        if any(setting.keys() != self.sweep.keys() for setting in settings):
            raise ValueError("a setting has other entries than the sweep")
        return self

    @property
    def settings(self) -> list[Setting]:
        """All settings, in the order of the sweep."""
        return [row.setting for row in self.rows if row.method == next(iter(self.chosen))]

    def mean_of(self, method: str, setting: Setting) -> float | None:
        """The mean of a method's cells under a setting."""
        return next(row.mean for row in self.rows if row.method == method and row.setting == setting)
