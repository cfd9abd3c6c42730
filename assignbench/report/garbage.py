"""Looking for garbage less often while a report is made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = (50_000, 20, 100)  # objects, and rounds, after which the young, the older and all are looked through


@contextmanager
def seldom() -> Iterator[None]:
    """Leaves what is there already alone, and looks through what is new a seventieth as often as Python does.

    Figures and tables are many small objects, of which nearly all live as long as their figure: to look through them
    frees little.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*YOUNG)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
