"""What the tests of faults do in processes of their own: train a cell, run a study, write a report, and die of it.

The processes are forks of one server that has everything imported, so that a kill costs no start of torch.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import io
import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from assignbench import cli
from assignbench.commands import run as run_command
from assignbench.engine import run as engine
from assignbench.launch import base
from assignbench.launch.base import Job
from assignbench.report import build_report, page
from tests.forked import CONTEXT

MINUTES = 10


def start(victim: Callable[..., int], *arguments: Any, **options: Any) -> BaseProcess:
    """A process that does what `victim` does and exits with what it returns."""
    process = CONTEXT.Process(target=_exit_with, args=(victim, arguments, options))
    process.start()
    return process


def ended(process: BaseProcess) -> int:
    """The exit code of a process, waited for."""
    process.join(60 * MINUTES)
    assert process.exitcode is not None, "the process hangs"
    return process.exitcode


def done(victim: Callable[..., int], *arguments: Any, **options: Any) -> int:
    """The exit code of `victim` in a process of its own."""
    return ended(start(victim, *arguments, **options))


def _exit_with(victim: Callable[..., int], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    os._exit(victim(*arguments, **options))


@dataclass
class Death:
    """SIGKILL at the `at`-th moment at which something is written or removed, or at the first one called `name`.

    `diary` gets the name of every moment: the file that is written, and "without" before one that is removed. `after`:
    when the file is in its place; else when it is half written beside it, or half a line is appended. How many moments
    there are depends on the time, since a status is written once a second.
    """

    diary: Path
    at: int = 0
    name: str = ""
    after: bool = False
    count: int = 0

    def watch(self) -> None:
        """From now on."""
        replace, unlink, fsync = Path.replace, Path.unlink, os.fsync

        def replaced(path: Path, target: Any) -> Path:
            self._moment(str(target), lambda: os.truncate(path, path.stat().st_size // 2))
            return replace(path, target)

        def unlinked(path: Path, missing_ok: bool = False) -> None:
            if path.exists():
                self._moment(f"without {path}", lambda: None)
            unlink(path, missing_ok)

        def synced(handle: int) -> None:
            name = str(Path(f"/proc/self/fd/{handle}").readlink())
            self._moment(name, lambda: os.truncate(name, Path(name).stat().st_size - 5))
            fsync(handle)

        Path.replace, Path.unlink, os.fsync = replaced, unlinked, synced  # type: ignore[method-assign,assignment]

    def _moment(self, name: str, spoil: Callable[[], None]) -> None:
        with self.diary.open("a") as file:
            file.write(name + "\n")
        self.count += 1
        if self.count == self.at or (self.name and name.endswith("/" + self.name) and not name.startswith("without")):
            if not self.after:
                spoil()
            os.kill(os.getpid(), signal.SIGKILL)


def train(
    folder: Path, death: Death | None = None, *, file_bytes: int = 0, user: int = 0, clock_back: float = 0.0
) -> int:
    """A cell's own process, as a launcher starts it: with a limit on file sizes, another user, a clock set back."""
    if death is not None:
        death.watch()
    if file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    if user:
        os.setuid(user)
    if clock_back:
        set_back(clock_back)
    with contextlib.redirect_stderr(io.StringIO()):
        return engine.main([str(folder), "cpu", str(os.getppid())])


def set_back(seconds: float) -> None:
    """The clock on the wall jumps back after it was asked a few times."""
    real, asked = time.time, iter(range(10**9))
    time.time = lambda: real() - (seconds if next(asked) > 12 else 0.0)  # type: ignore[assignment]


class Forks:
    """A launcher whose cells are forks of this process: torch need not be started anew."""

    def __init__(self, device: str) -> None:
        self.device = device

    def submit(self, job: Job) -> int:
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            with (job.folder.parent / "trained.txt").open("a") as file:
                file.writelines(f"{folder.name}\n" for folder in job.folders)
            os._exit(engine.main([*map(str, job.folders), self.device, str(parent)]))
        return child

    def poll(self, handle: int) -> int | None:
        found, status = os.waitpid(handle, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None

    def ask(self, handle: int) -> None:
        os.kill(handle, signal.SIGTERM)

    def cancel(self, handle: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(handle, 0)[1])


def command(arguments: list[str], output: Path, *, file_bytes: int = 0, user: int = 0, report: str = "") -> int:
    """`assignbench ARGUMENTS`, its cells as forks; what it prints goes to a file.

    The report is left out by default, `report` "whole" or in "words" alone: figures take most of its time.
    """
    run_command.LocalProcesses = Forks  # type: ignore[misc,assignment]
    base.POLL_SECONDS = 0.02
    if report:
        tell_pages(output, report)
    else:
        run_command.build_report = lambda folder, tell=None, say=None: folder / "report"  # type: ignore[assignment]
    with output.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        if user:
            codecs.lookup("utf-8-sig")  # another user may not read the folder that Python loads it from
            os.setuid(user)
        if file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        return cli.main(arguments)


def tell_pages(output: Path, report: str) -> None:
    """From now on a report leaves the digest of its pages beside `output`, before another one can take its place."""
    real = page.write_report

    def written(study: Any, out: Path, *given: Any, **more: Any) -> Any:
        made = real(study, out, *given, **more)
        pages = (out / "report.md").read_bytes() + (out / "index.html").read_bytes()
        output.with_suffix(".pages").write_text(hashlib.sha256(pages).hexdigest())
        return made

    page.write_report = written
    if report == "words":
        page.Target.drawn = lambda self, key, draw: []  # type: ignore[method-assign]


def write_report(folder: Path, death: Death | None = None, *, output: Path | None = None, report: str = "whole") -> int:
    """The report of a run folder."""
    if death is not None:
        death.watch()
    if output is not None:
        tell_pages(output, report)
    build_report(folder)
    return 0
