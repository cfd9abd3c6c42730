"""How long and how fast a cell learns; counted in updates or epochs, never in seconds."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from assignbench.config.base import Config

Share = Annotated[float, Field(gt=0, lt=1)]
Step = Annotated[int, Field(ge=1, le=10_000_000)]
Epoch = Annotated[float, Field(gt=0, le=10_000)]

# Words of which one takes the place of the other: who writes one of a pair puts the other aside.
ALTERNATIVES = (("steps", "epochs"), ("warmup", "warmup_steps"), ("lr_end", "lr_end_share"), ("ema", "average"))
LR_END_SHARE = 0.01  # of the rate is left at the end, where nothing else is asked for


class Milestones(Config):
    """Where the rate falls to a tenth: after `shares` of the run, after `steps` (updates) or after `epochs`.

    One of the three holds them. A bare list stands for steps if all of it are whole numbers, else for shares.
    """

    shares: Annotated[list[Share], Field(max_length=100)] = []
    steps: Annotated[list[Step], Field(max_length=100)] = []
    epochs: Annotated[list[Epoch], Field(max_length=100)] = []

    @model_validator(mode="after")
    def _one_unit(self) -> Milestones:
        named = [name for name in type(self).model_fields if getattr(self, name)]
        if len(named) > 1:
            raise ValueError(f"milestones are counted in {' and in '.join(named)}; write one of them")
        for values in (self.shares, self.steps, self.epochs):
            if list(values) != sorted(set(values)):
                raise ValueError(f"milestones must rise, got {values}")
        return self

    def at(self, total: int, per_epoch: int) -> list[int]:
        """The update from which on each holds, of a run of `total` updates with `per_epoch` in an epoch.

        A share lies inside the run by what it is: the last update is the latest that it can stand for.
        """
        shares = [max(1, min(_first_update(m * total), total - 1)) for m in self.shares]
        return [*shares, *self.steps, *(_first_update(m * per_epoch) for m in self.epochs)]


def _first_update(place: float) -> int:
    """The first update that is not before a place in the run, where 55.000000000000007 (0.55 of 100) is 55."""
    return math.ceil(round(place, 6))


class Schedule(Config):
    """Either `epochs` or `steps` (updates) must be set. Rates are absolute, the others are factors and shares.

    The rate warms up over `warmup` (a share of the run) or over `warmup_steps`: in a line from `warmup_from` (empty:
    one part of n + 1), or constant at it. Then it falls by a cosine to `lr_end`, or to `lr_end_share` of `lr` (empty:
    1 %), or to a tenth at each of the `milestones`. `backbone_lr` multiplies the rate of the backbone, `bias_lr` that
    of every bias; `decay_norm_bias` lets the weight decay act on norms and biases too.

    An update learns from `accumulate` batches of `batch_size` images, of which one at a time is in memory. `ema` is the
    decay of averaged weights, which are what is evaluated and kept; `average` takes the plain mean of the weights after
    each of so many last updates instead. `amp` is the precision of the forward pass; a
    study's `auto` becomes bf16 or none, as its machine computes (`config.precision`), before it makes a cell;
    `compile` runs it through torch.compile; `deterministic` fails where an operator has no deterministic kernel.

    Rates are bounded far beyond what learns, since a run that diverges tells that itself. `threads` is part of the
    configuration, since CPU sums depend on it; `loader_workers` is not, since batches do not.
    """

    epochs: float | None = Field(None, gt=0, le=10_000)
    steps: int | None = Field(None, ge=1, le=10_000_000)
    batch_size: int = Field(8, ge=1, le=1024)
    accumulate: int = Field(1, ge=1, le=1024)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(6e-3, gt=0, le=1e30)
    backbone_lr: float = Field(1.0, ge=0, le=100)
    bias_lr: float = Field(1.0, ge=0, le=100)
    weight_decay: float = Field(1e-4, ge=0, le=10)
    decay_norm_bias: bool = False
    momentum: float = Field(0.9, ge=0, lt=1)
    warmup: float = Field(0.08, ge=0, lt=1)
    warmup_steps: int | None = Field(None, ge=1, le=10_000_000)
    warmup_shape: Literal["linear", "constant"] = "linear"
    warmup_from: float | None = Field(None, ge=0, le=1e30)
    decay: Literal["cosine", "step"] = "cosine"
    lr_end: float | None = Field(None, ge=0, le=1e30)
    lr_end_share: float | None = Field(None, ge=0, le=1)
    milestones: Milestones = Milestones(shares=[2 / 3, 8 / 9])
    clip_grad: float | None = Field(10.0, gt=0, le=1e30)
    ema: float | None = Field(None, gt=0, lt=1)
    average: int | None = Field(None, ge=2, le=10_000_000)
    amp: Literal["auto", "none", "bf16", "fp16"] = "bf16"
    compile: bool = False
    deterministic: bool = False
    threads: int = Field(1, ge=1, le=256)
    loader_workers: int = Field(0, ge=0, le=256)
    log_every: int = Field(25, ge=1, le=10_000_000)
    checkpoint_every: int = Field(250, ge=1, le=10_000_000)
    probe_visits: int = Field(12, ge=0, le=10_000)

    @model_validator(mode="before")
    @classmethod
    def _steps_for_a_share(cls, given: Any) -> Any:
        """Who counts the warm-up in steps writes no share of it."""
        if isinstance(given, dict) and given.get("warmup_steps") is not None and "warmup" not in given:
            return {**given, "warmup": 0.0}
        return given

    @field_validator("milestones", mode="before")
    @classmethod
    def _a_list(cls, value: Any) -> Any:
        if value == {}:
            raise ValueError("{} names no milestones; write a list of them, or {epochs: [...]}")
        if not isinstance(value, list):
            return value
        whole = [isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in value]
        if any(w and v > 1 for v, w in zip(value, whole, strict=True)) and not all(whole):
            raise ValueError(f"{value} mixes shares of the run with steps; write shares below 1, or whole steps")
        return {"steps" if whole and all(whole) else "shares": value}

    @model_validator(mode="after")
    def _fits_together(self) -> Schedule:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("set exactly one of epochs and steps")
        if self.warmup and self.warmup_steps is not None:
            raise ValueError("set one of warmup (a share of the run) and warmup_steps")
        if self.decay == "step" and self.milestones == Milestones():
            raise ValueError("decay: step needs milestones; name some, or set decay: cosine")
        if self.warmup_shape == "constant" and self.warmup_from is None:
            raise ValueError("warmup_shape: constant needs warmup_from, the rate that is held until then")
        for name in ("warmup_from", "lr_end"):
            rate = getattr(self, name)
            if rate is not None and rate > self.lr:
                raise ValueError(f"{name} is {rate:g}, above lr: {self.lr:g}; name a rate from 0 to that")
        # What can be told without the data; the rest is told by `unreached` once its size is known.
        if self.steps is not None:
            self._refuse_late(self.milestones.steps if self.decay == "step" else [], self.steps, "steps")
            self._refuse_late([self.warmup_steps or 0], self.steps, "steps", "warmup_steps: the warm-up")
        elif self.epochs is not None and self.decay == "step":
            self._refuse_late(self.milestones.epochs, self.epochs, "epochs")
        return self

    @model_validator(mode="after")
    def _one_of_each(self) -> Schedule:
        if self.lr_end is not None and self.lr_end_share is not None:
            raise ValueError("set one of lr_end (a rate) and lr_end_share (a share of lr)")
        if self.ema is not None and self.average is not None:
            raise ValueError("set one of ema and average; both are means of the weights, and one network is kept")
        if self.average is not None and self.steps is not None and self.average > self.steps:
            raise ValueError(f"average: {self.average} updates are more than the run's {self.steps}; name fewer")
        return self

    def _refuse_late(
        self, ends: list[int] | list[float], length: float, unit: str, what: str = "milestones: the milestone"
    ) -> None:
        for end in ends:
            if end >= length:
                raise ValueError(
                    f"{what} of {end:g} {unit} is never reached in a run of {length:g}; name an earlier one, or a share"
                )

    def idle(self) -> dict[str, str]:
        """The entries that are not at their defaults and do nothing beside the others, each with what they need."""
        warms = bool(self.warmup or self.warmup_steps)
        needs = {
            "momentum": (self.optimizer == "sgd", "optimizer: sgd"),
            "milestones": (self.decay == "step", "decay: step"),
            **dict.fromkeys(("lr_end", "lr_end_share"), (self.decay == "cosine", "decay: cosine")),
            **dict.fromkeys(("warmup_shape", "warmup_from"), (warms, "a warmup")),
            "decay_norm_bias": (self.weight_decay > 0, "a weight_decay"),
        }
        fields = type(self).model_fields
        return {
            name: needed
            for name, (met, needed) in needs.items()
            if not met and getattr(self, name) != fields[name].default
        }

    @property
    def update_size(self) -> int:
        """Images of an update."""
        return self.accumulate * self.batch_size

    def total_steps(self, per_epoch: int) -> int:
        """Updates of the whole run."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 0.0) * per_epoch))

    def epoch_steps(self, images: int) -> int:
        """Updates of an epoch of so many images, what is left of them left out; at least 1."""
        return max(1, images // self.update_size)

    def total_epochs(self, images: int) -> float:
        """Epochs of the whole run over so many images."""
        per_epoch = self.epoch_steps(images)
        return self.total_steps(per_epoch) / per_epoch

    def warm_steps(self, total: int) -> int:
        """Updates until the warm-up is over."""
        return round(self.warmup * total) if self.warmup_steps is None else self.warmup_steps

    def unreached(self, per_epoch: int) -> str:
        """What never comes in a run whose epochs have so many updates, with the way out; empty if all does."""
        total = self.total_steps(per_epoch)
        run = f"never reached: the run has {total} updates, {per_epoch} in an epoch"
        if self.warmup_steps is not None and self.warmup_steps >= total:
            return f"warmup_steps: {self.warmup_steps} is {run}; name fewer, or warmup as a share"
        if self.average is not None and self.average > total:
            return f"average: {self.average} updates are more than the run's {total}; name fewer"
        late = self.milestones.at(total, per_epoch) if self.decay == "step" and not self.milestones.shares else []
        if late and late[-1] >= total:
            unit = "steps" if self.milestones.steps else "epochs"
            return (
                f"milestones: {getattr(self.milestones, unit)[-1]:g} {unit} is {run}; name an earlier one, or a share"
            )
        return ""

    def probe_steps(self, total: int, per_epoch: int) -> set[int]:
        """Steps after which the probe images are visited: every epoch, at most `probe_visits` times and at the end."""
        if not self.probe_visits:
            return set()
        gap = max(per_epoch, math.ceil(total / self.probe_visits))
        return {*range(gap, total, gap), total}


def learning_rate(schedule: Schedule, step: int, total: int, per_epoch: int = 1) -> float:
    """The rate of a step of a run of `total` steps with `per_epoch` in an epoch: warm-up, then the decay."""
    warm = schedule.warm_steps(total)
    if step < warm:
        return _warming(schedule, step, warm)
    if schedule.decay == "step":
        return schedule.lr * 0.1 ** sum(step >= m for m in schedule.milestones.at(total, per_epoch))
    part = (step - warm) / max(1, total - warm)
    wave = (1 + math.cos(math.pi * part)) / 2
    if schedule.lr_end is not None:
        return schedule.lr_end + (schedule.lr - schedule.lr_end) * wave
    share = LR_END_SHARE if schedule.lr_end_share is None else schedule.lr_end_share
    return schedule.lr * (share + (1 - share) * wave)


def _warming(schedule: Schedule, step: int, warm: int) -> float:
    start = schedule.warmup_from
    if start is None:
        return schedule.lr * (step + 1) / (warm + 1)
    if schedule.warmup_shape == "constant":
        return start
    return start + (schedule.lr - start) * step / warm


def laid_over(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The entries of a schedule with others over them, as a recipe, a preset, an option or an entry of a grid has them.

    An entry puts what says the same in another way aside, and what it makes idle, e.g. milestones under a cosine:
    nobody who changes a schedule could leave out what stands elsewhere.
    """
    written = set(change)
    aside = {other for pair in ALTERNATIVES for name, other in (pair, pair[::-1]) if name in written}
    laid = {**{k: v for k, v in base.items() if k not in aside - written}, **change}
    resting = _idle(laid) - _idle(base) - written
    return {k: v for k, v in laid.items() if k not in resting}


def _idle(entries: dict[str, Any]) -> set[str]:
    """The entries of a schedule that do nothing; of one that is wrong, which is told elsewhere, none."""
    length = {} if {"steps", "epochs"} & entries.keys() else {"epochs": 10_000}
    try:
        return set(Schedule.model_validate({**entries, **length}).idle())
    except ValidationError:
        return set()
