"""Writing a report on behalf of a command: what it could not answer is said, and a page that fails its own check is
kept, told of, and fails the command.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from assignbench.commands.terminal import Tell, with_progress
from assignbench.errors import Contradiction

MOST = 3  # sentences that the terminal gets; the page has all


def reported(console: Console, build: Callable[[Tell, Tell], Path], *, quiet: bool = False) -> tuple[Path, int]:
    """The page that `build(tell, say)` writes, and the exit code: 1 where the page was written but contradicts itself.

    What it says has no verdict is printed, also when it is `quiet`. Raises Contradiction where nothing was written.
    """
    said: list[str] = []
    try:
        page = with_progress(console, lambda tell: build(tell, said.append), quiet=quiet)
        failed = 0
    except Contradiction as problem:
        if problem.page is None:
            raise
        console.print(f"error: {problem}", markup=False)
        page, failed = problem.page, 1
    for sentence in said[:MOST]:
        console.print(f"no verdict: {sentence}", markup=False)
    if len(said) > MOST:
        console.print(f"no verdict: {len(said) - MOST} more, which the report names", markup=False)
    return page, failed
