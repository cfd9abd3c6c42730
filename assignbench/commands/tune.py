"""`assignbench tune`: trains a study's sweep, the same for each method, and keeps what each of them takes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Console

from assignbench.commands.opening import Opened, open_study, tuning_folder
from assignbench.commands.run import train_all
from assignbench.errors import InputError
from assignbench.launch.torchrun import crewed
from assignbench.records import CellRecord, write_json
from assignbench.study.grid import chosen
from assignbench.study.tuning import FILE, Trial, named, outcome

ENDED = ("done", "diverged")


def tune(options: argparse.Namespace, console: Console) -> int:
    """Trains what of the sweep is not done and chooses; 0 only if every cell of the sweep has come to its end.

    Raises InputError for what must be mended, and for a study that names no sweep.
    """
    opened = open_study(options)
    trials = opened.trials
    if not trials:
        raise InputError(
            f"{opened.study.path}: names no sweep; write one under `tune`, e.g. tune: {{sweep: {{schedule.lr: "
            "[4.0e-3, 8.0e-3, 1.6e-2]}}"
        )
    everything = tuple(cell for trial in trials for cell in trial.cells)
    sweep = replace(
        opened,
        folder=tuning_folder(opened.folder),
        everything=everything,
        cells=tuple(chosen(list(everything), options.only)),
        tuned=None,
    )
    with crewed() as helped:
        if helped:
            return 0
        train_all(sweep, options, console, sweep=True)
    records = {cell.id: CellRecord(sweep.folder / cell.id, thorough=True) for cell in everything}
    left = [r for r in records.values() if r.state not in ENDED]
    _told(trials, records, console)
    if left:
        console.print(
            f"{len(left)} of {len(records)} cells of the sweep are not done, so nothing was chosen", markup=False
        )
        return 1
    found = outcome(opened.study, trials, {name: _measured(opened, record) for name, record in records.items()})
    write_json(sweep.folder / FILE, found.model_dump(mode="json"))
    for method, setting in found.chosen.items():
        end = found.at_end[method]
        note = f" (an end of the sweep: a wider one of {', '.join(end)} may find more)" if end else ""
        console.print(f"{method} takes {named(setting)}{note}", markup=False)
    console.print(f"chosen: {sweep.folder / FILE}, which `assignbench run` takes from there", markup=False)
    return 0


def _measured(opened: Opened, record: CellRecord) -> float | None:
    metric = opened.study.spec.tune.metric if opened.study.spec.tune is not None else ""
    value = record.summary.get(metric) if record.state == "done" else None
    if record.state == "done" and value is None:
        raise InputError(f"{record.folder / 'summary.json'}: has no {metric} to choose by; take another tune.metric")
    return None if value is None else float(value)


def _told(trials: Sequence[Trial], records: Mapping[str, CellRecord], console: Console) -> None:
    """A line per cell of the sweep, whose readable names are those of other settings, too."""
    for trial in trials:
        for cell in trial.cells:
            record = records[cell.id]
            ap = record.summary.get("AP")
            shown = "" if ap is None else f" AP {100 * ap:.1f} on val"
            line = f"{record.state:8} {cell.slug} with {named(trial.setting)}{shown} {record.reason}"
            console.print(line.rstrip(), markup=False)
