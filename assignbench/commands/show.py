"""`assignbench show`: refuses what it can before torch is loaded, then hands over to what draws."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from assignbench.commands.folders import check_picture, is_folder
from assignbench.commands.recorded import RECORDED, draw_recorded
from assignbench.errors import InputError
from assignbench.records import CellRecord
from assignbench.study.reading import read_study
from assignbench.study.recipe import recipe_lines


def show(options: argparse.Namespace, console: Console) -> int:
    """Draws what a finished cell's methods, or a study's untrained ones, make of an image, or what a cell recorded of
    it. Raises InputError.
    """
    options.picture = options.picture or Path(f"{options.what}.png")
    check_picture(options.picture)
    if options.what in RECORDED:
        return _recorded(options, console)
    if options.vs is not None:
        raise InputError(f"--vs goes with {', '.join(RECORDED)}; to compare what two methods assign, --methods A,B")
    trained = is_folder(options.target) and (options.target / "config.json").is_file()
    if trained:
        record = CellRecord(options.target, thorough=True)
        _ = record.trained  # records of another format are refused before anything else is said of them
        record.require_done()
    else:
        for line in recipe_lines(read_study(options.target, data=options.data).spec):
            console.print(line, markup=False)
    from assignbench.commands.shown import draw

    return draw(options, console, trained)


def _recorded(options: argparse.Namespace, console: Console) -> int:
    for name in ("methods", "data"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} goes with assign and anchors; {options.what} shows what a cell recorded")
    if options.what == "detections" and options.object is not None:
        raise InputError("--object goes with the others; detections shows all objects of an image (--image)")
    return draw_recorded(options, console)
