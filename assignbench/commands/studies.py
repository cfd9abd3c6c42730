"""What the commands do; the command line above only parses."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bars, TaskID, TextColumn

import assignbench
from assignbench.analysis import ANALYSES, ORDER, chosen
from assignbench.analysis.claims import parse
from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.detectors import DETECTORS
from assignbench.errors import InputError
from assignbench.launch.local import Job, Progress, choose_device, default_workers, run_jobs
from assignbench.methods import PRESETS
from assignbench.records import CellRecord, write_json, write_text
from assignbench.report import build_report, publish_report
from assignbench.study.grid import Cell, cells_of
from assignbench.study.published import PUBLISHED
from assignbench.study.spec import Study, read_study, study_folders
from assignbench.study.yaml_lines import read as read_yaml

LINE_SECONDS = 15.0


def _study(options: argparse.Namespace) -> Study:
    return read_study(options.study, sets=options.sets, preset=options.preset, data=options.data, seeds=options.seeds)


def _check_questions(study: Study) -> None:
    """Claims and analyses must be understood before hours of training, not after. Raises InputError."""
    chosen(study.spec.analyses, ORDER)
    for number, claim in enumerate(study.spec.claims):
        try:
            parse(claim.claim, [m.name for m in study.spec.methods])
        except InputError as problem:
            raise InputError(f"{study.path}: claims.{number}: {problem}") from None


def _folder(options: argparse.Namespace, study: Study) -> Path:
    """runs/<study>, with the variant's name behind it, so that a rehearsal never mixes with the real thing."""
    parts = [study.spec.study, *(p for p in (options.preset, options.data) if p)]
    out: Path = options.out
    return out / "-".join(parts)


def _cells(options: argparse.Namespace, study: Study) -> list[Cell]:
    cache = (options.out / ".cache").resolve()
    return cells_of(study, only=options.only, cache=cache)


def run(options: argparse.Namespace, console: Console) -> int:
    """Trains what is not done and reports; 0 only if every requested cell is done."""
    study = _study(options)
    cells = _cells(options, study)
    _check_questions(study)
    folder = _folder(options, study)
    device, line = choose_device(options.device)
    _check_data(study, cells)
    threads = study.spec.schedule.threads
    workers = options.workers or default_workers(device, threads)
    if options.fresh:
        for cell in cells:
            shutil.rmtree(folder / cell.id, ignore_errors=True)
    records = {cell.id: CellRecord(folder / cell.id) for cell in cells}
    waiting = [c for c in cells if records[c.id].state != "done"]
    if not options.quiet:
        kept = len(cells) - len(waiting)
        console.print(f"{study.spec.study}: {len(cells)} cells, {kept} done before · {line} · {workers} side by side")
    if options.verbose:
        for cell in cells:
            console.print(f"  {records[cell.id].state:8} {records[cell.id].folder}", markup=False)
    if not options.quiet and any(c.config["data"]["kind"] == "shapes" for c in waiting):
        console.print("preparing scenes (rendered once, some seconds)")
    _render_scenes(waiting)
    _write_about(options, study, folder)
    jobs = [Job(c.slug, records[c.id].folder, c.config, c.local) for c in waiting]
    with _Display(console, len(jobs), quiet=options.quiet) as display:
        run_jobs(jobs, device, workers, display)
    page = build_report(folder)
    _closing(console, cells, records)
    console.print(f"report: {page}", markup=False)
    return 0 if all(r.state == "done" for r in records.values()) else 1


def _check_data(study: Study, cells: list[Cell]) -> None:
    """Reads every split and weights file that the cells need, so that nothing is written before all of it is sound."""
    seen = set()
    for cell in cells:
        spec = DataSpec.model_validate(cell.config["data"])
        if spec.kind == "shapes" or spec.name in seen:
            continue
        seen.add(spec.name)
        for split in ("train", "test"):
            data = load(spec, split, Path(cell.local["root"]))
            if not len(data):
                raise InputError(f"data set '{spec.name}': no usable image in {data.split}")
    for cell in cells:
        weights = cell.local["weights"]
        if weights and not Path(weights).is_file():
            raise InputError(
                f"{study.path}: detector '{cell.detector}': no weights file {weights}\n"
                "Put it there (for ResNets torchvision's ImageNet .pth file), or name another under `weights`."
            )


def _render_scenes(cells: list[Cell]) -> None:
    """Fills the scene cache once, before several cells would each do it."""
    for spec, cache in {(c.config["data"]["name"]): (c.config["data"], c.local["cache"]) for c in cells}.values():
        parsed = DataSpec.model_validate(spec)
        if parsed.kind == "shapes":
            for split in ("train", "test"):
                load(parsed, split, Path(), Path(cache))


