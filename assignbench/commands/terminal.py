"""The terminal: whatever is printed there is text, never markup and never an instruction to the terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

from assignbench.characters import printable
from assignbench.errors import Unread

T = TypeVar("T")
Tell = Callable[[str], None]


class Terminal(Console):
    """A console that takes every string as data: what is printed, and the titles, headings and cells of tables.

    Names come from studies, data sets and records of others. Where a colour is meant, a `Text` says so.
    """

    def render_str(self, text: str, **look: Any) -> Text:
        """The text as it stands; what rich calls for every string that it is given."""
        return super().render_str(printable(text), **{**look, "markup": False, "emoji": False, "highlight": False})

    def on_broken_pipe(self) -> None:
        """Nobody reads on: an error like any other, where rich would leave with the exit code of a failed cell."""
        raise Unread


def terminal(*, stderr: bool = False) -> Terminal:
    """The console of all commands. A character that the terminal's encoding lacks is written out, too."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return Terminal(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, markup=False)


def with_progress(console: Console, build: Callable[[Tell], T], *, quiet: bool = False) -> T:
    """What `build(tell)` gives: what it tells stands in one changing line of a terminal; elsewhere one line says it."""
    if quiet:
        return build(lambda text: None)
    if not console.is_terminal:
        console.print("writing the report")
        return build(lambda text: None)
    with console.status(Text("writing the report")) as line:
        return build(lambda text: line.update(Text(printable(text))))
