"""What a run shows of its cells while they are trained."""

from __future__ import annotations

import io

from rich.console import Console

from assignbench.commands import display
from assignbench.commands.display import Display
from assignbench.launch.progress import WAITING, Progress


def test_cells_that_wait_on_a_cluster_are_counted(monkeypatch) -> None:
    """There may be hundreds, of which nothing else is known."""
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    running = [
        Progress("a", "training", 3, 9, 8.0, 65.0),
        Progress("b", "starting", 0, 0, 0.0, None),
        *(Progress(name, WAITING, 0, 0, 0.0, None) for name in "cd"),
    ]
    plain = Console(file=io.StringIO(), width=200)
    with Display(plain, 5, quiet=False) as watch:
        watch(running, 1)
    told = plain.file.getvalue()  # type: ignore[attr-defined]
    assert told.endswith(" 1/5 cells | a step 3/9 training 8 images/s, 1:05 left | b starting | 2 waiting\n")
    terminal = Display(Console(file=io.StringIO(), force_terminal=True), 5, quiet=False)
    with terminal as watch:
        watch(running, 1)
        assert terminal.bars is not None
        assert [task.description for task in terminal.bars.tasks] == ["cells", "a", "b"]
        assert terminal.bars.tasks[0].fields["note"] == "2 waiting"
