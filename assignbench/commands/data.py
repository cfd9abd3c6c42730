"""`assignbench data`: downloads public data sets and weights, and says what is there."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from assignbench.commands import room
from assignbench.config.catalog import CATALOG
from assignbench.config.folders import data_folder
from assignbench.downloads import OFFERS, Offer, get, offers_of
from assignbench.errors import InputError

LINE_SECONDS = 15.0  # between two lines where no bar can be drawn


def data(options: argparse.Namespace, console: Console) -> int:
    """`get NAME...` brings data sets into the data folder; `list` says what can be had and what is there."""
    folder = data_folder()
    if options.what == "list":
        if options.names:
            named = " ".join(options.names)
            told = f"lists all there is and takes no name; to bring it: assignbench data get {named:.200}"
            raise InputError(f"data list {named:.200}: {told}")
        _list(folder, console)
        return 0
    if not options.names:
        raise InputError(f"data get: name what to get: {', '.join(OFFERS)}")
    for offer in dict.fromkeys(offer for name in options.names for offer in _offers(name, folder)):
        _get(offer, folder, console)
    return 0


def _offers(name: str, folder: Path) -> list[Offer]:
    """What a name asks for. Raises InputError where it cannot be downloaded: what to put where instead."""
    try:
        return offers_of(name)
    except InputError:
        known = CATALOG.get(name, {})
        if "root" not in known:
            raise
        told = f"'{name}' cannot be downloaded. {known.get('obtain', '')}"
        raise InputError(f"{told} Where you have it, put it at {folder / known['root']}") from None


def _list(folder: Path, console: Console) -> None:
    console.print(f"data folder: {folder}", markup=False)
    for offer in OFFERS.values():
        state = "missing" if offer.lacks(folder) else "there  "
        size = f"{room.told(offer.size):>6} to download"
        console.print(f"{offer.name:12} {state} {size}, {folder / offer.folder}  [{offer.terms}]", markup=False)


def _get(offer: Offer, folder: Path, console: Console) -> None:
    with _Shown(console) as shown:
        place = get(offer, folder, lambda text: console.print(text, markup=False), shown.update)
    console.print(f"{offer.name}: {place} ({offer.terms})", markup=False)


class _Shown:
    """How far a download is: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last = time.monotonic()
        self.bars: Progress | None = None
        self.task = TaskID(0)

    def __enter__(self) -> _Shown:
        if self.console.is_terminal:
            columns = (TextColumn("downloading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self.bars = Progress(*columns, console=self.console, transient=True, refresh_per_second=2)
            self.task = self.bars.add_task("", total=None)
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars is not None:
            self.bars.stop()

    def update(self, came: int, total: int) -> None:
        """Bytes that are there, and in all (0: not known)."""
        if self.bars is not None:
            self.bars.update(self.task, completed=came, total=total or None)
        elif time.monotonic() - self.last >= LINE_SECONDS:
            self.last = time.monotonic()
            of = f" of {room.told(total)}" if total else ""
            self.console.print(f"{time.strftime('%H:%M:%S')} {room.told(came)}{of}", markup=False)
