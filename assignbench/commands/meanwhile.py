"""The report of a run folder while its cells still train, so that a run of hours or days can be read meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from assignbench.errors import InputError
from assignbench.launch.progress import Progress
from assignbench.starting import command, end

SHARE = 0.05  # of the time, which is left to the cells
GUESSED_SECONDS = 30.0  # of the first report: a run that ends within ten minutes is read when it has ended
GRACE_SECONDS = 10.0


class Meanwhile:
    """Writes the report of the cells that have ended so far, as `Jobs.run` lets cells be watched.

    It is written in a process of its own, which gives way to the cells, whenever others have ended since the last one
    and reports have taken less than `SHARE` of the time. `tell` is told when the first one is there. Nothing depends on
    it: what fails here, the report at the end does again and says.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.tell, self.clock = folder, tell, clock
        self._seen, self._told = 0, False
        self._begun, self._next = 0.0, clock() + GUESSED_SECONDS / SHARE
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, running: Sequence[Progress], ended: int) -> None:
        """Starts a report where it is time for one, and looks for the end of the last one."""
        now = self.clock()
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._next = now + (now - self._begun) / SHARE
            self._tell_once(self._process.returncode)
            self._process = None
        if running and ended > self._seen and now >= self._next:
            self._seen, self._begun = ended, now
            self._process = written_apart(self.folder)

    def close(self) -> None:
        """Ends a report that is being written, whose cells are no longer all."""
        if self._process is not None:
            end(self._process, GRACE_SECONDS)
            self._process = None

    def _tell_once(self, code: int) -> None:
        if code == 0 and not self._told:
            self._told = True
            self.tell(f"report so far, renewed as cells end: {self.folder / 'report' / 'index.html'}")


def written_apart(folder: Path) -> subprocess.Popen[bytes]:
    """The process that writes the report of a run folder as it is now."""
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(  # noqa: S603 (our own interpreter and module)
        command(__name__, [str(folder)]), stdin=quiet, stdout=quiet, stderr=quiet, env=environment
    )


def main(arguments: Sequence[str]) -> int:
    """The process itself: 0 where the report was written. A signal ends it without a half-written folder."""
    from assignbench.report import build_report, prepare_report

    for number in (signal.SIGTERM, signal.SIGHUP):  # also where the terminal of the run is closed
        signal.signal(number, lambda number, frame: sys.exit(1))
    with suppress(OSError, AttributeError):  # not every system has it
        os.nice(10)
    try:
        prepare_report(Path(arguments[0]))  # in this process alone, where the report would take others to help
        build_report(Path(arguments[0]))
    except InputError:
        return 1
    return 0
