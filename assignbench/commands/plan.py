"""`assignbench plan`: checks a whole study and shows its cells, what each method is compared with, and the cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from assignbench.commands.opening import open_study
from assignbench.commands.staleness import look
from assignbench.config.cell import CellConfig
from assignbench.config.images import AspectSize
from assignbench.errors import InputError
from assignbench.records import CellRecord
from assignbench.study.baselines import pair_lines


def plan(options: argparse.Namespace, console: Console) -> int:
    """Cells, ids, states, pairs and the cost that is left; runs nothing and writes nothing."""
    opened = open_study(options)
    spec = opened.study.spec
    speeds = _known_speeds(options.out)
    console.print(f"{spec.study}: {spec.title}\nanswers: {spec.answers}\ncost: {spec.cost}", markup=False)
    console.print("methods and what they are compared with:")
    for line in pair_lines(opened.study, opened.methods, opened.baselines):
        console.print(f"  {line}", markup=False)
    for detector in {c.config.detector.label: c.config.detector for c in opened.cells}.values():
        if detector.warning:
            console.print(f"note: detector '{detector.label}': {detector.warning}", markup=False)
    inputs = look(opened.folder, opened.everything, options.out, console)
    left, unknown = 0.0, False
    for cell in opened.cells:
        record = CellRecord(opened.folder / cell.id)
        state = inputs.state(record)
        note = record.reason if state == "damaged" else ""
        if state != "done":
            images = _images(cell.config)
            speed = speeds.get((cell.config.detector.name, cell.config.data.size))
            if speed and images:
                left += images / speed
                note += f" about {images / speed / 60:.1f} min at {speed:.0f} images/s"
            else:
                unknown = True
        console.print(f"{state:8} {cell.id} {note.strip()}")
    inputs.tell(console, [c.id for c in opened.cells])
    told = "left: nothing measured yet"
    if left:
        told = f"left: about {left / 60:.0f} minutes of training, one cell at a time"
    elif not unknown:
        told = "left: nothing"
    console.print(told + (" (some speeds are not known before a first cell has run)" if unknown else ""))
    return 0


def _images(config: CellConfig) -> int | None:
    """Images that training a cell draws, where the study's file alone says it."""
    schedule = config.schedule
    if schedule.steps:
        return schedule.steps * schedule.batch_size
    if config.data.kind == "shapes" and schedule.epochs:
        return round(schedule.epochs * config.data.train_images)
    return None


def _known_speeds(out: Path) -> dict[tuple[str, int | AspectSize], float]:
    """images/s of finished cells below a run folder, by detector and image size; older records are passed over."""
    speeds = {}
    for path in out.glob("*/*/summary.json"):
        record = CellRecord(path.parent)
        speed = record.summary.get("images_per_second")
        try:
            config = record.trained
        except InputError:
            continue
        if speed:
            speeds[config.detector.name, config.data.size] = float(speed)
    return speeds
