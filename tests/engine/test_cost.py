"""What a cell costs: counted operations by hand, timed images by a clock that is turned by hand."""

from __future__ import annotations

import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.ops import DeformConv2d

from assignbench.engine import cost
from assignbench.engine.cost import gflops, parameters, speed, timed_places
from assignbench.engine.run import run_cell
from assignbench.records import CellRecord
from tests.engine.cells import place, tiny

CPU = torch.device("cpu")


class Net(nn.Module):
    """A convolution of 3 to 8 channels, then a deformable one of 8 to 4."""

    device = CPU

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False).requires_grad_(False)
        self.offsets = nn.Conv2d(8, 18, 3, padding=1, bias=False)
        self.second = DeformConv2d(8, 4, 3, padding=1, bias=False)

    def forward(self, images):
        x = self.first(images.float())
        return self.second(x, self.offsets(x))


def test_multiply_adds_of_ordinary_and_deformable_convolutions() -> None:
    net = Net()
    by_hand = 20 * 30 * 9 * (3 * 8 + 8 * 18 + 8 * 4)
    assert gflops(net, (20, 30)) * 1e9 == pytest.approx(by_hand)  # type: ignore[arg-type]
    assert not net.training
    assert parameters(net) == {  # type: ignore[arg-type]
        "parameters": 9 * (3 * 8 + 8 * 18 + 8 * 4),
        "parameters_trained": 9 * (8 * 18 + 8 * 4),
    }


def test_timed_images_are_spread_and_bounded() -> None:
    assert timed_places(0) == []
    assert timed_places(1) == [0]
    assert timed_places(4) == [0, 1, 2, 3]
    many = timed_places(5000)
    assert len(many) == len(set(many)) == 100 and many[0] == 0 and many[-1] == 4999
    assert max(b - a for a, b in pairwise(many)) <= 51


@pytest.mark.parametrize("count", [1, 3, 10, 40])
def test_speed_counts_what_passed_after_the_warm_up(count, monkeypatch) -> None:
    """Ten images warm up, some of them again where there are fewer."""
    warm = 10
    now = SimpleNamespace(passed=0.0, worked=0.0)
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: now.passed))
    monkeypatch.setattr(cost, "processor_clock", lambda: lambda: now.worked)
    seen = []

    def images():
        for i in range(count):
            now.passed += 1000.0  # reading takes long, and does not count
            yield i

    def detect(image: int) -> None:
        seen.append(image)
        now.passed += 0.5 if len(seen) > warm else 60.0
        now.worked += 0.2 if len(seen) > warm else 60.0

    found = speed(images, detect, CPU)
    assert found["fps"] == pytest.approx(2.0) and found["fps_cpu_share"] == pytest.approx(0.4)
    assert found["fps_images"] == count and seen == [*(i % count for i in range(warm)), *range(count)]


def test_without_images_there_is_no_speed() -> None:
    assert speed(lambda: [], lambda image: None, CPU) == {"fps": None, "fps_cpu_share": None, "fps_images": 0}


def test_a_cell_records_what_it_costs(tmp_path) -> None:
    spec = {"backbone": {"freeze_first": True}}
    folder = place(tiny(steps=2, spec=spec), tmp_path / "cell")
    begun = time.perf_counter()
    assert run_cell(folder, "cpu") == "done"
    passed = time.perf_counter() - begun
    summary = CellRecord(folder).summary
    assert 0 < summary["parameters"] - summary["parameters_trained"] < 10_000
    assert summary["gflops_hw"] == [64, 64] and summary["gflops"] > 0
    assert summary["fps_images"] == 10 and summary["fps"] > 10 / passed
    assert 0 < summary["fps_cpu_share"] < 1.2
