"""Writing a report on behalf of a command: a page that fails its own check is kept, told of, and fails the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from assignbench.commands.terminal import Tell, with_progress
from assignbench.errors import Contradiction


def reported(console: Console, build: Callable[[Tell], Path], *, quiet: bool = False) -> tuple[Path, int]:
    """The page that `build(tell)` writes, and the exit code: 1 where the page was written but contradicts itself.

    Raises Contradiction where nothing was written.
    """
    try:
        return with_progress(console, build, quiet=quiet), 0
    except Contradiction as problem:
        if problem.page is None:
            raise
        console.print(f"error: {problem}", markup=False)
        return problem.page, 1
