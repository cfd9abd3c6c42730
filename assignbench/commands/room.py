"""Room on the disk that a study's records need, for `doctor` and `plan`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from assignbench.study.grid import Cell

# Measured on finished cells: boxes before NMS (up to 1000 per image), candidates, detections, objects.
BYTES_PER_IMAGE = 60_000
# Numbers kept per parameter: the weights and what the optimiser remembers of each, in two generations of checkpoints.
KEPT = {"sgd": 2 * 2, "adamw": 2 * 3}


def needed(cells: Sequence[Cell], folder: Path, test_images: dict[str, int], parameters: dict[str, int]) -> int:
    """Bytes that the unfinished cells of a study will write, roughly.

    `test_images` by the data set's name, `parameters` by the detector's label; what is not in them counts as nothing.
    """
    total = 0
    for cell in cells:
        if (folder / cell.id / "summary.json").is_file():
            continue
        config = cell.config
        numbers = KEPT[config.schedule.optimizer] * parameters.get(config.detector.label, 0)
        total += 4 * numbers + BYTES_PER_IMAGE * test_images.get(config.data.name, 0)
    return total


def parameters(cells: Sequence[Cell]) -> dict[str, int]:
    """Parameters of every detector by its label, built for one class and without memory. Loads torch."""
    import torch

    from assignbench.detectors import build_detector

    found = {}
    for config in {c.config.detector.label: c.config for c in cells}.values():
        with torch.device("meta"):
            detector = build_detector(config.detector.spec, config.method.coder, 1, config.method.quality, None)
        found[config.detector.label] = sum(p.numel() for p in detector.parameters())
    return found


def free(folder: Path) -> int:
    """Free bytes where a folder lies or would be made."""
    there = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.is_dir())
    return shutil.disk_usage(there).free


def lacking(need: float, there: float, out: Path) -> str:
    """What to do where fewer bytes are free than a study needs."""
    return (
        f"{out}: the study needs about {told(need)}, {told(there)} are free; make room, name another --out, or run "
        "part of it with --only or --seeds"
    )


def told(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
