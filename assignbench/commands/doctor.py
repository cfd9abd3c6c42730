"""`assignbench doctor`: the environment and, for a study, its data and everything wrong with it."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

from rich.console import Console

import assignbench
from assignbench.commands.devices import choose_device
from assignbench.commands.opening import open_study, read
from assignbench.config.data import DataSpec
from assignbench.errors import InputError


def doctor(options: argparse.Namespace, console: Console) -> int:
    """Prints versions and device; with a study checks parameters and data. Raises InputError if something is wrong."""
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
    sets = {c.config.data.name: (c.config.data, Path(c.paths.root)) for c in opened.everything}
    wrong = sum(_check(spec, root, console) for spec, root in sets.values())
    console.print(f"study: {len(opened.cells)} cells, method and detector parameters are sound")
    if wrong:
        raise InputError(f"{wrong} annotation problem(s); mend them or set data.on_bad: skip")
    return 0


def _check(spec: DataSpec, root: Path, console: Console) -> int:
    """Prints what a data set holds and all its problems; how many of them must be mended."""
    from assignbench.data.catalog import load

    console.print(f"data set {spec.name} ({spec.kind}){'' if spec.kind == 'shapes' else f' in {root}'}", markup=False)
    if spec.kind == "shapes":
        return 0
    wrong = 0
    lenient = spec.model_copy(update={"on_bad": "skip"})
    for split in ("train", "test"):
        found = load(lenient, split, root)
        objects = sum(len(i.labels) for i in found.images)
        empty = sum(len(i.labels) == 0 for i in found.images)
        counts = f"{len(found)} images, {objects} objects, {empty} images without one"
        console.print(f"  {split}: {counts}, {len(found.skipped)} problems")
        for problem in found.skipped:
            console.print(f"    {problem}", markup=False)
        wrong += len(found.skipped) if spec.on_bad == "error" else 0
    return wrong
