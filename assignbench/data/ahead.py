"""Work that threads do ahead of whom it is for, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Asked = TypeVar("Asked")
Made = TypeVar("Made")


def made_ahead(make: Callable[[Asked], Made], asked: Iterable[Asked], workers: int) -> Iterator[Made]:
    """What is made of each that is asked for, in their order. `workers` threads are at most two each, and one, ahead
    (0: none, and nothing is made before its turn).
    """
    if workers <= 0:
        yield from map(make, asked)
        return
    waiting = iter(asked)
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[Made]] = deque()
        try:
            while True:
                ahead.extend(pool.submit(make, one) for one in islice(waiting, 2 * workers + 1 - len(ahead)))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            for late in ahead:  # whom it is for has gone
                late.cancel()
