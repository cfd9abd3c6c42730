"""Visits to the probe images: the same training images for every method, never augmented, about once per epoch."""

from __future__ import annotations

from pathlib import Path

from assignbench.engine.grids import grid_table, shape_table
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update
from assignbench.engine.pictured import ProbeSet
from assignbench.engine.pictures import save_picture
from assignbench.engine.probing import probe_tables
from assignbench.records import write_table
from assignbench.records.schema import BOX_SHAPES, GRIDS, PROBE_OBJECTS, PROBES


class Probes(Hook):
    """Writes visit-STEP (priors), objects-STEP (diagnostics) and shapes-STEP (what the box layer's bias says) of every
    visit, grid-STEP (all priors of the shown objects' levels) of the last one, and the images once.

    `epoch_steps` is the length of an epoch: a visit's epoch and its day depend on it.
    """

    def __init__(self, learner: Learner, folder: Path, probed: ProbeSet, epoch_steps: int) -> None:
        super().__init__(learner)
        self.folder, self.probed, self.epoch_steps = folder, probed, epoch_steps
        self.visits = learner.schedule.probe_steps(learner.steps, epoch_steps) if probed.batches else set()

    def begin(self, first: int) -> None:
        for batch in self.probed.batches:
            for image_id, pixels in zip(batch.image_ids, batch.images, strict=True):
                save_picture(self.folder / f"{image_id}.png", pixels.permute(1, 2, 0).numpy())
        if first == 0 and self.probed.batches:
            self._visit(0)

    def after_update(self, outcome: Outcome, update: Update) -> None:
        if outcome.step + 1 in self.visits:
            self._visit(outcome.step + 1)

    def _visit(self, done: int) -> None:
        learner, probed = self.learner, self.probed
        context = learner.context(probed.batches[0], done, epoch=done // self.epoch_steps)
        detector, method = learner.detector, learner.method
        priors, objects = probe_tables(detector, method, probed.batches, context)
        shown = objects.object_id.map(probed.shown).fillna("").astype(object)
        tables = {
            "visit": (priors.assign(extra=priors.image_id.isin(probed.extra)), PROBES),
            "objects": (objects.assign(extra=objects.image_id.isin(probed.extra), shown=shown), PROBE_OBJECTS),
            "shapes": (shape_table(detector, probed.batches[0].extents[0], context), BOX_SHAPES),
        }
        if done == learner.steps:
            tables["grid"] = (grid_table(detector, method, probed.batches, context, probed.shown), GRIDS)
        for name, (table, schema) in tables.items():
            if len(table.columns):
                write_table(self.folder / f"{name}-{done:08d}.parquet", table, schema)
