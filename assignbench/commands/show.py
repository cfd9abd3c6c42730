"""`assignbench show`: refuses what it can before torch is loaded, then hands over to `shown`, which draws."""

from __future__ import annotations

import argparse

from rich.console import Console

from assignbench.commands.folders import check_picture, is_folder
from assignbench.records import CellRecord
from assignbench.study.reading import read_study


def show(options: argparse.Namespace, console: Console) -> int:
    """Draws what a finished cell's methods, or a study's untrained ones, make of an image. Raises InputError."""
    check_picture(options.picture)
    trained = is_folder(options.target) and (options.target / "config.json").is_file()
    if trained:
        record = CellRecord(options.target, thorough=True)
        _ = record.trained  # records of another format are refused before anything else is said of them
        record.require_done()
    else:
        read_study(options.target, data=options.data)
    from assignbench.commands.shown import draw

    return draw(options, console, trained)
