"""Whatever is printed is text: no markup, no escape sequence, no turned writing direction reaches the terminal."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from assignbench.characters import printable
from assignbench.commands.terminal import Terminal, with_progress
from tests.conftest import ROOT

PIECES = [
    "[red]",
    "[/red]",
    "[/]",
    "[",
    "\\",
    "\x1b[31m",
    "\x1b]0;t\x07",
    "\x9b2J",
    "\r",
    "\b",
    "\x00",
    "\u202e",
    "\u2066",
]
PIECES += ["\ud800", "\u2028", "\u200b", ":smile:", "a", "é", "漢", " ", "%s", "{x}"]
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def names(count: int = 300) -> list[str]:
    rng = np.random.default_rng(3)
    return ["x" + "".join(PIECES[i] for i in rng.integers(0, len(PIECES), 6)) + "x" for _ in range(count)]


def printed(*things: object, **more: object) -> str:
    console = Terminal(file=io.StringIO(), width=4000, markup=True)
    console.print(*things, **more)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_names_are_printed_letter_by_letter() -> None:
    for name in names():
        assert printed(name) == printable(name) + "\n"
        assert printed(f"cell {name}", markup=True, emoji=True) == f"cell {printable(name)}\n"
        assert not STEERING.search(printable(name).replace("\n", ""))


def test_tables_and_bars_print_names_letter_by_letter() -> None:
    for name in names(40):
        table = Table(title=name, box=None)
        table.add_column(name)
        table.add_row(name)
        assert printed(table).count(printable(name)) == 3
        bars = Progress(TextColumn("{task.description}", markup=False))
        bars.add_task(printable(name))
        assert printable(name) in printed(bars.get_renderable())


def test_a_colour_is_still_to_be_had() -> None:
    assert printed(Text("0 orphan", style="red")) == "0 orphan\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_tells_what_is_worked_on(terminal) -> None:
    console = Terminal(file=io.StringIO(), force_terminal=terminal, width=100)

    def build(tell) -> int:
        tell("analysing: [/red]\x1b[2J")
        return 7

    assert with_progress(console, build) == 7
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[2J" not in told and (terminal or told == "writing the report\n")
    assert with_progress(console, build, quiet=True) == 7
    assert console.file.getvalue() == told  # type: ignore[attr-defined]


def test_one_console_for_all_commands() -> None:
    """A second kind of console, or a way back to markup, would be a way round."""
    made = re.compile(r"\bConsole\(|rich\.markup|from_markup|render_markup|[^.\w]print\(")
    found = {p.name for p in (ROOT / "assignbench").rglob("*.py") if made.search(p.read_text())}
    assert found == set()
