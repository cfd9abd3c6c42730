"""`assignbench run`: trains every cell of a study that is not done, then writes the report."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from assignbench.commands.ahead import Ahead
from assignbench.commands.display import Display, closing_table
from assignbench.commands.launchers import device_of, run_apart, trained_here, wanted_cluster
from assignbench.commands.meanwhile import Meanwhile
from assignbench.commands.opening import Opened, open_study
from assignbench.commands.pictured import wrong_pictures
from assignbench.commands.precisions import agree, precision_line
from assignbench.commands.processes import Processes, processes_of
from assignbench.commands.profiling import check_profiled, profile_study
from assignbench.commands.reporting import reported
from assignbench.commands.staleness import Staleness, look, set_aside
from assignbench.commands.trainings import Trainings
from assignbench.commands.weights import absent_weights, check_frozen, check_study_weights
from assignbench.config.cluster import OwnCluster
from assignbench.errors import InputError
from assignbench.launch.base import Job, Jobs, Watch
from assignbench.launch.cohorts import in_cohorts, most_apart, most_together
from assignbench.launch.local import LocalProcesses, default_workers
from assignbench.launch.progress import Progress
from assignbench.launch.torchrun import crewed
from assignbench.records import CellRecord, clear_folder, write_json, write_text
from assignbench.records.claim import all_kept
from assignbench.report import build_report
from assignbench.study.grid import Cell
from assignbench.study.reading import Study
from assignbench.study.trainings import counted, trainings_of


def run(options: argparse.Namespace, console: Console) -> int:
    """Trains what is not done and reports; 0 only if every requested cell is done. With `profile` it only measures.

    A cell that another run trains is waited for. Raises InputError, before anything is written, for what must be
    mended, and for a cell that another process trains if it were to be trained afresh.
    """
    if options.profile:
        check_profiled(options)
    opened = open_study(options)
    if opened.untuned:
        raise InputError(opened.untuned)
    if options.profile:
        return profile_study(opened, options.device, console)
    with crewed() as helped:
        if helped:
            return 0
        say = (lambda text: None) if options.quiet else partial(console.print, markup=False)
        with closing(Meanwhile(opened.folder, say)) as page_so_far:
            records = train_all(opened, options, console, watch=page_so_far.watch)
    closing_table(console, opened.cells, records)
    page, failed = reported(console, partial(build_report, opened.folder), quiet=options.quiet)
    console.print(f"report: {page}", markup=False)
    return failed if all(r.state == "done" for r in records.values()) else 1


def train_all(
    opened: Opened,
    options: argparse.Namespace,
    console: Console,
    *,
    watch: Watch = lambda running, ended: None,
    sweep: bool = False,
) -> dict[str, CellRecord]:
    """Trains the cells that are asked for and not done; returns the records of all that are asked for.

    `watch` watches them, as `Jobs.run` has it.

    Those of a `sweep` lie beside the study's run folder and take what `amp: auto` stands for from there.

    Raises InputError as `run` does.
    """
    study, cells = opened.study, opened.cells
    cluster = wanted_cluster(options, study)
    device, line = device_of(options, cluster)
    processes = processes_of(options, cells, device, cluster)
    _check_data(study, cells)
    folders = {cell.id: opened.folder / cell.id for cell in cells}
    records = {name: CellRecord(folder, thorough=True) for name, folder in folders.items()}
    _own_folders(records.values(), fresh=options.fresh)
    inputs = look(opened.folder, opened.everything, options.out, console)
    renewed = [] if options.fresh else inputs.to_renew(cells, accept=options.accept_stale)
    wanted = [r.folder for r in records.values() if options.fresh or r.state != "done" or r.id in renewed]
    try:
        _writable(opened.folder)
        if not sweep:
            agree(opened.folder, study)
        with _terminable():
            if options.fresh:
                with all_kept(wanted):
                    for folder in wanted:
                        clear_folder(folder)
                inputs = inputs.without(c.id for c in cells)
            else:
                inputs = set_aside(inputs, cells, renewed, options.out, console)
            _train(opened, inputs, records, options, console, (device, line), cluster, processes, watch)
    except KeyboardInterrupt as problem:
        for told in problem.args:  # by a launcher whose jobs go on
            console.print(told, markup=False)
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
    cluster: OwnCluster,
    processes: Processes,
    watch: Watch,
) -> None:
    """Trains the cells that are not done."""
    study, cells = opened.study, opened.cells
    waiting = [c for c in cells if records[c.id].state != "done"]
    workers = options.workers or default_workers(device[0], study.spec.schedule.threads, processes.number)
    workers = 1 if processes.meeting else workers
    if not options.quiet:
        kept = len(cells) - len(waiting)
        told = f"{study.spec.study}: {counted(len(cells), len(trainings_of(cells)))}, {kept} done before"
        places = f" · {workers} side by side" if options.launcher == "local" else ""
        each = f" · {processes.number} processes each" if processes.number > 1 else ""
        console.print(f"{told} · {device[1]}{places}{each}")
        if options.launcher != "local":
            console.print(precision_line(options, study, opened.folder), markup=False)
        for record in (records[c.id] for c in waiting):
            if record.state == "damaged":
                console.print(f"damaged, is done again: {record.reason}", markup=False)
    if options.verbose:
        for cell in cells:
            console.print(f"  {records[cell.id].state:8} {records[cell.id].folder}", markup=False)
    if not options.quiet and any(c.config.data.kind == "shapes" for c in waiting):
        console.print("preparing scenes (rendered once, some seconds)")
    _render_scenes(waiting)
    tell = _about(opened, inputs)
    found = Trainings(opened.folder, opened.everything, inputs, options.out, console)
    source = found.shared(waiting, fresh=options.fresh)
    jobs = [
        Job(
            records[c.id].folder,
            c.config,
            c.paths.model_copy(update={"training": source.get(c.id, ""), **processes.local()}),
        )
        for c in waiting
    ]
    ahead = Ahead(opened.folder, default_workers("cpu", 1) if trained_here(options, cluster) else None)
    with Display(console, len(jobs), quiet=options.quiet) as display:
        if options.launcher != "local":
            most = most_apart(options.cohort, device[0], jobs, options.workers) if processes.number == 1 else 1
            together = in_cohorts(jobs, most)
            if len(together) < len(jobs) and not options.quiet:
                console.print(f"{len(jobs)} cells in {len(together)} {'jobs' if len(together) > 1 else 'job'}")
            run_apart(options, device[0], cluster, opened.folder, together, _all(display, ahead.watch, watch), tell)
            ahead.wait()
            tell()
            return
        tell()
        # A GPU's memory holds no more, who says N means N, and processes that wait for each other share no core well.
        sharing = device[0] == "cpu" and not options.workers and processes.number == 1
        most = most_together(options.cohort, device[0], jobs, workers) if processes.number == 1 else 1
        together = in_cohorts(jobs, most)
        Jobs(LocalProcesses(device[0]), workers, sharing=sharing).run(together, _all(display, ahead.watch, watch))
    ahead.wait()
    tell()  # again: a run of other cells of the study may have told of those alone meanwhile


def _all(*watches: Watch) -> Watch:
    """All of them, in this order."""

    def watch(running: list[Progress], ended: int) -> None:
        for one in watches:
            one(running, ended)

    return watch


@contextmanager
def _terminable() -> Iterator[None]:
    """For the time of a block, SIGTERM ends a run as SIGINT does: the cells write their checkpoints first.

    So does the end of its terminal, unless it is to go on then (nohup).
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main one hears signals
        yield
        return
    heard = [n for n in (signal.SIGTERM, signal.SIGHUP) if n == signal.SIGTERM or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        probe.unlink(missing_ok=True)  # another machine may have a process of the same number
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"{folder}: nothing can be written there ({problem.strerror}); name another --out") from None


