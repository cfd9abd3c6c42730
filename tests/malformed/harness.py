"""A case of spoilt input, how it is run, and what counts as handled.

A refusal is handled if the exit code is the promised one, the message names what it must name, no traceback and no
control character is shown, nothing is written, and it takes neither 10 s of processor time nor 1 GB of memory. An
unusual input is handled if it is accepted and read with the right numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from unittest import mock

from assignbench.cli import main

SECONDS = 10.0
GIGABYTE = 1 << 30
WAIT = 20.0  # s after which a process that does nothing is taken to wait for ever
Need = str | tuple[str, ...]  # a text that the message must hold; of several, one


@dataclass(frozen=True)
class Told:
    """What a command left: exit code, both streams, and where an exception came from that nobody caught."""

    code: int | None
    out: str
    err: str
    raised: str = ""

    @property
    def text(self) -> str:
        """Everything that was said."""
        return self.out + "\n" + self.err


Check = Callable[[Path, Told], list[str]]


@dataclass(frozen=True)
class Case:
    """One input: `write` makes it in an empty folder and returns the command line that reads it.

    `needs` are texts that the message must hold. `code` are the exit codes allowed. `check` looks at what was read from
    an accepted input. `apart`: run in a process of its own, so that a bomb hurts nobody. `written`: where an accepted
    command may write, below the folder. `instead`: names of what takes many seconds and is not what the case is about,
    with what stands in for it.
    """

    family: str
    name: str
    write: Callable[[Path], Sequence[str]]
    needs: tuple[Need, ...] = ()
    code: tuple[int, ...] = (2,)
    check: Check | None = None
    apart: bool = False
    written: tuple[str, ...] = ()
    instead: tuple[tuple[str, Any], ...] = ()

    @property
    def id(self) -> str:
        """The name of the case in a list of tests."""
        return f"{self.family}: {self.name}"


def judged(case: Case, folder: Path) -> list[str]:
    """What is wrong with how a case is handled; nothing if it is handled."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [str(a) for a in case.write(folder)]
    before = tree(folder)
    with contextlib.ExitStack() as held:
        for name, other in case.instead:
            held.enter_context(mock.patch(name, other))
        told, slow = apart(arguments, folder) if case.apart else inside(arguments, folder)
    found = list(slow)
    if told.raised:
        found.append(f"traceback: {told.raised}")
    elif told.code not in case.code:
        found.append(f"exit code {told.code} instead of {' or '.join(map(str, case.code))}: {short(told.text)}")
    if "Traceback (most recent call last)" in told.text:
        found.append(f"traceback: {told.text.strip().splitlines()[-1][:200]}")
    if not found:
        found += [f"does not say {' or '.join(map(repr, n))}: {short(told.text)}" for n in unsaid(case, told)]
        found += [f"shows a warning of Python's: {short(told.text)}"] if _WARNING.search(told.text) else []
        found += [f"shows control characters: {short(told.text)!r}"] if controls(told.text) else []
        found += case.check(folder, told) if case.check is not None else []
    changed = sorted(p for p in tree(folder).items() ^ before.items())
    changed = [p for p in changed if not any(p[0] == w or p[0].startswith(f"{w}/") for w in case.written)]
    if changed:
        found.append("written: " + ", ".join(dict.fromkeys(p for p, _ in changed))[:200])
    return found


def unsaid(case: Case, told: Told) -> Iterator[tuple[str, ...]]:
    """The needs of a case that the message does not meet."""
    for need in case.needs:
        options = (need,) if isinstance(need, str) else need
        if not any(o in told.text for o in options):
            yield options


def controls(text: str) -> bool:
    """Whether a text holds what a terminal acts on."""
    return any((ord(c) < 32 and c not in "\n\t\r") or 127 <= ord(c) < 160 for c in text)


def short(text: str) -> str:
    """The end of a message on one line."""
    return " / ".join(line.strip() for line in text.strip().splitlines() if line.strip())[-300:]


def tree(folder: Path) -> dict[str, str]:
    """Every path below a folder with what it holds; a link or a pipe by its kind alone."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" in path.parts:
            continue
        if path.is_symlink() or not path.is_file():
            found[name] = "folder" if path.is_dir() else "special"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.stat().st_size < 1 << 22 else "large"
    return found


_WARNING = re.compile(r"\.py:\d+: \w*Warning")


class _TooLong(BaseException):
    pass


def inside(arguments: Sequence[str], folder: Path) -> tuple[Told, list[str]]:
    """Runs a command in this process: importing torch costs seconds, and once is enough."""
    out, err, raised = io.StringIO(), io.StringIO(), ""
    here, modules, before = Path.cwd(), list(sys.path), set(sys.modules)
    code: int | None = None
    os.chdir(folder)
    held = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    found = []
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except _TooLong:
        found.append(f"more than {SECONDS:g} s of processor time")
    except BaseException as problem:
        place = traceback.extract_tb(problem.__traceback__)
        own = [f for f in place if "/assignbench/" in f.filename] or place
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        raised = f"{type(problem).__name__}: {problem!s:.160} ({where})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, held)
        os.chdir(here)
        sys.path[:] = modules
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(folder)):
                del sys.modules[name]
    return Told(code, out.getvalue(), err.getvalue(), raised), found


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def apart(arguments: Sequence[str], folder: Path) -> tuple[Told, list[str]]:
    """Runs a command in a copy of this process, which has its modules loaded, and kills it where it takes too much."""
    files = [folder.parent / f"{folder.name}.{name}" for name in ("out", "err")]
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _child(arguments, folder, files)
    found, status = _watched(child)
    out, err = (f.read_text(errors="replace")[: 1 << 20] if f.is_file() else "" for f in files)
    for file in files:
        file.unlink(missing_ok=True)
    code = os.waitstatus_to_exitcode(status)
    if code < 0 and not found:
        found.append(f"ended by signal {-code}")
    return Told(code, out, err), found


def _child(arguments: Sequence[str], folder: Path, files: Sequence[Path]) -> NoReturn:
    """The copy: runs the command and leaves without a word to the test runner."""
    code = 70
    try:
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.chdir(folder)
        for number, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = (os.fdopen(n, "w") for n in (1, 2))
        code = main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watched(child: int) -> tuple[list[str], int]:
    """Waits for a process: what it took too much of, in words, and how it ended."""
    start, ticks = time.monotonic(), os.sysconf("SC_CLK_TCK")
    first, used, before = _memory(child), 0.0, 0.0
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return [], status
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            used = (int(fields[11]) + int(fields[12])) / ticks
        if time.monotonic() - start < WAIT / 2:
            before = used
        told = []
        if _memory(child) - first > GIGABYTE:
            told = ["more than 1 GB of memory"]
        elif used > SECONDS:
            told = [f"more than {SECONDS:g} s of processor time"]
        elif time.monotonic() - start > WAIT and used - before < 0.05:
            told = ["waits for ever"]
        if told:
            os.kill(child, signal.SIGKILL)
            return told, os.waitpid(child, 0)[1]
        time.sleep(0.02)


def _memory(process: int) -> int:
    """The most memory that a process held, in bytes."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
