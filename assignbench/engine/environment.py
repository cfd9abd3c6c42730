"""Where and on what a cell ran, and what a forward pass costs."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assignbench.config.images import HW, nominal_hw
from assignbench.data.overlap import overlap_notes
from assignbench.detectors import Detector
from assignbench.engine.cell import Cell
from assignbench.records.files import digest_of


def environment(cell: Cell) -> dict[str, Any]:
    """Versions, device, data fingerprints, classes, priors: what environment.json holds."""
    import torchvision

    hw, detector = nominal_hw(cell.config.data.size), cell.learner.detector
    device = cell.learner.device
    priors = detector.priors(hw, device)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "data": {
            split: {
                "split": data.split,
                "images": len(data),
                "objects": int(sum(len(i.labels) for i in data.images)),
                "fingerprint": data.fingerprint(),
                "annotated": data.annotated,
                "skipped": [str(p) for p in data.skipped],
                "notes": overlap_notes(cell.train, cell.test, digest_of) if split == "test" else [],
            }
            for split, data in (("train", cell.train), ("test", cell.test))
        },
        "classes": list(cell.train.classes),
        "parameters": sum(p.numel() for p in detector.parameters()),
        "class_agnostic": detector.class_agnostic,
        "priors": {
            "kind": priors.kind,
            "level_sizes": list(priors.level_sizes),
            "strides": [float(priors.strides[i]) for i in priors.level_starts()],
            "anchors_per_location": priors.anchors_per_location,
        },
        "image_size": list(hw),
    }


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


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


def gflops(detector: Detector, hw: HW) -> float:
    """Multiply-adds, in units of 1e9, of the forward pass of one image of this (height, width).

    The detector ends in evaluation mode.
    """
    from torch.utils.flop_counter import FlopCounterMode

    detector.eval()
    device = detector.device
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        detector(torch.zeros(1, 3, *hw, dtype=torch.uint8, device=device))
    return counter.get_total_flops() / 2e9
