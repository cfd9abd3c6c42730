"""A cell ready to be trained: built from its configuration, which nothing else adds to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from assignbench.config.cell import CellConfig, LocalPaths
from assignbench.config.data import DataSpec, Split
from assignbench.data.base import DetectionData
from assignbench.data.catalog import load
from assignbench.data.stream import TrainLoader
from assignbench.detectors import Detector, build_detector
from assignbench.engine.learner import Learner
from assignbench.engine.seeding import drawn_by, initialise
from assignbench.errors import InputError
from assignbench.methods import build
from assignbench.records import CellRecord, read_json


@dataclass(frozen=True)
class Cell:
    """Where a cell leaves its records, what it is, the splits that it learns and is measured on, and what learns.

    `test` is the split that the evaluation names: the validation split where settings are chosen.
    """

    folder: Path
    config: CellConfig
    train: DetectionData
    test: DetectionData
    loader: TrainLoader
    learner: Learner


class Splits:
    """Splits as they are read, each once: cells of one process share them, and what of their images is decoded."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, Split, Path, Path | None], DetectionData] = {}

    def load(self, spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData:
        """As `catalog.load`."""
        key = (spec.model_dump_json(), split, root, cache)
        if key not in self._read:
            self._read[key] = load(spec, split, root, cache)
        return self._read[key]


def prepare(folder: Path, device: str, splits: Splits | None = None) -> Cell:
    """Builds a cell from its folder. Raises InputError for what the user has to mend."""
    local = LocalPaths.model_validate(read_json(folder / "local.json"))
    return build_cell(folder, CellRecord(folder).trained, local, device, splits)


def build_cell(folder: Path, config: CellConfig, local: LocalPaths, device: str, splits: Splits | None = None) -> Cell:
    """Builds a cell from its configuration; the folder is where it would leave its records. Raises InputError."""
    root, cache = Path(local.root), Path(local.cache) if local.cache else None
    reading = splits or Splits()
    train, test = (reading.load(config.data, split, root, cache) for split in config.splits)
    for data in (train, test):
        data.share(local.at_once * local.processes)
    loader = loader_of(config, train)
    late = config.schedule.unreached(loader.steps_per_epoch)
    if late:
        raise InputError(f"{folder / 'config.json'}: schedule.{late}")
    steps = config.schedule.total_steps(loader.steps_per_epoch)
    late = config.method.unreached(steps / loader.steps_per_epoch)
    if late:
        raise InputError(f"{folder / 'config.json'}: method.{late}")
    method = build(config.method)
    if config.detector.weights and not local.weights:
        raise InputError(
            f"{folder / 'local.json'}: weights is empty, but the cell starts from '{config.detector.weights}'; "
            "name that file there, or run the study again"
        )
    weights = Path(local.weights) if local.weights else None
    detector = seeded_detector(config, len(train.classes), weights)
    detector = detector.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    method.criterion.to(device)
    learner = Learner(config.slug, detector, method, config.schedule, config.seed, steps, loader.steps_per_epoch)
    return Cell(folder, config, train, test, loader, learner)


def loader_of(config: CellConfig, train: DetectionData) -> TrainLoader:
    """The batches of a cell's training; cells of one data set, schedule and seed get the same ones."""
    schedule = config.schedule
    workers, parts = schedule.loader_workers, schedule.accumulate
    return TrainLoader(train, config.data, schedule.batch_size, config.seed, workers, parts)


def seeded_detector(config: CellConfig, num_classes: int, weights: Path | None = None) -> Detector:
    """The cell's detector with the initial weights of its seed; pretrained features are read from their file."""
    method = config.method
    with drawn_by(config.seed, "constructors"):  # what a detector of the user's own draws by itself
        detector = build_detector(
            config.detector.spec, method.coder, num_classes, method.quality, weights, config.data.pixels
        )
    initialise(detector, config.seed, method.head_init, keep_backbone=weights is not None)
    return detector
