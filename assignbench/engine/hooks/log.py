"""The log of training: losses and speed per logging step, and what the assigner gave the objects of that batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from assignbench.boxes import areas
from assignbench.contract import Assignment
from assignbench.data.stream import Batch
from assignbench.engine.board import Board
from assignbench.engine.hooks.base import Hook
from assignbench.engine.learner import Learner
from assignbench.engine.outcome import Outcome, Update
from assignbench.priors import Priors
from assignbench.records import append_lines, write_table
from assignbench.records.schema import ASSIGNMENTS
from assignbench.select import positives_per_object


class Log(Hook):
    """Appends to metrics.jsonl and collects assignments.parquet, whose parts are written at every checkpoint.

    `board` gets the lines too, once training has begun.
    """

    def __init__(self, learner: Learner, folder: Path, board: Board | None = None) -> None:
        super().__init__(learner)
        self.folder, self.board = folder, board
        self._rows: list[pd.DataFrame] = []
        self.begin(0)

    def begin(self, first: int) -> None:
        self._since, self._images = self.learner.meter.spent, 0

    def after_update(self, outcome: Outcome, update: Update) -> None:
        schedule, done = self.learner.schedule, outcome.step + 1
        self._images += len(outcome.image_ids)
        if outcome.step % schedule.log_every == 0:
            line = self._line(outcome, update)
            append_lines(self.folder / "metrics.jsonl", [line])
            if self.board is not None:
                self.board.line(line)
            self._rows += tables_of(outcome, self.learner)
        if done % schedule.checkpoint_every == 0 and done < self.learner.steps:
            self._flush(done)

    def pause(self, done: int) -> None:
        self._flush(done)

    def end(self) -> None:
        self._flush(self.learner.steps)
        parts = [pd.read_parquet(p) for p in sorted((self.folder / "assignments").glob("*.parquet"))]
        if parts:
            write_table(self.folder / "assignments.parquet", pd.concat(parts, ignore_index=True), ASSIGNMENTS)

    def _line(self, outcome: Outcome, update: Update) -> dict[str, Any]:
        spent = self.learner.meter.spent.since(self._since)
        cpu_seconds = self.learner.world.total(spent.cpu_seconds)
        speed = self._images / max(spent.seconds, 1e-9)
        self.begin(outcome.step + 1)
        return {
            "step": outcome.step,
            "epoch": outcome.epoch,
            "loss": float(update.loss),
            **{name: float(term.value()) for name, term in outcome.terms.items()},
            "grad_norm": float(update.norm) if bool(torch.isfinite(update.norm)) else None,
            "lr": self.learner.rate(outcome.step),
            "images_per_second": speed,
            "seconds": spent.seconds,
            "cpu_seconds": cpu_seconds,
            "assign_ms": outcome.assigning.ms,
            "assign_cpu_ms": outcome.assigning.cpu_ms,
            "criterion_ms": outcome.judging.ms,
            "criterion_cpu_ms": outcome.judging.cpu_ms,
        }

    def _flush(self, done: int) -> None:
        if self._rows:
            part = self.folder / "assignments" / f"part-{done:08d}.parquet"
            write_table(part, pd.concat(self._rows, ignore_index=True), ASSIGNMENTS)
            self._rows.clear()


class Tell(Hook):
    """Tells the Log of rank 0 what a process learnt of its share of the batches, and the time that it worked."""

    def __init__(self, learner: Learner) -> None:
        super().__init__(learner)
        self.begin(0)

    def begin(self, first: int) -> None:
        self._since = self.learner.meter.spent

    def after_update(self, outcome: Outcome, update: Update) -> None:
        if outcome.step % self.learner.schedule.log_every == 0:
            self.learner.world.total(self.learner.meter.spent.since(self._since).cpu_seconds)
            self.begin(outcome.step + 1)
            tables_of(outcome, self.learner)


def tables_of(outcome: Outcome, learner: Learner) -> list[pd.DataFrame]:
    """The rows of all images of an update in their order; nothing where another process records them."""
    own = (assignment_rows(outcome.step, part.batch, part.priors, part.assignment) for part in outcome.parts)
    return [table for rows in own for table in learner.world.gathered(rows)]


def assignment_rows(step: int, batch: Batch, priors: Priors, assignment: Assignment) -> pd.DataFrame:
    """One row per object of a batch: positives of both tasks, shared ones, mean weights, positives per level."""
    valid = batch.objects.valid
    width = max(valid.shape[1], 1)  # room for a batch without objects
    cls, box = assignment.cls.index.cpu(), assignment.box.index.cpu()
    number, place = torch.nonzero(valid, as_tuple=True)
    counts = {
        "positives_cls": positives_per_object(cls, width),
        "positives_box": positives_per_object(box, width),
        "positives_both": positives_per_object(torch.where(cls == box, cls, -1), width),
    }
    for task, index in (("cls", cls), ("box", box)):
        levels = torch.split(index, list(priors.level_sizes), dim=1)
        counts |= {f"level{n}_{task}": positives_per_object(level, width) for n, level in enumerate(levels)}
    table = {
        "step": np.full(len(number), step),
        "epoch": np.full(len(number), batch.epoch),
        "image_id": np.asarray(batch.image_ids)[number.numpy()],
        "object_id": batch.object_ids[number, place].numpy(),
        "label": batch.objects.labels[number, place].numpy(),
        "network_area": areas(batch.objects.boxes)[number, place].numpy(),
        **{name: count[number, place].numpy() for name, count in counts.items()},
        "weight_cls": _mean_weight(cls, assignment.cls.weight, width)[number, place].numpy(),
        "weight_box": _mean_weight(box, assignment.box.weight, width)[number, place].numpy(),
    }
    return pd.DataFrame(table)


def _mean_weight(index: Tensor, weight: Tensor, width: int) -> Tensor:
    """Mean weight [B, G] of the priors that name an object, 0 without one."""
    sums = torch.zeros(index.shape[0], width)
    sums.scatter_add_(1, index.clamp(min=0), weight.cpu().float() * (index >= 0))
    return sums / positives_per_object(index, width).clamp(min=1)
