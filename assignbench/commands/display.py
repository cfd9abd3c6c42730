"""How a run shows where its cells stand: bars on a terminal, lines elsewhere, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bars, TaskID, TextColumn

from assignbench.characters import printable
from assignbench.launch.base import Watch
from assignbench.launch.progress import WAITING, Progress
from assignbench.records import CellRecord
from assignbench.study.grid import Cell

LINE_SECONDS = 15.0


class Display:
    """Progress bars on a terminal; otherwise one plain line per interval; nothing when quiet."""

    def __init__(self, console: Console, total: int, *, quiet: bool) -> None:
        self.console, self.total, self.quiet = console, total, quiet
        self.last = time.monotonic()
        self.bars: Bars | None = None
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Watch:
        if self.console.is_terminal and not self.quiet and self.total:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
            )
            self.bars = Bars(*columns, console=self.console, transient=True, refresh_per_second=2)
            self.bars.start()
            self.tasks[""] = self.bars.add_task("cells", total=self.total, note="")
        return self._update

    def __exit__(self, *_: object) -> None:
        if self.bars is not None:
            self.bars.stop()

    def _update(self, running: list[Progress], ended: int) -> None:
        waiting = sum(p.phase == WAITING for p in running)  # maybe hundreds: they are counted
        running = [p for p in running if p.phase != WAITING]
        if self.bars is not None:
            self.bars.update(self.tasks[""], completed=ended, note=f"{waiting} waiting" if waiting else "")
            for name in set(self.tasks) - {p.name for p in running} - {""}:
                self.bars.remove_task(self.tasks.pop(name))
            for p in running:
                if p.name not in self.tasks:
                    self.tasks[p.name] = self.bars.add_task(printable(p.name), total=p.steps or 1, note="")
                self.bars.update(self.tasks[p.name], completed=p.step, total=p.steps or 1, note=printable(_note(p)))
        elif not self.quiet and time.monotonic() - self.last >= LINE_SECONDS:
            self.last = time.monotonic()
            shown = [f"{p.name} {f'step {p.step}/{p.steps} ' if p.steps else ''}{_note(p)}" for p in running]
            shown += [f"{waiting} waiting"] if waiting else []
            told = " | ".join([f"{time.strftime('%H:%M:%S')} {ended}/{self.total} cells", *shown])
            self.console.print(told, markup=False)


def _note(p: Progress) -> str:
    left = "" if p.seconds_left is None else f", {int(p.seconds_left) // 60}:{int(p.seconds_left) % 60:02d} left"
    told = f"{p.phase} {p.images_per_second:.0f} images/s{left}" if p.phase == "training" else p.phase
    return f"{told} ({p.by})" if p.by else told


def closing_table(console: Console, cells: Sequence[Cell], records: Mapping[str, CellRecord]) -> None:
    """One line per cell, never cut: the closing table is what logs keep."""
    rows = [("cell", "state", "AP", "AP50", "AP75", "reason")]
    for cell in cells:
        record = records[cell.id]
        ap, ap50, ap75 = (_per_cent(record.summary.get(m)) for m in ("AP", "AP50", "AP75"))
        rows.append((cell.slug, record.state, ap, ap50, ap75, record.reason))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        left = f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}"
        right = "  ".join(f"{row[i]:>{widths[i]}}" for i in (2, 3, 4))
        console.print(f"{left}  {right}  {row[5]}".rstrip(), markup=False, no_wrap=True, overflow="ignore", crop=False)


def _per_cent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
