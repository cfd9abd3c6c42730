"""By which signals a cell and a run hear that they are to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from assignbench.commands.run import _terminable
from assignbench.engine.stopping import Stopped, Wish

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The handlers of this process come back afterwards, and the end of a terminal ends it now."""
    before = {number: signal.getsignal(number) for number in HEARD}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", HEARD)
def test_a_cell_hears_signals(handlers, number) -> None:
    wish = Wish()
    wish.listen()
    with pytest.raises(Stopped):
        os.kill(os.getpid(), number)
    assert wish.wanted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_hears_signals(handlers, number) -> None:
    with pytest.raises(KeyboardInterrupt), _terminable():
        os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_under_nohup_the_end_of_the_terminal_is_none(handlers) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    wish = Wish()
    with _terminable():
        os.kill(os.getpid(), signal.SIGHUP)
    wish.listen()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not wish.wanted and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
