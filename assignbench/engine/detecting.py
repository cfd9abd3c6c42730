"""A finished cell's detector on other images than those of its test split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from assignbench.config.cell import CellConfig
from assignbench.data.base import DetectionData
from assignbench.detectors import Detector
from assignbench.engine import checkpoint
from assignbench.engine.cell import seeded_detector
from assignbench.engine.detect import detect as detect_batch, views_of
from assignbench.engine.staging import readers
from assignbench.methods import build


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
    detector = trained_detector(folder, config, len(data.classes), device).eval()
    parts, seen = [], 0
    workers = readers(config.schedule.loader_workers, detector.device)
    for views in views_of(data, config.data, config.evaluation, workers, detector.device):
        tell(f"detecting: image {seen + 1} of {len(data)}")
        ids = views[0].batch.image_ids
        parts.append(detect_batch(detector, config.method, views, config.evaluation).after.rows(ids, "score"))
        seen += len(ids)
    return pd.concat(parts, ignore_index=True)
