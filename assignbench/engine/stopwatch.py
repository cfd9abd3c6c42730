"""How long the parts of a step take: by the clock on the wall, of the processor and, on a GPU, of the device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Lap:
    """Milliseconds between two marks: what passed, and what processors worked for it.

    Where other programs had the processor, `ms` is longer than `cpu_ms`. On a GPU `ms` is what passed on the device.
    """

    ms: float
    cpu_ms: float


def processor_clock() -> Callable[[], float]:
    """The clock of processor time for work that is asked for here.

    One thread of torch: this thread's clock, which threads that load data do not move. Several: the clock of the whole
    process, since part of the work is done by others; it counts every thread, so that it can run faster than time.
    """
    return time.thread_time if torch.get_num_threads() == 1 else time.process_time


class Stopwatch:
    """Marks moments; what lies between two of them is read afterwards, when a GPU has come that far."""

    def __init__(self, device: torch.device) -> None:
        self._clock = processor_clock()
        self._on_device = device.type == "cuda"
        self._marks: list[tuple[float, float]] = []
        self._events: list[torch.cuda.Event] = []
        self.mark()

    def mark(self) -> None:
        """The end of a lap and the beginning of the next."""
        if self._on_device:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append(event)
        self._marks.append((time.perf_counter(), self._clock()))

    def lap(self, number: int) -> Lap:
        """The lap that ended with mark `number` + 1. On a GPU this waits until the device has done it."""
        (begun, cpu_begun), (ended, cpu_ended) = self._marks[number : number + 2]
        passed = 1e3 * (ended - begun)
        if self._on_device:
            self._events[number + 1].synchronize()
            passed = float(self._events[number].elapsed_time(self._events[number + 1]))
        return Lap(passed, 1e3 * (cpu_ended - cpu_begun))
