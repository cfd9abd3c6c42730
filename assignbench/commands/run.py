"""`assignbench run`: trains every cell of a study that is not done, then writes the report."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from assignbench.commands.devices import choose_device
from assignbench.commands.display import Display, closing_table
from assignbench.commands.opening import Opened, open_study
from assignbench.commands.staleness import Staleness, look, set_aside
from assignbench.errors import InputError
from assignbench.launch.base import Job, Jobs
from assignbench.launch.local import LocalProcesses, default_workers
from assignbench.records import CellRecord, write_json, write_text
from assignbench.report import build_report
from assignbench.study.grid import Cell
from assignbench.study.reading import Study


def run(options: argparse.Namespace, console: Console) -> int:
    """Trains what is not done and reports; 0 only if every requested cell is done."""
    opened = open_study(options)
    study, folder, cells = opened.study, opened.folder, opened.cells
    device, line = choose_device(options.device)
    _check_data(study, cells)
    workers = options.workers or default_workers(device, study.spec.schedule.threads)
    inputs = look(folder, opened.everything, options.out, console)
    if options.fresh:
        for cell in cells:
            shutil.rmtree(folder / cell.id, ignore_errors=True)
        inputs = inputs.without(c.id for c in cells)
    else:
        inputs = set_aside(inputs, cells, inputs.to_renew(cells, accept=options.accept_stale), console)
    records = {cell.id: CellRecord(folder / cell.id) for cell in cells}
    waiting = [c for c in cells if records[c.id].state != "done"]
    if not options.quiet:
        kept = len(cells) - len(waiting)
        console.print(f"{study.spec.study}: {len(cells)} cells, {kept} done before · {line} · {workers} side by side")
    if options.verbose:
        for cell in cells:
            console.print(f"  {records[cell.id].state:8} {records[cell.id].folder}", markup=False)
    if not options.quiet and any(c.config.data.kind == "shapes" for c in waiting):
        console.print("preparing scenes (rendered once, some seconds)")
    _render_scenes(waiting)
    _write_about(opened, inputs)
    jobs = [Job(records[c.id].folder, c.config, c.paths) for c in waiting]
    with Display(console, len(jobs), quiet=options.quiet) as display:
        Jobs(LocalProcesses(device), workers).run(jobs, display)
    page = build_report(folder)
    closing_table(console, cells, records)
    console.print(f"report: {page}", markup=False)
    return 0 if all(r.state == "done" for r in records.values()) else 1


def _write_about(opened: Opened, inputs: Staleness) -> None:
    """What the report says about the study, and the file as it was."""
    write_json(opened.folder / "study.json", opened.about(inputs.about()))
    write_text(opened.folder / "study.yaml", opened.study.path.read_text())


def _check_data(study: Study, cells: Sequence[Cell]) -> None:
    """Reads every split and weights file that the cells need, so that nothing is written before all of it is sound."""
    from assignbench.data.catalog import load

    for spec, root in {c.config.data.name: (c.config.data, c.paths.root) for c in cells}.values():
        if spec.kind == "shapes":
            continue
        for split in ("train", "test"):
            data = load(spec, split, Path(root))
            if not len(data):
                raise InputError(f"data set '{spec.name}': no usable image in {data.split}")
    for label, weights in {c.config.detector.label: c.paths.weights for c in cells}.items():
        if weights and not Path(weights).is_file():
            raise InputError(
                f"{study.path}: detector '{label}': no weights file {weights}\n"
                "Put it there (for ResNets torchvision's ImageNet .pth file), or name another under `weights`."
            )


def _render_scenes(cells: Sequence[Cell]) -> None:
    """Fills the scene cache once, before several cells would each do it."""
    from assignbench.data.catalog import load

    for spec, cache in {c.config.data.name: (c.config.data, c.paths.cache) for c in cells}.values():
        if spec.kind == "shapes":
            for split in ("train", "test"):
                load(spec, split, Path(), Path(cache))
