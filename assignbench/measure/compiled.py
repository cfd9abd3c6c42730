"""Whether compiled loops take the place of NumPy: where Numba is installed (extra `fast`), and it pays."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

# A loop is compiled for half a second to four, once in a process, which asks for it about ten times per cell.
WORTH = 0.08


def compiled(seconds: float) -> ModuleType | None:
    """`measure.loops`, where NumPy would take about so many `seconds` for what is asked for; else None."""
    return _loops() if seconds >= WORTH else None


@lru_cache(maxsize=1)
def _loops() -> ModuleType | None:
    """None where Numba is missing or refuses this NumPy."""
    try:
        from assignbench.measure import loops
    except ImportError:
        return None
    return loops
