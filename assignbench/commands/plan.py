"""`assignbench plan`: checks a whole study and shows its cells, what each method is compared with, the cost, and with
`--detect` the seeds that a difference needs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from assignbench.commands.opening import Opened, open_study
from assignbench.commands.power import power_lines
from assignbench.commands.staleness import look
from assignbench.commands.trainings import Trainings
from assignbench.config.cell import CellConfig
from assignbench.config.images import AspectSize
from assignbench.errors import InputError
from assignbench.records import CellRecord
from assignbench.study.about import question_of
from assignbench.study.baselines import pair_lines
from assignbench.study.published import printed_rows
from assignbench.study.recipe import recipe_lines
from assignbench.study.trainings import counted, trainings_of
from assignbench.study.tuning import named


def plan(options: argparse.Namespace, console: Console) -> int:
    """Cells, ids, states, pairs and the cost that is left; runs nothing and writes nothing."""
    opened = open_study(options)
    speeds = _known_speeds(options.out)
    for line in _asked(opened):
        console.print(line, markup=False)
    inputs = look(opened.folder, opened.everything, options.out, console)
    console.print(counted(len(opened.cells), len(trainings_of(opened.cells))))
    waiting = [c for c in opened.cells if inputs.state(CellRecord(opened.folder / c.id)) != "done"]
    source = Trainings(opened.folder, opened.everything, inputs, options.out, console).shared(waiting)
    left, unknown = 0.0, False
    for cell in opened.cells:
        record = CellRecord(opened.folder / cell.id)
        state = inputs.state(record)
        note = record.reason if state == "damaged" else ""
        if cell.id in source:
            note += f" takes the training of {source[cell.id]}"
        elif state != "done":
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
    if options.detect:
        for line in power_lines(opened, options.detect):
            console.print(line, markup=False)
    return 0


def _asked(opened: Opened) -> Iterator[str]:
    """What the study asks for: its recipe, its pairs, its detectors' beginnings, the printed rows that it has."""
    spec = opened.study.spec
    yield f"{spec.study}: {spec.title}\nanswers: {question_of(spec)}"
    if spec.cost:
        yield f"cost: {spec.cost}"
    yield from recipe_lines(spec)
    yield "methods and what they are compared with:"
    for line in pair_lines(opened.study, opened.methods, opened.baselines):
        yield f"  {line}"
    if opened.trials:
        yield _sweep(opened)
    for detector in {c.config.detector.label: c.config.detector for c in opened.cells}.values():
        yield f"detector {detector.label}: {detector.beginning}"
        if detector.warning:
            yield f"note: detector '{detector.label}': {detector.warning}"
    for table, rows in printed_rows(spec).items():
        yield f"printed rows of {table}: " + ", ".join(f"{row} {cell}" for row, cell in rows.items())


def _sweep(opened: Opened) -> str:
    """What the study's sweep costs, or what it chose."""
    told = f"sweep: {len(opened.trials)} settings for each method"
    if opened.untuned:
        cells = [cell for trial in opened.trials for cell in trial.cells]
        return f"{told}, {counted(len(cells), len(trainings_of(cells)))}; {opened.untuned}"
    chosen = opened.tuned.chosen if opened.tuned is not None else {}
    return f"{told}; chosen: " + "; ".join(f"{method} {named(setting)}" for method, setting in chosen.items())


def _images(config: CellConfig) -> int | None:
    """Images that training a cell draws, where the study's file alone says it."""
    schedule = config.schedule
    if schedule.steps:
        return schedule.steps * schedule.update_size
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
