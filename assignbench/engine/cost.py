"""What a cell costs: its training, its memory, a forward pass, and a test image from the network to the last box."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import torch

from assignbench.config.images import HW, nominal_hw
from assignbench.detectors import Detector
from assignbench.engine.cell import Cell
from assignbench.engine.detect import detect, views_of
from assignbench.engine.stopwatch import processor_clock

Image = TypeVar("Image")
Speed = dict[str, float | int | None]

WARM_UP, TIMED = 10, 100  # test images of the speed, one at a time


def training_cost(lines: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, float | None]:
    """What a training of so many seconds cost, by the lines of its log: processor time, and the median speed.

    The log knows both clocks for its steps; their share of each other holds for the whole. None where it says nothing.
    """
    speeds = [line["images_per_second"] for line in lines[1:]]
    passed, worked = (sum(line.get(name, 0.0) for line in lines) for name in ("seconds", "cpu_seconds"))
    return {
        "train_seconds": seconds,
        "train_cpu_seconds": seconds * worked / passed if passed else None,
        "images_per_second": float(np.median(speeds)) if speeds else None,
    }


def peak_memory(device: torch.device) -> float:
    """MiB: allocated on the GPU, or resident in this process (Linux counts it in KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def parameters(detector: Detector) -> dict[str, int]:
    """All parameters of a detector, and those that training changes."""
    numbers = [(p.numel(), p.requires_grad) for p in detector.parameters()]
    return {"parameters": sum(n for n, _ in numbers), "parameters_trained": sum(n for n, trained in numbers if trained)}


def gflops(detector: Detector, hw: HW) -> float:
    """Multiply-adds, in units of 1e9, of the forward pass of one image of (height, width) px.

    A deformable convolution counts as an ordinary one of its shape: the sampling is left out. The detector ends in
    evaluation mode.
    """
    import torchvision  # noqa: F401  registers the operator
    from torch.utils.flop_counter import FlopCounterMode

    detector.eval()
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.torchvision.deform_conv2d: _deformable_flops})
    with counter, torch.no_grad():
        detector(torch.zeros(1, 3, *hw, dtype=torch.uint8, device=detector.device))
    return counter.get_total_flops() / 2e9


def _deformable_flops(images: Sequence[int], weight: Sequence[int], *given: Any, out_shape: Sequence[int]) -> int:
    """Twice the multiply-adds, from the shapes of images [B, C, H, W], weight [O, C / groups, k, k] and output."""
    batch, out_channels, height, width = out_shape
    return 2 * batch * out_channels * height * width * int(np.prod(weight[1:]))


def timed_places(count: int) -> list[int]:
    """Which of `count` test images are timed: TIMED of them, evenly spread; all of fewer."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, TIMED)).round()] if count else []


def cost_at_test(cell: Cell) -> dict[str, Any]:
    """Parameters, multiply-adds and speed of a trained cell, by the names of summary.json."""
    detector, hw = cell.learner.detector, nominal_hw(cell.config.data.size)
    counted = {"gflops": gflops(detector, hw), "gflops_hw": list(hw)}
    return {**parameters(detector), **counted, **detection_speed(cell)}


def detection_speed(cell: Cell) -> Speed:
    """The speed of a cell's detector and method on its test split: network, ranking, NMS, voting, all views."""
    config, detector = cell.config, cell.learner.detector
    places, alone = timed_places(len(cell.test)), config.evaluation.model_copy(update={"batch": 1})
    images = [cell.test.images[place] for place in places]
    timed = replace(cell.test, images=images, read=lambda index: cell.test.read(places[index]))
    detector.eval()
    return speed(
        lambda: views_of(timed, config.data, alone),
        lambda views: detect(detector, config.method, views, alone),
        detector.device,
    )


def speed(images: Callable[[], Iterable[Image]], detect: Callable[[Image], object], device: torch.device) -> Speed:
    """Test images per second of `detect`, one image at a time, after WARM_UP that are not counted: the first ones, seen
    again where there are fewer.

    `images` gives the images to be timed, ready for `detect`, from the first one on each time that it is called; what
    it does itself is not counted. The device is waited for after every image. `fps_cpu_share` is what the processor
    worked in the seconds that passed: below one on a CPU, other programs had it meanwhile. Both are None without an
    image.
    """
    for image in islice(chain.from_iterable(images() for _ in range(WARM_UP)), WARM_UP):
        detect(image)
    clock = processor_clock()
    passed, worked, count = 0.0, 0.0, 0
    _wait(device)
    for image in images():
        begun, cpu_begun = time.perf_counter(), clock()
        detect(image)
        _wait(device)
        passed, worked, count = passed + time.perf_counter() - begun, worked + clock() - cpu_begun, count + 1
    return {
        "fps": count / passed if passed else None,
        "fps_cpu_share": worked / passed if passed else None,
        "fps_images": count,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
