"""`assignbench run --profile`: says where the time of a training step goes, and trains nothing to its end."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from rich.console import Console

from assignbench.commands.devices import choose_device
from assignbench.commands.opening import Opened
from assignbench.errors import InputError
from assignbench.study.grid import Cell


def check_profiled(options: argparse.Namespace) -> None:
    """Raises InputError for options that mean nothing where a process measures steps of cells, one by one, here."""
    given = {
        f"--launcher {options.launcher}": options.launcher != "local",
        f"--nproc {options.nproc}": options.nproc != 1,
        f"--cohort {options.cohort}": options.cohort != "auto",
        "--fresh": options.fresh,
    }
    idle = [name for name, there in given.items() if there]
    if idle:
        raise InputError(
            f"--profile, {', '.join(idle)}: steps are measured in this process, one cell after the other, and nothing "
            "is kept; leave out one of them"
        )


def profile_study(opened: Opened, device: str, console: Console) -> int:
    """Prints a line for every detector, data set and method of the cells that are asked for; writes nothing.

    Raises InputError for what must be mended before they can be trained.
    """
    import torch

    from assignbench.engine.cell import Splits, build_cell
    from assignbench.engine.profile import GPU_PARTS, PARTS, STEPS, StepProfile, profiled

    chosen, told = choose_device(device)
    splits, found = Splits(), dict[str, StepProfile]()
    for cell in _one_of_each(opened.cells):
        torch.set_num_threads(cell.config.schedule.threads)
        built = build_cell(opened.folder / cell.id, cell.config, cell.paths, chosen, splits)
        found[cell.slug.rpartition("/")[0]] = profiled(built)
    console.print(f"{told} · mean of {STEPS} steps: ms that passed, share of the step", markup=False)
    width = max(len(name) for name in found)
    heads = [*(GPU_PARTS if chosen.startswith("cuda") else PARTS), "whole", "processor", "images/s"]
    console.print(
        " " * width + "".join(f"{head:>14}" for head in heads),
        markup=False,
        no_wrap=True,
        overflow="ignore",
        crop=False,
    )
    for name, step in found.items():
        whole = step.whole
        parts = [f"{1e3 * s.seconds:.1f} {s.seconds / whole.seconds:5.0%}" for s in step.parts.values()]
        ends = [f"{1e3 * whole.seconds:.1f}", f"{1e3 * whole.cpu_seconds:.1f}", f"{step.images / whole.seconds:.1f}"]
        line = name.ljust(width) + "".join(f"{part:>14}" for part in [*parts, *ends])
        console.print(line, markup=False, no_wrap=True, overflow="ignore", crop=False)
    return 0


def _one_of_each(cells: Sequence[Cell]) -> list[Cell]:
    """The cells without those that differ from an earlier one in the seed, or in how a trained network is read."""
    kept: dict[str, Cell] = {}
    for cell in cells:
        what = {name: part for name, part in cell.config.training().items() if name != "seed"}
        kept.setdefault(json.dumps(what, sort_keys=True), cell)
    return list(kept.values())
