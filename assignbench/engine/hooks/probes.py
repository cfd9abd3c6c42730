"""Visits to the probe images: the same training images for every method, never augmented, about once per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assignbench.config.data import DataSpec
from assignbench.data.base import DetectionData
from assignbench.data.stream import Batch, evaluation_batches
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update
from assignbench.engine.pictures import save_picture
from assignbench.engine.probing import probe_tables
from assignbench.records import write_table
from assignbench.records.schema import PROBE_OBJECTS, PROBES

BATCH = 8  # probe images at a time


class Probes(Hook):
    """Writes visit-STEP.parquet (priors) and objects-STEP.parquet (diagnostics) of every visit, and the images once.

    `epoch_steps` is the length of an epoch: a visit's epoch and its day depend on it.
    """

    def __init__(self, learner: Learner, folder: Path, batches: Sequence[Batch], epoch_steps: int) -> None:
        super().__init__(learner)
        self.folder, self.batches, self.epoch_steps = folder, batches, epoch_steps
        self.visits = learner.schedule.probe_steps(learner.steps, epoch_steps) if batches else set()

    def begin(self, first: int) -> None:
        for batch in self.batches:
            for image_id, pixels in zip(batch.image_ids, batch.images, strict=True):
                save_picture(self.folder / f"{image_id}.png", pixels.permute(1, 2, 0).numpy())
        if first == 0 and self.batches:
            self._visit(0)

    def after_update(self, outcome: Outcome, update: Update) -> None:
        if outcome.step + 1 in self.visits:
            self._visit(outcome.step + 1)

    def _visit(self, done: int) -> None:
        learner = self.learner
        context = learner.context(self.batches[0], done, epoch=done // self.epoch_steps)
        priors, objects = probe_tables(learner.detector, learner.method, self.batches, context)
        write_table(self.folder / f"visit-{done:08d}.parquet", priors, PROBES)
        write_table(self.folder / f"objects-{done:08d}.parquet", objects, PROBE_OBJECTS)


def probe_batches(data: DetectionData, spec: DataSpec, count: int) -> list[Batch]:
    """The probe images: spread evenly over the training images that have objects."""
    usable = [i for i, record in enumerate(data.images) if len(record.labels)]
    count = min(count, len(usable))
    chosen = [usable[int(i)] for i in np.linspace(0, len(usable) - 1, count)] if count else []
    return list(evaluation_batches(data, chosen, spec, BATCH, training=True))
