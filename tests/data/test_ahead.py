"""Work that is done ahead: in order, whatever the number of threads, and no further ahead than it may be."""

from __future__ import annotations

import threading
import time

import pytest

from assignbench.data.ahead import made_ahead


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_what_is_made_comes_in_order(workers, count) -> None:
    def make(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(made_ahead(make, range(count), workers)) == [n * n for n in range(count)]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_it_goes_no_further_than_it_may(workers) -> None:
    begun: list[int] = []
    made = made_ahead(lambda n: begun.append(n) or n, range(100), workers)
    for taken in range(1, 6):
        assert next(made) == taken - 1
        time.sleep(0.02)
        assert len(begun) <= taken + 2 * workers
    made.close()
    assert len(begun) <= 5 + 2 * workers


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    begun, gate = [], threading.Event()

    def make(number: int) -> int:
        begun.append(number)
        return number if number == 0 else gate.wait(10) or number

    made = made_ahead(make, range(10), 2)
    assert next(made) == 0
    threading.Timer(0.05, gate.set).start()
    made.close()
    assert len(begun) <= 4  # of the five that were asked for


def test_an_error_comes_in_its_place() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    made = made_ahead(make, range(5), 3)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(made)
