"""The cell and the study that the tests of faults spoil, and what must be equal in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file

from assignbench.records import CellRecord
from assignbench.records.check import problems_of
from tests.engine.cells import place, tiny

CLOCKS = ("images_per_second", "assign_ms", "criterion_ms")
TABLES = ("detections", "objects", "candidates", "pre_nms", "assignments", "images")
NUMBERS = ("AP", "AP50", "AP75", "AR100", "per_class", "parameters", "gflops")
CELL = tiny("mutual_guidance", steps=12, checkpoint_every=3)

STUDY = """\
study: tiny
title: a study
answers: whether faults change a number
cost: seconds
expect: the same numbers
detectors: [retinanet-slim]
methods: [iou, mutual_guidance]
data: {name: shapes, image_size: 64, factors: {image_size: 64, max_size: 40}, train_images: 12, test_images: 4}
seeds: 1
schedule: {steps: 3, batch_size: 2, lr: 1.0e-3, log_every: 1, checkpoint_every: 2, probe_visits: 1}
probe_images: 1
"""


def fresh(folder: Path) -> Path:
    """The cell's folder as a launcher leaves it."""
    return place(CELL, folder)


def write_study(folder: Path, steps: int = 3) -> Path:
    """The study's file."""
    path = folder / "tiny.yaml"
    path.write_text(STUDY.replace("steps: 3", f"steps: {steps}"))
    return path


def same(whole: Path, other: Path) -> None:
    """Everything that two cells leave is equal to the last bit, but the clocks."""
    assert CellRecord(other).state == "done", CellRecord(other).reason
    assert problems_of(other) == []
    weights = [load_file(f / "checkpoint" / "weights.safetensors") for f in (whole, other)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
    one, two = CellRecord(whole), CellRecord(other)
    for table in TABLES:
        pd.testing.assert_frame_equal(one.table(table), two.table(table), obj=table)
    lines = [r.metrics().drop(columns=[c for c in CLOCKS if c in r.metrics()]) for r in (one, two)]
    numbers = [frame.select_dtypes("number")[["step", "loss", "grad_norm", "lr"]] for frame in lines]
    pd.testing.assert_frame_equal(*numbers, obj="metrics")
    pictures = [sorted(p.relative_to(f).as_posix() for p in f.rglob("*.png")) for f in (whole, other)]
    assert pictures[0] == pictures[1] and len(pictures[0]) > 2
    assert all((whole / n).read_bytes() == (other / n).read_bytes() for n in pictures[0])
    probes = [sorted(p.name for p in (f / "probes").glob("*.parquet")) for f in (whole, other)]
    assert probes[0] == probes[1] and len(probes[0]) > 2
    for name in probes[0]:
        pd.testing.assert_frame_equal(*(pd.read_parquet(f / "probes" / name) for f in (whole, other)), obj=name)
    assert [one.summary[k] for k in NUMBERS] == [two.summary[k] for k in NUMBERS]


def await_that(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)
