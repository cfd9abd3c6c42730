"""The two clocks of a lap: one stands still while others have the processor, the other does not."""

from __future__ import annotations

import time

import pytest
import torch

from assignbench.engine.cost import training_cost
from assignbench.engine.stopwatch import Stopwatch, processor_clock


def test_sleep_passes_but_does_not_work() -> None:
    watch = Stopwatch(torch.device("cpu"))
    time.sleep(0.05)
    watch.mark()
    until = time.thread_time() + 0.03
    while time.thread_time() < until:
        pass
    watch.mark()
    idle, busy = watch.lap(0), watch.lap(1)
    assert idle.ms >= 50 and idle.cpu_ms < 10
    assert 30 <= busy.cpu_ms < 45 and busy.ms >= busy.cpu_ms - 1


@pytest.mark.parametrize(("threads", "clock"), [(1, time.thread_time), (2, time.process_time)])
def test_with_several_threads_the_whole_process_counts(threads, clock, monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert processor_clock() is clock


def test_what_a_training_cost() -> None:
    lines = [{"images_per_second": v, "seconds": 2.0, "cpu_seconds": 1.0} for v in (1.0, 10.0, 30.0)]
    assert training_cost(lines, 100.0) == {"train_seconds": 100.0, "train_cpu_seconds": 50.0, "images_per_second": 20.0}
    assert training_cost([], 1.0) == {"train_seconds": 1.0, "train_cpu_seconds": None, "images_per_second": None}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: events of a device are not tested")
def test_on_a_gpu_laps_are_the_device_s() -> None:
    watch = Stopwatch(torch.device("cuda"))
    values = torch.randn(4096, 4096, device="cuda")
    for _ in range(20):
        values = values @ values / 64
    watch.mark()
    assert watch.lap(0).ms > watch.lap(0).cpu_ms
