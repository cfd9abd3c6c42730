"""`assignbench run`: trains every cell of a study that is not done, then writes the report."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from assignbench.commands.devices import choose_device
from assignbench.commands.display import Display, closing_table
from assignbench.commands.opening import Opened, open_study
from assignbench.commands.reporting import reported
from assignbench.commands.staleness import Staleness, look, set_aside
from assignbench.commands.trainings import Trainings
from assignbench.commands.weights import check_study_weights
from assignbench.errors import InputError
from assignbench.launch.base import Job, Jobs
from assignbench.launch.local import LocalProcesses, default_workers
from assignbench.records import CellRecord, clear_folder, write_json, write_text
from assignbench.records.claim import all_kept
from assignbench.report import build_report
from assignbench.study.grid import Cell
from assignbench.study.reading import Study
from assignbench.study.trainings import counted, trainings_of


def run(options: argparse.Namespace, console: Console) -> int:
    """Trains what is not done and reports; 0 only if every requested cell is done.

    Raises InputError, before anything is written, for what must be mended and for a cell that another process trains.
    """
    opened = open_study(options)
    if opened.untuned:
        raise InputError(opened.untuned)
    records = train_all(opened, options, console)
    page, failed = reported(console, lambda tell: build_report(opened.folder, tell), quiet=options.quiet)
    closing_table(console, opened.cells, records)
    console.print(f"report: {page}", markup=False)
    return failed if all(r.state == "done" for r in records.values()) else 1


def train_all(opened: Opened, options: argparse.Namespace, console: Console) -> dict[str, CellRecord]:
    """Trains the cells that are asked for and not done; returns the records of all that are asked for.

    Raises InputError as `run` does.
    """
    study, cells = opened.study, opened.cells
    device, line = choose_device(options.device)
    _check_data(study, cells)
    folders = {cell.id: opened.folder / cell.id for cell in cells}
    records = {name: CellRecord(folder, thorough=True) for name, folder in folders.items()}
    _own_folders(records.values(), fresh=options.fresh)
    inputs = look(opened.folder, opened.everything, options.out, console)
    renewed = [] if options.fresh else inputs.to_renew(cells, accept=options.accept_stale)
    wanted = [r.folder for r in records.values() if options.fresh or r.state != "done" or r.id in renewed]
    try:
        _writable(opened.folder)
        with _terminable(), all_kept(wanted):
            if options.fresh:
                for folder in wanted:
                    clear_folder(folder)
                inputs = inputs.without(c.id for c in cells)
            else:
                inputs = set_aside(inputs, cells, renewed, console)
            _train(opened, inputs, records, options, console, (device, line))
    except KeyboardInterrupt:
        for folder in wanted:
            record = CellRecord(folder)
            if record.state == "pending" and record.reason:
                console.print(f"{record.id}: {record.reason}", markup=False)
        raise
    return records


def _train(
    opened: Opened,
    inputs: Staleness,
    records: Mapping[str, CellRecord],
    options: argparse.Namespace,
    console: Console,
    device: tuple[str, str],
) -> None:
    """Trains the cells that are not done; this process holds their claims."""
    study, cells = opened.study, opened.cells
    waiting = [c for c in cells if records[c.id].state != "done"]
    workers = options.workers or default_workers(device[0], study.spec.schedule.threads)
    if not options.quiet:
        kept = len(cells) - len(waiting)
        told = f"{study.spec.study}: {counted(len(cells), len(trainings_of(cells)))}, {kept} done before"
        console.print(f"{told} · {device[1]} · {workers} side by side")
        for record in (records[c.id] for c in waiting):
            if record.state == "damaged":
                console.print(f"damaged, is done again: {record.reason}", markup=False)
    if options.verbose:
        for cell in cells:
            console.print(f"  {records[cell.id].state:8} {records[cell.id].folder}", markup=False)
    if not options.quiet and any(c.config.data.kind == "shapes" for c in waiting):
        console.print("preparing scenes (rendered once, some seconds)")
    _render_scenes(waiting)
    _write_about(opened, inputs)
    found = Trainings(opened.folder, opened.everything, inputs, options.out, console)
    source = found.shared(waiting, fresh=options.fresh)
    jobs = [
        Job(records[c.id].folder, c.config, c.paths.model_copy(update={"training": source.get(c.id, "")}))
        for c in waiting
    ]
    with Display(console, len(jobs), quiet=options.quiet) as display:
        sharing = device[0] == "cpu" and not options.workers  # a GPU's memory holds no more, and who says N means N
        Jobs(LocalProcesses(device[0]), workers, sharing=sharing).run(jobs, display)


@contextmanager
def _terminable() -> Iterator[None]:
    """For the time of a block, SIGTERM ends a run as SIGINT does: the cells write their checkpoints first."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main one hears signals
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _own_folders(records: Iterable[CellRecord], *, fresh: bool) -> None:
    """Raises InputError for folders that hold other cells: training there would overwrite or adopt their records."""
    wrong = [r for r in records if r.misplaced and not (fresh and not r.folder.is_symlink())]
    if wrong:
        raise InputError("\n".join(f"{r.folder}: {r.misplaced}; {r.remedy}" for r in wrong))


def _writable(folder: Path) -> None:
    """Raises InputError where nothing can be written, before hours are spent on what cannot be kept."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"{folder}: nothing can be written there ({problem.strerror}); name another --out") from None


def _write_about(opened: Opened, inputs: Staleness) -> None:
    """What the report says about the study, and the file as it was."""
    write_json(opened.folder / "study.json", opened.about(inputs.about()))
    write_text(opened.folder / "study.yaml", opened.study.path.read_text())


def _check_data(study: Study, cells: Sequence[Cell]) -> None:
    """Reads every split and weights file that the cells need, so that nothing is written before all of it is sound."""
    from assignbench.data.catalog import load

    for config, root in {c.config.data.name: (c.config, c.paths.root) for c in cells}.values():
        spec = config.data
        if spec.kind == "shapes":
            continue
        for split in config.splits:
            load(spec, split, Path(root))
    check_study_weights(study, cells)


def _render_scenes(cells: Sequence[Cell]) -> None:
    """Fills the scene cache once, before several cells would each do it."""
    from assignbench.data.catalog import load

    for config, cache in {c.config.data.name: (c.config, c.paths.cache) for c in cells}.values():
        if config.data.kind == "shapes":
            for split in config.splits:
                load(config.data, split, Path(), Path(cache))
