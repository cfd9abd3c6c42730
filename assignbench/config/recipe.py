"""How long and how fast a cell learns; counted in steps or epochs, never in seconds."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from assignbench.config.base import Config


class Schedule(Config):
    """Either `epochs` or `steps` must be set. `warmup` and `milestones` are shares of the whole run.

    Rates are bounded far beyond what learns, since a run that diverges tells that itself. `backbone_lr` multiplies the
    rate of the backbone. `threads` is part of the configuration, since CPU sums depend on it; `loader_workers` is not,
    since batches do not.
    """

    epochs: float | None = Field(None, gt=0, le=10_000)
    steps: int | None = Field(None, ge=1, le=10_000_000)
    batch_size: int = Field(8, ge=1, le=1024)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(6e-3, gt=0, le=1e30)
    backbone_lr: float = Field(1.0, ge=0, le=100)
    weight_decay: float = Field(1e-4, ge=0, le=10)
    momentum: float = Field(0.9, ge=0, lt=1)
    warmup: float = Field(0.08, ge=0, lt=1)
    decay: Literal["cosine", "step"] = "cosine"
    milestones: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(max_length=100)] = [2 / 3, 8 / 9]
    clip_grad: float = Field(10.0, gt=0, le=1e30)
    amp: Literal["none", "bf16"] = "bf16"
    threads: int = Field(1, ge=1, le=256)
    loader_workers: int = Field(0, ge=0, le=256)
    log_every: int = Field(25, ge=1, le=10_000_000)
    checkpoint_every: int = Field(250, ge=1, le=10_000_000)
    probe_visits: int = Field(12, ge=0, le=10_000)

    @model_validator(mode="after")
    def _one_length(self) -> Schedule:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("set exactly one of epochs and steps")
        if self.decay == "step" and not self.milestones:
            raise ValueError("decay: step needs milestones; name some, or set decay: cosine")
        if self.milestones != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, got {self.milestones}")
        return self

    def idle(self) -> dict[str, str]:
        """The entries that are not at their defaults and do nothing beside the others, each with what they need."""
        needs = {"momentum": ("optimizer", "sgd"), "milestones": ("decay", "step")}
        fields = type(self).model_fields
        return {
            name: f"{key}: {value}"
            for name, (key, value) in needs.items()
            if getattr(self, key) != value and getattr(self, name) != fields[name].default
        }

    def total_steps(self, per_epoch: int) -> int:
        """Steps of the whole run."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 0.0) * per_epoch))

    def probe_steps(self, total: int, per_epoch: int) -> set[int]:
        """Steps after which the probe images are visited: every epoch, at most `probe_visits` times and at the end."""
        if not self.probe_visits:
            return set()
        gap = max(per_epoch, math.ceil(total / self.probe_visits))
        return {*range(gap, total, gap), total}


def learning_rate(schedule: Schedule, step: int, total: int) -> float:
    """The rate of a step: linear warm-up, then one cosine to 1 % or steps of a tenth."""
    warm = round(schedule.warmup * total)
    if step < warm:
        return schedule.lr * (step + 1) / (warm + 1)
    if schedule.decay == "step":
        return schedule.lr * 0.1 ** sum(step >= m * total for m in schedule.milestones)
    part = (step - warm) / max(1, total - warm)
    return schedule.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * part)) / 2)
