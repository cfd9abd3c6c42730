"""Where the time of a training step goes: some steps of a cell, taken apart. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from assignbench.engine.cell import Cell
from assignbench.engine.meter import Spent
from assignbench.engine.staging import prepared, staged

WARM_UP, STEPS = 3, 10
PARTS = ("batch", "forward", "assign", "criterion", "backward", "update")
GPU_PARTS = ("batch", "send", *PARTS[1:])


@dataclass(frozen=True)
class StepProfile:
    """Mean times of a step by its `PARTS` or, on a GPU, `GPU_PARTS`, in order; `images` are those of an update.

    `batch` is the reading, augmenting and putting together of its images, `backward` also the norm of the gradient,
    `update` the optimiser and averaged weights. For a GPU images are only read and put together, and `send` is their
    way to it and what changes them there.
    """

    parts: dict[str, Spent]
    images: int

    @property
    def whole(self) -> Spent:
        """The step."""
        found = Spent()
        for spent in self.parts.values():
            found = found.plus(spent)
        return found


def profiled(cell: Cell, steps: int = STEPS) -> StepProfile:
    """Trains a built cell for some steps after `WARM_UP` others, and says what took how long.

    Batches take the way of a training. The host waits for a GPU after each part, and nothing is read or sent ahead, so
    that a step takes longer there than in a training, which does these beside the other parts.
    """
    learner, device = cell.learner, cell.learner.device
    loader, parts = prepared(cell.loader, device), GPU_PARTS if device.type == "cuda" else PARTS
    ledger = _Ledger(device, parts)
    learner.detector.train()
    hooks = [
        learner.detector.register_forward_pre_hook(lambda *_: ledger.begin("forward")),
        learner.detector.register_forward_hook(lambda *_: ledger.end("forward")),
    ]
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            ledger.clear()
        with ledger.of("batch"):
            batches = [loader.load(step, part) for part in range(loader.parts)]
        if "send" in parts:
            with ledger.of("send"):
                batches = list(staged(batches, device))
        with ledger.of("backward"):
            outcome, _ = learner.learn(batches, step)
        laps = {"assign": outcome.assigning, "criterion": outcome.judging}
        for name, lap in laps.items():
            ledger.spent[name] = ledger.spent[name].plus(Spent(lap.ms / 1e3, lap.cpu_ms / 1e3))
        with ledger.of("update"):
            learner.step(step)
    for hook in hooks:
        hook.remove()
    for name in ("forward", "assign", "criterion"):  # these lie within the learning
        ledger.spent["backward"] = ledger.spent["backward"].plus(ledger.spent[name], -1.0)
    return StepProfile(
        {name: Spent().plus(ledger.spent[name], 1 / steps) for name in parts}, loader.batch * loader.parts
    )


class _Ledger:
    """What each part has spent, waiting for the device at both of its ends."""

    def __init__(self, device: torch.device, parts: Sequence[str]) -> None:
        self._on_gpu, self._parts = device.type == "cuda", parts
        self._begun: dict[str, Spent] = {}
        self.clear()

    def clear(self) -> None:
        self.spent = dict.fromkeys(self._parts, Spent())

    def begin(self, name: str, *_: Any) -> None:
        self._wait()
        self._begun[name] = Spent.now()

    def end(self, name: str, *_: Any) -> None:
        self._wait()
        self.spent[name] = self.spent[name].plus(Spent.now().since(self._begun[name]))

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        self.begin(name)
        yield
        self.end(name)

    def _wait(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize()
