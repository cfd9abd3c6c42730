"""`assignbench status`: where the cells of a study stand, from its run folder alone."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from rich.console import Console

from assignbench.commands.opening import open_study, run_folder, wanted_table
from assignbench.commands.staleness import look, recorded
from assignbench.errors import InputError
from assignbench.launch.queue import JobState, ask_slurm, job_line, job_of
from assignbench.records import CellRecord, read_about, refuse_old
from assignbench.records.claim import holder_of
from assignbench.study.printed import cells_of_table
from assignbench.study.reading import read_study


def status(options: argparse.Namespace, console: Console) -> int:
    """One line per cell that the study had when it was last run; with options that change the study, of those that it
    then has.
    """
    study = read_study(options.study, sets=options.sets, preset=options.preset, data=options.data, seeds=options.seeds)
    folder = run_folder(options, study)
    about = read_about(folder)
    names = about.get("cells")
    if names is None:
        raise InputError(f"nothing was run in {folder}; `assignbench run {options.study}` starts it")
    table = wanted_table(options, study)
    if table:
        needed = cells_of_table(study, table)
        names = [n for n in names if _place(about, n) in needed]
    if options.sets or options.seeds is not None:
        names = _made(names, options)
    records = [CellRecord(folder / name) for name in names]
    for record in records:
        refuse_old(record)
    if options.only:
        records = [r for r in records if any(fnmatch(name, options.only) for name in _names(r))]
        if not records:
            raise InputError(f"--only {options.only}: no cell matches; the cells are\n  " + "\n  ".join(names))
    inputs = look(folder, recorded(study, records), options.out, console)
    submitted = any(job_of(record.folder) for record in records)
    states = ask_slurm() if submitted else None
    for record in records:
        told = record.status
        steps = f"{told.get('step', 0)}/{told['steps']}" if told.get("steps") else ""
        place = _place_of(record, states)
        line = f"{inputs.state(record):8} {steps:>12} {record.id} {'; '.join(filter(None, (record.reason, place)))}"
        console.print(line.rstrip(), markup=False)
    inputs.tell(console, [r.id for r in records])
    return 0


def _made(names: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Those cells that the study has with the options; only to know these, methods and torch are loaded.

    Raises InputError where nothing was run with them.
    """
    made = {cell.id for cell in open_study(options).everything}
    found = [name for name in names if name in made]
    if not found:
        given = [*(f"--set {one}" for one in options.sets), *([f"--seeds {options.seeds}"] if options.seeds else [])]
        raise InputError(
            f"{' '.join(given)}: no cell of that was in the last run; the cells are\n  " + "\n  ".join(names)
        )
    return found


def _place_of(record: CellRecord, states: Mapping[str, JobState] | None) -> str:
    """Where a cell that is not done waits or is trained; "" where nobody is at it and it does not say otherwise."""
    if record.state == "done":
        return ""
    holder, job = holder_of(record.folder), job_line(record.folder, states)
    if holder is not None and holder.alive:
        told = f"trained by {holder}"
    elif not job and CellRecord(record.folder).state == "running":  # looked at again: it may have ended just now
        gone = "its process is gone" if holder is None or holder.here else f"nothing is heard of {holder}"
        told = f"{gone}; the same command goes on from step {record.saved_step}"
    else:
        told = ""
    return "; ".join(filter(None, (told, job)))


def _place(about: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Detector and method of a cell as study.json says them; nothing where an earlier version wrote it."""
    told = about.get("grid", {}).get(name, {})
    return told.get("detector", ""), told.get("method", "")


def _names(record: CellRecord) -> tuple[str, ...]:
    """What --only may match: the id, and once a cell has begun its slug and its method."""
    try:
        config = record.config
    except InputError:
        return (record.id,)
    return (record.id, config.slug, config.method.name)