def _write_about(options: argparse.Namespace, study: Study, folder: Path) -> None:
    """study.json: what the report says about the study; all its cells, also those that --only left out."""
    spec = study.spec
    everything = cells_of(study, cache=None)
    published = PUBLISHED.get(spec.published)
    content = {
        "study": spec.study,
        "title": spec.title or spec.study,
        "answers": spec.answers,
        "expect": spec.expect,
        "cost": spec.cost,
        "version": assignbench.__version__,
        "cells": [c.id for c in everything],
        "analyses": spec.analyses,
        "claims": [c.model_dump() for c in spec.claims],
        "areas": {k: list(v) for k, v in spec.areas.items()},
        "max_dets": spec.max_dets,
        "published": None
        if published is None
        else {
            "source": published.source,
            "setting": published.setting,
            "metric_names": published.metric_names,
            "rows": _by_detector(published.rows),
        },
    }
    write_json(folder / "study.json", content)
    write_text(folder / "study.yaml", study.path.read_text())


def _by_detector(rows: dict[tuple[str, str], dict[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (detector, method), values in rows.items():
        found.setdefault(detector, {})[method] = values
    return found


class _Display:
    """Progress bars on a terminal; otherwise one plain line per interval; nothing when quiet."""

    def __init__(self, console: Console, total: int, *, quiet: bool) -> None:
        self.console, self.total, self.quiet = console, total, quiet
        self.last = time.monotonic()
        self.bars: Bars | None = None
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Callable[[list[Progress], int], None]:
        if self.console.is_terminal and not self.quiet and self.total:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self.bars = Bars(*columns, console=self.console, transient=True)
            self.bars.start()
            self.tasks[""] = self.bars.add_task("cells", total=self.total, note="")
        return self._update

    def __exit__(self, *_: object) -> None:
        if self.bars is not None:
            self.bars.stop()

    def _update(self, running: list[Progress], ended: int) -> None:
        if self.bars is not None:
            self.bars.update(self.tasks[""], completed=ended)
            for name in set(self.tasks) - {p.name for p in running} - {""}:
                self.bars.remove_task(self.tasks.pop(name))
            for p in running:
                if p.name not in self.tasks:
                    self.tasks[p.name] = self.bars.add_task(escape(p.name), total=p.steps or 1, note="")
                self.bars.update(self.tasks[p.name], completed=p.step, total=p.steps or 1, note=_note(p))
        elif not self.quiet and time.monotonic() - self.last >= LINE_SECONDS:
            self.last = time.monotonic()
            shown = " | ".join(f"{p.name} step {p.step}/{p.steps} {_note(p)}" for p in running)
            self.console.print(f"{time.strftime('%H:%M:%S')} {ended}/{self.total} cells | {shown}", markup=False)


def _note(p: Progress) -> str:
    left = "" if p.seconds_left is None else f", {int(p.seconds_left) // 60}:{int(p.seconds_left) % 60:02d} left"
    return f"{p.phase} {p.images_per_second:.0f} images/s{left}" if p.phase == "training" else p.phase


def _closing(console: Console, cells: list[Cell], records: dict[str, CellRecord]) -> None:
    """One line per cell, never cut: the closing table is what logs keep."""
    rows = [("cell", "state", "AP", "AP50", "AP75", "reason")]
    for cell in cells:
        record = records[cell.id]
        numbers = (record.summary.get(m) for m in ("AP", "AP50", "AP75"))
        shown = ("–" if v is None else f"{100 * v:.1f}" for v in numbers)
        rows.append((cell.slug, record.state, *shown, str(record.status.get("reason", ""))))  # type: ignore[arg-type]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        left = f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}"
        right = "  ".join(f"{row[i]:>{widths[i]}}" for i in (2, 3, 4))
        console.print(f"{left}  {right}  {row[5]}".rstrip(), markup=False, no_wrap=True, overflow="ignore", crop=False)


def plan(options: argparse.Namespace, console: Console) -> int:
    """Cells, ids, states and the cost that is left; runs nothing and writes nothing."""
    study = _study(options)
    cells = _cells(options, study)
    folder = _folder(options, study)
    speeds = _known_speeds(options.out)
    console.print(
        f"{study.spec.study}: {study.spec.title}\nanswers: {study.spec.answers}\ncost: {study.spec.cost}", markup=False
    )
    left, unknown = 0.0, False
    for cell in cells:
        record = CellRecord(folder / cell.id)
        state = record.state
        note = ""
        if state != "done":
            images = _images(cell)
            speed = speeds.get((cell.config["detector"]["name"], cell.config["data"]["image_size"]))
            if speed and images:
                left += images / speed
                note = f"about {images / speed / 60:.1f} min at {speed:.0f} images/s"
            else:
                unknown = True
        console.print(f"{state:8} {cell.id} {note}", markup=False)
    told = (
        f"left: about {left / 60:.0f} minutes of training, one cell at a time" if left else "left: nothing measured yet"
    )
    if not left and not unknown:
        told = "left: nothing"
    console.print(told + (" (some speeds are not known before a first cell has run)" if unknown else ""))
    return 0


def _images(cell: Cell) -> int | None:
    """Images that training a cell draws, where the study's file alone says it."""
    schedule = cell.config["schedule"]
    if schedule["steps"]:
        return int(schedule["steps"]) * int(schedule["batch_size"])
    if cell.config["data"]["kind"] == "shapes":
        return round(float(schedule["epochs"]) * int(cell.config["data"]["train_images"]))
    return None


def _known_speeds(out: Path) -> dict[tuple[str, int], float]:
    """images/s of finished cells below a run folder, by detector and image size."""
    speeds = {}
    for path in out.glob("*/*/summary.json"):
        record = CellRecord(path.parent)
        speed = record.summary.get("images_per_second")
        if speed:
            config = record.config
            speeds[config["detector"]["name"], config["data"]["image_size"]] = float(speed)
    return speeds


def status(options: argparse.Namespace, console: Console) -> int:
    """Where the cells stand."""
    study = _study(options)
    folder = _folder(options, study)
    cells = _cells(options, study)
    for cell in cells:
        s = CellRecord(folder / cell.id).status
        steps = f"{s.get('step', 0)}/{s['steps']}" if s.get("steps") else ""
        console.print(f"{s['state']:8} {steps:>12} {cell.id} {s.get('reason', '')}", markup=False)
    return 0


def report(options: argparse.Namespace, console: Console) -> int:
    """Writes the report again from what is on disk."""
    study = _study(options)
    folder = _folder(options, study)
    if not any(folder.glob("*/config.json")):
        raise InputError(f"no cells in {folder}; run `assignbench run {options.study}` first")
    _write_about(options, study, folder)
    made = publish_report(folder, options.publish) if options.publish else build_report(folder)
    console.print(f"report: {made}", markup=False)
    return 0


def listing(options: argparse.Namespace, console: Console) -> int:
    """Names and one line about each."""
    rows: list[tuple[str, str]] = []
    if options.what == "detectors":
        rows = [(n, _first_line(DETECTORS.factory(n).__doc__)) for n in DETECTORS]
    elif options.what == "methods":
        rows = [(m.name, m.about) for m in PRESETS.values()]
    elif options.what == "datasets":
        rows = [
            (n, f"{c['title']} [{c['kind']}{', root ' + c['root'] if c.get('root') else ''}]")
            for n, c in CATALOG.items()
        ]
    elif options.what == "analyses":
        rows = [(a.name, a.question) for a in ANALYSES.values()]
    else:
        found = {p.stem: p for folder in reversed(study_folders()) for p in sorted(folder.glob("*.yaml"))}
        rows = [(str(p), str(read_yaml(p)[0].get("answers", ""))) for p in found.values()]
    width = max((len(n) for n, _ in rows), default=0)
    for name, text in rows:
        console.print(f"{name:{width}}  {text}", markup=False)
    return 0


def doctor(options: argparse.Namespace, console: Console) -> int:
    """The environment; with a study, where its data lies and everything wrong with it. 2 if something is wrong."""
    import platform

    import torch
    import torchvision

    _, line = choose_device("auto")
    console.print(f"assignbench {assignbench.__version__} · python {platform.python_version()}")
    console.print(f"torch {torch.__version__} · torchvision {torchvision.__version__} · {line}")
    if options.study is None:
        return 0
    study = _study(options)
    wrong = 0
    for data in study.spec.data:
        root = data.where(study.path.resolve().parent)
        console.print(
            f"data set {data.name} ({data.kind}){'' if data.kind == 'shapes' else f' in {root}'}", markup=False
        )
        if data.kind == "shapes":
            continue
        lenient = data.model_copy(update={"on_bad": "skip"})
        for split in ("train", "test"):
            found = load(lenient, split, root)
            objects = sum(len(i.labels) for i in found.images)
            empty = sum(len(i.labels) == 0 for i in found.images)
            counts = f"{len(found)} images, {objects} objects, {empty} images without one"
            console.print(f"  {split}: {counts}, {len(found.skipped)} problems")
            for problem in found.skipped:
                console.print(f"    {problem}", markup=False)
            wrong += len(found.skipped) if data.on_bad == "error" else 0
    cells = _cells(options, study)
    console.print(f"study: {len(cells)} cells, method and detector parameters are sound")
    if wrong:
        raise InputError(f"{wrong} annotation problem(s); mend them or set data.on_bad: skip")
    return 0


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""