def _about(opened: Opened, inputs: Staleness) -> Callable[[], None]:
    """What writes into the run folder what the report says about the study, and the file as it is now."""
    content, text = opened.about(inputs.about()), opened.study.path.read_text()

    def write() -> None:
        write_json(opened.folder / "study.json", content)
        write_text(opened.folder / "study.yaml", text)

    return write


def _check_data(study: Study, cells: Sequence[Cell]) -> None:
    """Reads every split and weights file that the cells need, and looks for the pictures that the study names, so that
    no record is written before all of it is sound. What is read goes into the cache of the study, scenes that have
    named pictures too.
    """
    from assignbench.data.catalog import load

    check_frozen(study, cells)
    wrong: list[str] = []
    for config, paths in {c.config.data.name: (c.config, c.paths) for c in cells}.values():
        spec = config.data
        if spec.kind == "shapes" and not config.pictures:
            continue
        cache = Path(paths.cache) if paths.cache else None
        try:
            train, test = (load(spec, split, Path(paths.root), cache) for split in config.splits)
        except InputError as problem:
            # Who has to download data is told at once what else to bring.
            raise InputError("\n".join([str(problem), *absent_weights(study, cells)])) from None
        wrong += wrong_pictures(study, spec, train, test)
    if wrong:
        raise InputError("\n".join(wrong))
    check_study_weights(study, cells)


def _render_scenes(cells: Sequence[Cell]) -> None:
    """Fills the scene cache once, before several cells would each do it."""
    from assignbench.data.catalog import load

    for config, cache in {c.config.data.name: (c.config, c.paths.cache) for c in cells}.values():
        if config.data.kind == "shapes":
            for split in config.splits:
                load(config.data, split, Path(), Path(cache))
