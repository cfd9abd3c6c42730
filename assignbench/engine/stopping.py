"""Asked to stop: by a signal, or because the process that launched the cell is gone. Training stops after its step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """The cell stops and can be resumed. No error: nothing that catches errors may swallow it."""


class Wish:
    """Whether somebody wants the cell to stop. `alive` says whether the process that launched it is there.

    The first signal raises Stopped at once, but in a `patient` block, which looks at `wanted` where it can stop; others
    are not heard (a terminal's SIGINT and the launcher's SIGTERM come both).
    """

    def __init__(self, alive: Callable[[], bool] = lambda: True) -> None:
        self.alive = alive
        self._signalled = self._patient = False

    @property
    def wanted(self) -> bool:
        """Whether to stop at the next good place."""
        return self._signalled or not self.alive()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A block that stops by itself when it is `wanted`."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def heed(self) -> None:
        """Raises Stopped if that is the wish."""
        if self.wanted:
            raise Stopped

    def listen(self) -> None:
        """From now on SIGINT and SIGTERM are wishes to stop, and those signals by which clusters announce an end; the
        end of the terminal too, unless it was said (by nohup) that this one does not matter.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._hear)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again, self._signalled = self._signalled, True
        if not again and not self._patient:
            raise Stopped
