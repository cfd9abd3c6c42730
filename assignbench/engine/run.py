"""One cell from its folder to its records: train, resume, evaluate.

A launcher starts its `main` in a process of its own, with FOLDER DEVICE PARENT (`launch.local`).
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from assignbench.config.recipe import Schedule
from assignbench.engine import checkpoint
from assignbench.engine.board import Board
from assignbench.engine.cell import Cell, prepare
from assignbench.engine.cost import cost_at_test, peak_memory, training_cost
from assignbench.engine.environment import environment
from assignbench.engine.evaluate import image_table, object_table, predict
from assignbench.engine.failure import reason_of
from assignbench.engine.hooks import Checkpoint, Guard, Heartbeat, Idle, Log, Probes
from assignbench.engine.hooks.heartbeat import Status
from assignbench.engine.inputs import begin, confirm
from assignbench.engine.loop import loop
from assignbench.engine.outcome import Diverged
from assignbench.engine.pictured import check_named, example_images, probe_set
from assignbench.engine.pictures import save_picture
from assignbench.engine.sharing import take_training
from assignbench.engine.stopping import Stopped, Wish
from assignbench.measure.coco import coco_summary
from assignbench.measure.matching import overlaps_of
from assignbench.measure.voc import voc_evaluate
from assignbench.records import CellRecord, read_lines, write_json, write_table, write_text
from assignbench.records.claim import EXIT_CLAIMED, EXIT_FAILED, EXIT_STOPPED, Claimed, kept
from assignbench.records.documents import ENVIRONMENT, SUMMARY
from assignbench.records.manifest import MANIFEST
from assignbench.records.schema import FORMULAS, IMAGES, OBJECTS


def run_cell(folder: Path, device: str, wish: Wish | None = None) -> str:
    """Trains and evaluates a cell in its folder; returns the final state and never raises for a failed training.

    When the `wish` to stop is there, it writes a checkpoint and returns "pending": the cell can be resumed. It expects
    that this process holds the cell's claim.
    """
    wish, status = wish or Wish(), Status(folder)
    try:
        _tidy(folder)
        wish.heed()
        _settle(CellRecord(folder).trained.schedule, device)
        begun = time.time_ns()
        cell = prepare(folder, device)
        status.note(*begin(cell, begun))
        about = environment(cell)
        ENVIRONMENT.mapping(about, str(folder / "environment.json"))
        write_json(folder / "environment.json", about)
        status.note(*take_training(cell))
        seconds = train(cell, status, wish)
        seconds = float(CellRecord(folder).training.get("train_seconds", seconds))
        wish.heed()
        status.write("running", phase="evaluating", step=cell.learner.steps, steps=cell.learner.steps, force=True)
        evaluate(cell, seconds)
        confirm(cell)
        checkpoint.clean(folder)
        status.done()
        return "done"
    except Stopped:
        status.write("pending", reason=f"stopped; resumes at step {checkpoint.newest(folder)}", force=True)
        return "pending"
    except Diverged as problem:
        status.write("diverged", reason=str(problem), force=True)
        return "diverged"
    except (Exception, SystemExit) as problem:
        status.write("failed", reason=reason_of(problem), force=True)
        write_text(folder / "error.txt", traceback.format_exc())
        return "failed"


def _settle(schedule: Schedule, device: str) -> None:
    """Threads and kernels of this process: on a GPU deterministic ones where there are, on demand no others at all."""
    torch.set_num_threads(schedule.threads)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else its sums depend on which stream is free
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(on_gpu or schedule.deterministic, warn_only=not schedule.deterministic)


def _tidy(folder: Path) -> None:
    """Removes what says that an earlier try ended, and what a kill left half written."""
    for name in (MANIFEST, "error.txt", "diverged.json"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.rglob("*.partial"):
        path.unlink(missing_ok=True)


def train(cell: Cell, status: Status, wish: Wish) -> float:
    """Trains from the last whole checkpoint to the end; returns the seconds spent, earlier tries counted in.

    Raises Diverged, and Stopped, with a checkpoint written, if that is the wish.
    """
    folder, learner, loader, config = cell.folder, cell.learner, cell.loader, cell.config
    check_named(cell.train, cell.test, config.data, config.pictures)
    resumed = checkpoint.restore(folder, learner)
    status.note(*resumed.warnings)
    first = resumed.step
    probes = probe_set(cell.train, config.data, config.probe_images, config.pictures)
    saving, board = Checkpoint(learner, folder, resumed.seconds), Board(folder, first)
    hooks = [
        Guard(learner, folder),
        Idle(learner, status.note),
        Log(learner, folder, board),
        Probes(learner, folder / "probes", probes, loader.steps_per_epoch),
        saving,
        Heartbeat(learner, status),
    ]
    status.note(*([board.problem] if board.problem else []))
    try:
        with wish.patient():
            loop(loader.batches(first, learner.steps), [learner], hooks, first, lambda: wish.wanted)
    finally:
        board.close()
    if learner.stopped is not None:
        raise learner.stopped
    return saving.seconds


def evaluate(cell: Cell, seconds: float) -> None:
    """Writes the tables of the test split, and summary.json with `seconds` of training."""
    config, learner, folder = cell.config, cell.learner, cell.folder
    detector = learner.detector
    objects, images = object_table(cell.test), image_table(cell.test)
    classes = ["object"] if detector.class_agnostic else list(cell.test.classes)
    judged = objects.assign(label=0) if detector.class_agnostic else objects
    predicted = predict(folder, detector, config.method, cell.test, config.data, config.evaluation, judged)
    write_table(folder / "images.parquet", images, IMAGES)
    write_table(folder / "objects.parquet", objects.merge(predicted.found, how="left", on="object_id"), OBJECTS)
    formulas = learner.method.assigner.formulas()
    if formulas:
        write_table(folder / "formulas.parquet", pd.DataFrame(formulas), FORMULAS)
    for index in example_images(cell.test, config.pictures):
        save_picture(folder / "examples" / f"{cell.test.images[index].id}.png", cell.test.read(index))
    overlaps = overlaps_of(images, judged, predicted.detections, len(classes))
    summary: dict[str, Any] = coco_summary(overlaps, classes, config.evaluation.max_detections)
    if config.data.kind == "voc":
        summary |= voc_evaluate(judged, predicted.detections, classes)
    summary |= {
        **training_cost(read_lines(folder / "metrics.jsonl"), seconds),
        "peak_memory_mib": max(peak_memory(learner.device), CellRecord(folder).training.get("peak_memory_mib", 0.0)),
        **predicted.cost,
        **cost_at_test(cell),
    }
    board = Board(folder, learner.steps)
    for name in ("AP", "AP50", "AP75"):
        if summary[name] is not None:
            board.scalar(f"test/{name}", summary[name], learner.steps)
    board.close()
    SUMMARY.mapping(summary, str(folder / "summary.json"))
    write_json(folder / "summary.json", summary)


def main(arguments: list[str]) -> int:
    """Entry of a cell's own process: FOLDER DEVICE PARENT. Returns 0 if the cell is done, else one of `EXITS`."""
    folder, device, parent = Path(arguments[0]), arguments[1], int(arguments[2])
    if not (folder / "config.json").is_file():
        return EXIT_FAILED
    wish = Wish(lambda: os.getppid() == parent)
    try:
        wish.listen()
        with kept(folder, parent if wish.alive() else 0):
            state = run_cell(folder, device, wish)
    except Claimed as problem:
        sys.stderr.write(f"{problem}\n")
        return EXIT_CLAIMED
    except Stopped:
        return EXIT_STOPPED
    return {"done": 0, "pending": EXIT_STOPPED}.get(state, EXIT_FAILED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
