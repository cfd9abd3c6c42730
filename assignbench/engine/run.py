"""One cell from its folder to its records: train, resume, evaluate.

A launcher starts it as `python -m assignbench.engine.run FOLDER DEVICE PARENT`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from assignbench.engine import checkpoint
from assignbench.engine.cell import Cell, prepare
from assignbench.engine.environment import environment, gflops, peak_memory
from assignbench.engine.evaluate import describe_objects, image_table, object_table, predict
from assignbench.engine.hooks import Checkpoint, Guard, Heartbeat, Log, Probes
from assignbench.engine.hooks.heartbeat import Orphaned, Status
from assignbench.engine.hooks.probes import probe_batches
from assignbench.engine.inputs import begin, confirm
from assignbench.engine.learner import Diverged
from assignbench.engine.loop import loop
from assignbench.engine.pictures import save_picture
from assignbench.measure.coco import coco_evaluate, coco_ground_truth, coco_results
from assignbench.measure.voc import voc_evaluate
from assignbench.records import CellRecord, read_lines, write_json, write_table, write_text
from assignbench.records.schema import CANDIDATES, DETECTIONS, ENVIRONMENT, FORMULAS, IMAGES, OBJECTS, PRE_NMS, SUMMARY

EXAMPLES = 6  # test images that are kept as pictures


def run_cell(folder: Path, device: str, alive: Callable[[], bool] = lambda: True) -> str:
    """Trains and evaluates a cell in its folder; returns the final state and never raises for a failed training.

    When `alive` says that nobody waits any more, it stops and returns "pending": the cell can be resumed.
    """
    status = Status(folder, alive)
    try:
        torch.set_num_threads(CellRecord(folder).trained.schedule.threads)
        if device.startswith("cuda"):
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.backends.cudnn.benchmark = False
        begun = time.time_ns()
        cell = prepare(folder, device)
        begin(cell, begun)
        about = environment(cell)
        ENVIRONMENT.mapping(about, str(folder / "environment.json"))
        write_json(folder / "environment.json", about)
        seconds = train(cell, status)
        status.write("running", phase="evaluating", force=True)
        evaluate(cell, seconds)
        confirm(cell)
        checkpoint.finish(folder / "checkpoint", cell.learner.model)
        status.write("done", force=True)
        return "done"
    except Orphaned:
        return "pending"
    except Diverged as problem:
        status.write("diverged", reason=str(problem), force=True)
        return "diverged"
    except Exception as problem:
        write_text(folder / "error.txt", traceback.format_exc())
        status.write("failed", reason=f"{type(problem).__name__}: {problem}", force=True)
        return "failed"


def train(cell: Cell, status: Status) -> float:
    """Trains from the last checkpoint to the end; returns the seconds spent, earlier tries counted in.

    Raises Diverged, and Orphaned if nobody waits any more.
    """
    folder, learner, loader = cell.folder, cell.learner, cell.loader
    first, spent = checkpoint.restore(folder / "checkpoint", learner)
    _forget_after(folder, first)
    probes = probe_batches(cell.train, cell.config.data, cell.config.probe_images)
    saving = Checkpoint(learner, folder / "checkpoint", spent)
    hooks = [
        Guard(learner, folder),
        Log(learner, folder),
        Heartbeat(learner, status),
        Probes(learner, folder / "probes", probes, loader.steps_per_epoch),
        saving,
    ]
    loop(loader.batches(first, learner.steps), [learner], hooks, first)
    if learner.stopped is not None:
        raise learner.stopped
    return saving.seconds


def _forget_after(folder: Path, step: int) -> None:
    """Drops what a killed run had written past its last checkpoint."""
    kept = [row for row in read_lines(folder / "metrics.jsonl") if row["step"] < step]
    write_text(folder / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in kept))
    parts = [*(folder / "assignments").glob("part-*.parquet"), *(folder / "probes").glob("*-*.parquet")]
    for part in parts:
        if int(part.stem.split("-")[1]) > step:
            part.unlink()


def evaluate(cell: Cell, seconds: float) -> None:
    """Writes the tables of the test split, and summary.json with `seconds` of training."""
    config, learner, folder = cell.config, cell.learner, cell.folder
    size, detector = config.data.image_size, learner.detector
    tables, cost = predict(detector, config.method, cell.test, size, config.evaluation)
    objects, images = object_table(cell.test), image_table(cell.test)
    classes = ["object"] if detector.class_agnostic else list(cell.test.classes)
    judged = objects.assign(label=0) if detector.class_agnostic else objects
    write_table(folder / "images.parquet", images, IMAGES)
    write_table(folder / "objects.parquet", describe_objects(judged, tables).assign(label=objects.label), OBJECTS)
    for schema in (DETECTIONS, PRE_NMS, CANDIDATES):
        write_table(folder / schema.file, tables[schema.name], schema)
    formulas = learner.method.assigner.formulas()
    if formulas:
        write_table(folder / "formulas.parquet", pd.DataFrame(formulas), FORMULAS)
    for index in range(min(EXAMPLES, len(cell.test))):
        save_picture(folder / "examples" / f"{cell.test.images[index].id}.png", cell.test.read(index))
    truth = coco_ground_truth(images, judged, classes)
    summary: dict[str, Any] = coco_evaluate(truth, coco_results(tables["detections"]))
    if config.data.kind == "voc":
        summary |= voc_evaluate(judged, tables["detections"], classes)
    rates = [row["images_per_second"] for row in read_lines(folder / "metrics.jsonl")[1:]]
    summary |= {
        "train_seconds": seconds,
        "images_per_second": float(np.median(rates)) if rates else None,
        "gflops": gflops(detector, size),
        "peak_memory_mib": peak_memory(learner.device),
        "parameters": sum(p.numel() for p in detector.parameters()),
        **cost,
    }
    SUMMARY.mapping(summary, str(folder / "summary.json"))
    write_json(folder / "summary.json", summary)


def main(arguments: list[str]) -> int:
    """Entry of a cell's own process: FOLDER DEVICE PARENT. Returns 0 if the cell is done."""
    folder, device, parent = Path(arguments[0]), arguments[1], int(arguments[2])
    if not (folder / "config.json").is_file():
        return 1
    return 0 if run_cell(folder, device, lambda: os.getppid() == parent) == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
