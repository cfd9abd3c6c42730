"""When compiled loops take the place of NumPy: where Numba is installed (extra `fast`), and once it pays."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from types import ModuleType

LEAST = 0.04  # seconds; what NumPy does in less is left to it
WORTH = 1.0  # seconds that a loop could have been of use before: about what it takes to load Numba and to compile it
_asked: defaultdict[str, float] = defaultdict(float)


def compiled(loop: str, seconds: float) -> ModuleType | None:
    """`measure.loops`, where NumPy would take about so many `seconds` for what is asked of a loop; else None.

    A process that asks little of a loop never compiles it: it is there from the call on with which NumPy would have
    been at such work for `WORTH`.
    """
    if seconds < LEAST:
        return None
    _asked[loop] += seconds
    return _loops() if _asked[loop] >= WORTH else None


@lru_cache(maxsize=1)
def _loops() -> ModuleType | None:
    """None where Numba is missing or refuses this NumPy."""
    try:
        from assignbench.measure import loops
    except ImportError:
        return None
    return loops
