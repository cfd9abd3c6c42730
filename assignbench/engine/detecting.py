"""A finished cell's detector on other images than those of its test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from assignbench.config.cell import CellConfig
from assignbench.data.base import DetectionData
from assignbench.detectors import Detector
from assignbench.engine import checkpoint
from assignbench.engine.cell import seeded_detector
from assignbench.engine.evaluate import predict
from assignbench.methods import build

AT_ONCE = 256  # images whose boxes before NMS are held, at most if a batch has no more


def trained_detector(folder: Path, config: CellConfig, num_classes: int, device: str) -> Detector:
    """The detector of a finished cell with its final weights."""
    detector = seeded_detector(config, num_classes)
    model = nn.ModuleDict({"detector": detector, "criterion": build(config.method).criterion})
    checkpoint.load_final(folder / checkpoint.FOLDER, model)
    placed: Detector = detector.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def detect(
    folder: Path, config: CellConfig, data: DetectionData, device: str, tell: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """The detections table of a split, made as the cell's own evaluation makes it. `tell` hears how far it is."""
    torch.set_num_threads(config.schedule.threads)
    detector = trained_detector(folder, config, len(data.classes), device)
    batch, parts = config.evaluation.batch, []
    count = batch * max(1, AT_ONCE // batch)  # whole batches, as the evaluation has them
    for first in range(0, len(data), count):
        tell(f"detecting: image {first + 1} of {len(data)}")
        part = _part(data, first, count)
        tables, _ = predict(detector, config.method, part, config.data.image_size, config.evaluation)
        parts.append(tables["detections"])
    return pd.concat(parts, ignore_index=True)


def _part(data: DetectionData, first: int, count: int) -> DetectionData:
    """So many images from `first` on."""
    return replace(data, images=data.images[first : first + count], read=lambda i: data.read(first + i))
