"""`assignbench open`: shows the report of a study in the browser, where there is one."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from rich.console import Console

from assignbench.commands.folders import is_folder
from assignbench.commands.opening import run_folder
from assignbench.errors import InputError
from assignbench.study.reading import read_study

PAGE = Path("report", "index.html")


def open_report(options: argparse.Namespace, console: Console) -> int:
    """Prints where the report lies, and opens it where this machine has a browser. Raises InputError without one."""
    page = report_of(options)
    if _has_screen() and _opened(page):
        console.print(f"opened {page}", markup=False)
    else:
        told = f"copy the folder {page.parent} to a machine that has one and open {page.name} there"
        console.print(f"{page}\nno browser here: {told}; it needs its figures, and no network", markup=False)
    return 0


def report_of(options: argparse.Namespace) -> Path:
    """The page of a study's report, or of the run folder itself. Raises InputError where none was written."""
    folder: Path = options.study
    if not is_folder(folder):
        folder = run_folder(options, read_study(options.study, preset=options.preset, data=options.data))
    page = folder / PAGE
    if not page.is_file():
        told = "`assignbench run` writes it at its end, `assignbench report` from what is there"
        raise InputError(f"{page}: no such report; {told}")
    return page.resolve()


def _has_screen() -> bool:
    """Whether a browser could show anything: on Linux only with a display, else one of text would take the terminal."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"))


def _opened(page: Path) -> bool:
    try:
        return webbrowser.open(page.as_uri())
    except (webbrowser.Error, OSError):
        return False
