"""`assignbench doctor`: the environment and, for a study, everything that can be checked before it is trained."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

from rich.console import Console

import assignbench
from assignbench.commands import room
from assignbench.commands.devices import choose_device
from assignbench.commands.opening import Opened, open_study, read
from assignbench.commands.pictured import wrong_pictures
from assignbench.commands.weights import check_frozen, check_study_weights
from assignbench.config.cell import CellConfig
from assignbench.config.data import Split
from assignbench.data.base import DetectionData
from assignbench.errors import InputError
from assignbench.study.baselines import pair_lines
from assignbench.study.checks import scheduled_at
from assignbench.study.printed import printed_content, printed_rows
from assignbench.study.trainings import counted, trainings_of


def doctor(options: argparse.Namespace, console: Console) -> int:
    """Prints versions and device; with a study checks all of it. Raises InputError at the end if something is wrong."""
    if options.study is not None:
        read(options)  # what the file alone shows to be wrong is said before torch is loaded
    import torch
    import torchvision

    _, line = choose_device("auto")
    console.print(f"assignbench {assignbench.__version__} · python {platform.python_version()}")
    console.print(f"torch {torch.__version__} · torchvision {torchvision.__version__} · {line}")
    if options.study is None:
        return 0
    opened = open_study(options)
    cells = counted(len(opened.cells), len(trainings_of(opened.cells)))
    console.print(f"study: {cells}, method and detector parameters are sound")
    for told in pair_lines(opened.study, opened.methods, opened.baselines):
        console.print(f"  {told}")
    if opened.trials:
        told = f"sweep: {len(opened.trials)} settings for each method, sound"
        console.print(f"{told}; {opened.untuned or 'chosen'}", markup=False)
    _questions(opened, console)
    wrong: list[str] = []
    test_images = {}
    for config, root in {c.config.data.name: (c.config, Path(c.paths.root)) for c in opened.everything}.values():
        splits = _data(config, root, console, wrong, also=("val",) if opened.trials else ())
        train, test = (splits.get(split) for split in config.splits)
        test_images[config.data.name] = len(test) if test else 0
        if train:
            wrong += _unreached(opened, config.data.name, len(train))
        if train and test:
            wrong += wrong_pictures(opened.study, config.data, train, test)
    _weights(opened, console, wrong)
    _room(opened, options.out, test_images, console, wrong)
    if wrong:
        raise InputError("\n".join(wrong))
    return 0


def _questions(opened: Opened, console: Console) -> None:
    """Claims and printed rows; both were checked for known names when the study was opened."""
    spec = opened.study.spec
    console.print(f"claims: {len(spec.claims)}{', all about methods of the study' if spec.claims else ''}")
    printed = printed_rows(spec)
    if spec.published:
        console.print(f"published numbers: {spec.published}", markup=False)
    for name, content in printed_content(opened.study).items():
        own = [row for row in content["rows"] if row["origin"] == "own"]
        told = f"{content['title']} ({name}): {len(printed[name])} of {len(own)} rows of its authors are cells"
        console.print(f"printed rows of {told}", markup=False)
        reasons = (r for row in own if row["cells"] for r in row["incomparable"].values() if r)
        for reason in dict.fromkeys(reasons):
            console.print(f"  not subtracted from ours: {reason}", markup=False)


def _data(
    config: CellConfig, root: Path, console: Console, wrong: list[str], also: tuple[Split, ...] = ()
) -> dict[str, DetectionData]:
    """Prints what a data set holds and all its problems, and adds what must be mended; returns each sound split.

    Looked at are the splits that files name, and those that cells read: the study's own and `also`.
    """
    from assignbench.data.base import grouped
    from assignbench.data.catalog import load
    from assignbench.data.overlap import overlap_notes
    from assignbench.data.profile import profile
    from assignbench.records.files import digest_of

    spec, used = config.data, (*config.splits, *also)
    console.print(f"data set {spec.name} ({spec.kind}){'' if spec.kind == 'shapes' else f' in {root}'}")
    lenient = spec if spec.kind == "shapes" else spec.model_copy(update={"on_bad": "skip"})
    splits: dict[str, DetectionData] = {}
    named: list[Split] = [split for split in ("train", "val", "test") if spec.pairs(split) or split in used]
    for split in named:
        try:
            found = splits[split] = load(lenient, split, root)
        except InputError as problem:
            wrong.append(f"data set '{spec.name}', {split}: {problem}")
            continue
        about, *more = profile(found, spec.size).lines()
        console.print(f"  {split}: {about}, {len(found.skipped)} problems")
        if not found.annotated:
            console.print("    no annotations: not measurable here, detections can be exported")
        for line in (*grouped(found.skipped), *(f"warning: {note}" for note in found.notes)):
            console.print(f"    {line}", markup=False)
        if found.skipped and spec.on_bad == "error":
            told = f"{len(found.skipped)} annotation problem(s); mend them or set data.on_bad: skip"
            wrong.append(f"data set '{spec.name}', {split}: {told}")
        for line in more:
            console.print(f"    {line}")
    for other in [s for s in splits if s != "train" and "train" in splits]:
        for line in overlap_notes(splits["train"], splits[other], digest_of, other):
            console.print(f"  {line}")
    return splits


def _unreached(opened: Opened, data: str, images: int) -> list[str]:
    """What the schedules and methods of the cells on a data set of so many images name, and training never comes to."""
    study, wrong = opened.study, dict[str, None]()
    for config in (cell.config for cell in opened.everything if cell.config.data.name == data):
        schedule, method = config.schedule, config.method
        place = [m.name for m in study.spec.methods].index(method.name)
        name, _, late = schedule.unreached(schedule.epoch_steps(images)).partition(": ")
        if late:
            entry = next(d for d in study.spec.data if d.name == data)
            detector = next(d for d in study.spec.detectors if d.shown == config.detector.label)
            where = scheduled_at(study, entry, detector, name, study.spec.methods[place])
            wrong[f"{where}: on data set '{data}': {late}"] = None
        late = method.unreached(schedule.total_epochs(images))
        if late:
            wrong[f"{study.where('methods', place)}: on data set '{data}': {late}"] = None
    return list(wrong)


def _weights(opened: Opened, console: Console, wrong: list[str]) -> None:
    """Loads every weights file and compares it with the network that is to start from it."""
    try:
        check_frozen(opened.study, opened.everything)
        count = check_study_weights(opened.study, opened.everything)
    except InputError as problem:
        wrong.append(str(problem))
    else:
        console.print(f"weights: {count} detectors start from a file that fits" if count else "weights: none named")


def _room(opened: Opened, out: Path, test_images: dict[str, int], console: Console, wrong: list[str]) -> None:
    """Compares the room that the unfinished cells need with what is free."""
    need = room.needed(opened.cells, opened.folder, test_images, room.parameters(opened.cells))
    free = room.free(out)
    console.print(f"disk: about {room.told(need)} for the records of what is not done, {room.told(free)} free at {out}")
    if need > free:
        wrong.append(room.lacking(need, free, out))
