"""Cells from their folders to their records: train, resume, evaluate.

A launcher starts `main` in a process of its own, with FOLDER... DEVICE PARENT (`launch.local`).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from assignbench.config.recipe import Schedule
from assignbench.engine import checkpoint
from assignbench.engine.board import Board
from assignbench.engine.cell import Cell, Splits
from assignbench.engine.cohort import Member, train
from assignbench.engine.cost import cost_at_test, peak_memory, training_cost
from assignbench.engine.evaluate import image_table, object_table, predict
from assignbench.engine.inputs import confirm
from assignbench.engine.pictured import example_images
from assignbench.engine.pictures import save_picture
from assignbench.engine.stopping import Stopped, Wish
from assignbench.measure.coco import coco_summary
from assignbench.measure.matching import overlaps_of
from assignbench.measure.voc import voc_evaluate
from assignbench.records import CellRecord, read_lines, write_json, write_table
from assignbench.records.claim import EXIT_CLAIMED, EXIT_FAILED, EXIT_STOPPED, Claimed, kept
from assignbench.records.documents import SUMMARY
from assignbench.records.schema import FORMULAS, IMAGES, OBJECTS


def run_cell(folder: Path, device: str, wish: Wish | None = None) -> str:
    """Trains and evaluates a cell in its folder; returns the final state and never raises for a failed training.

    When the `wish` to stop is there, it writes a checkpoint and returns "pending": the cell can be resumed. It expects
    that this process holds the cell's claim.
    """
    return run_cells([folder], device, wish)[0]


def run_cells(folders: Sequence[Path], device: str, wish: Wish | None = None) -> list[str]:
    """Does for several cells what `run_cell` does for one, and leaves what it would leave: they are trained in one
    loop, then evaluated one after the other. They have to see the same batches.

    One that finds no memory beside the others is begun again when these are done. On a GPU one whose losses were not
    finite is, from its last checkpoint, until it is known in which step. Returns the states in the folders' order.
    """
    wish, splits = wish or Wish(), Splits()
    members = [Member(folder, exact=not works_behind(device)) for folder in folders]
    waiting, room = members, max(1, len(members))
    while waiting:
        together, waiting = waiting[:room], waiting[room:]
        _run_together(together, device, splits, wish, last=not waiting)
        crowded = sum(m.crowded for m in together)
        if crowded:
            room = len(together) - crowded or max(1, crowded // 2)
        waiting = [m for m in together if m.again] + waiting
    return [m.state for m in members]


def _run_together(members: Sequence[Member], device: str, splits: Splits, wish: Wish, *, last: bool) -> None:
    """Takes members to their ends; those that need it are marked to be begun again.

    After the `last` training that images are decoded for, these give their memory back before anything is evaluated.
    """
    for member in members:
        member.enter(beside=len(members) - 1)
        with member.ending():
            wish.heed()
            settle(CellRecord(member.folder).trained.schedule, device)
            member.prepare(device, splits)
    train([m for m in members if m.goes_on], wish)
    if last and not any(m.again for m in members):
        for cell in (m.cell for m in members if m.cell is not None):
            cell.train.release()
    for member in members:
        if member.goes_on:
            with member.ending():
                wish.heed()
                _finish(member)
        member.cell = None  # what it learnt is on disk


def _finish(member: Member) -> None:
    """Evaluates a member whose training has come to its end."""
    cell, steps = member.built, member.built.learner.steps
    member.status.write("running", phase="evaluating", step=steps, steps=steps, force=True)
    evaluate(cell, member.seconds, member.cohort)
    confirm(cell)
    checkpoint.clean(member.folder)
    member.status.done()
    member.state = "done"


def works_behind(device: str) -> bool:
    """Whether a device does its work behind the host's back, so that looking at a number means waiting for it."""
    return device.startswith("cuda")


def settle(schedule: Schedule, device: str) -> None:
    """Threads and kernels of this process: on a GPU deterministic ones where there are, on demand no others at all."""
    torch.set_num_threads(schedule.threads)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else its sums depend on which stream is free
        torch.backends.cudnn.benchmark = False
    if schedule.compile:
        torch.use_deterministic_algorithms(on_gpu or schedule.deterministic, warn_only=not schedule.deterministic)
    else:  # the same without loading torch's compiler, which takes a second
        torch.set_deterministic_debug_mode("error" if schedule.deterministic else "warn" if on_gpu else "default")


def evaluate(cell: Cell, seconds: float, cohort: int) -> None:
    """Writes the tables of the test split, and summary.json with `seconds` of training in a `cohort` of so many."""
    config, learner, folder = cell.config, cell.learner, cell.folder
    detector = learner.detector
    objects, images = object_table(cell.test), image_table(cell.test)
    classes = ["object"] if detector.class_agnostic else list(cell.test.classes)
    judged = objects.assign(label=0) if detector.class_agnostic else objects
    workers = config.schedule.loader_workers
    predicted = predict(folder, detector, config.method, cell.test, config.data, config.evaluation, judged, workers)
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
        "cohort": cohort,
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
    """Entry of a process for one or several cells: FOLDER... DEVICE PARENT. Returns 0 if all are done, else one of
    `EXITS`.
    """
    folders, device, parent = [Path(a) for a in arguments[:-2]], arguments[-2], int(arguments[-1])
    if not all((folder / "config.json").is_file() for folder in folders):
        return EXIT_FAILED
    wish, mine, states = Wish(lambda: os.getppid() == parent), [], set()
    with ExitStack() as held:
        gc.freeze()  # what was imported stays, and is passed over where 100,000 records are made
        held.callback(gc.unfreeze)
        try:
            wish.listen()
            for folder in folders:
                try:
                    # One claim that is lost ends all: another process writes to that folder, and steps may take long.
                    held.enter_context(kept(folder, parent if wish.alive() else 0, lambda: os._exit(EXIT_CLAIMED)))
                    mine.append(folder)
                except Claimed as problem:
                    sys.stderr.write(f"{problem}\n")
            # Whoever launches a cell takes its manifest away: with one, it was done by another run meanwhile.
            states = set(run_cells([f for f in mine if CellRecord(f).state != "done"], device, wish))
        except Stopped:
            return EXIT_STOPPED
    if "pending" in states:
        return EXIT_STOPPED
    if len(mine) < len(folders):
        return EXIT_CLAIMED
    return 0 if states <= {"done"} else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
