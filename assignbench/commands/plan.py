"""`assignbench plan`: checks a whole study and shows its cells, what each method is compared with, the cost, and with
`--detect` the seeds that a difference needs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rich.console import Console

from assignbench.commands.costs import Costs, data_lines, disk_lines, measured_speeds
from assignbench.commands.opening import Opened, open_study
from assignbench.commands.power import power_lines
from assignbench.commands.precisions import precision_line
from assignbench.commands.staleness import look
from assignbench.commands.trainings import Trainings
from assignbench.records import CellRecord
from assignbench.study.about import question_of
from assignbench.study.baselines import pair_lines
from assignbench.study.printed import printed_rows
from assignbench.study.recipe import recipe_lines
from assignbench.study.trainings import counted, trainings_of
from assignbench.study.tuning import named


def plan(options: argparse.Namespace, console: Console) -> int:
    """Cells, ids, states, pairs and the cost that is left; runs nothing and writes nothing, and needs no data."""
    opened = open_study(options)
    costs = Costs(measured_speeds(options.out))
    for line in _asked(opened, options):
        console.print(line, markup=False)
    inputs = look(opened.folder, opened.everything, options.out, console)
    console.print(counted(len(opened.cells), len(trainings_of(opened.cells))))
    waiting = [c for c in opened.cells if inputs.state(CellRecord(opened.folder / c.id)) != "done"]
    source = Trainings(opened.folder, opened.everything, inputs, options.out, console).shared(waiting)
    for cell in opened.cells:
        record = CellRecord(opened.folder / cell.id)
        state = inputs.state(record)
        note = record.reason if state == "damaged" else ""
        if cell.id in source:
            note += f" takes the training of {source[cell.id]}"
        elif state != "done":
            note += f" {costs.add(cell)}"
        console.print(f"{state:8} {cell.id} {note.strip()}".rstrip())
    inputs.tell(console, [c.id for c in opened.cells])
    for line in (*data_lines(opened.cells), *costs.lines(), *disk_lines(opened, options.out)):
        console.print(line, markup=False)
    if options.detect:
        for line in power_lines(opened, options.detect):
            console.print(line, markup=False)
    return 0


def _asked(opened: Opened, options: argparse.Namespace) -> Iterator[str]:
    """What the study asks for: its recipe, its pairs, its detectors' beginnings, the printed rows that it has."""
    spec = opened.study.spec
    yield f"{spec.study}: {spec.title}\nanswers: {question_of(spec)}"
    if spec.cost:
        yield f"cost: {spec.cost}"
    yield from recipe_lines(spec)
    precision = precision_line(options, opened.study, opened.folder)
    if precision:
        yield precision
    yield "methods and what they are compared with:"
    for line in pair_lines(opened.study, opened.methods, opened.baselines):
        yield f"  {line}"
    if opened.trials:
        yield _sweep(opened)
    for detector in {c.config.detector.label: c.config.detector for c in opened.cells}.values():
        yield f"detector {detector.label}: {detector.beginning}"
        if detector.warning:
            yield f"note: detector '{detector.label}': {detector.warning}"
    if spec.published:
        yield f"published numbers: {spec.published}"
    for table, rows in printed_rows(spec, readings=True).items():
        if not opened.table or table == opened.table:
            told = (f"{row} {' or '.join('/'.join(cell) for cell in cells)}" for row, cells in rows.items())
            yield f"printed rows of {table}: " + ", ".join(told)


def _sweep(opened: Opened) -> str:
    """What the study's sweep costs, or what it chose."""
    told = f"sweep: {len(opened.trials)} settings for each method"
    if opened.untuned:
        cells = [cell for trial in opened.trials for cell in trial.cells]
        return f"{told}, {counted(len(cells), len(trainings_of(cells)))}; {opened.untuned}"
    chosen = opened.tuned.chosen if opened.tuned is not None else {}
    return f"{told}; chosen: " + "; ".join(f"{method} {named(setting)}" for method, setting in chosen.items())
