"""How a specification becomes the two splits of a cell."""

from __future__ import annotations

from pathlib import Path

import assignbench.data.kinds  # noqa: F401 (every kind registers its reader)
from assignbench.config.data import DataSpec
from assignbench.data.base import DetectionData
from assignbench.data.readers import READERS, Split
from assignbench.errors import InputError, nearest


def load(spec: DataSpec, split: Split, root: Path, cache: Path | None = None) -> DetectionData:
    """One split of a data set. Raises InputError for everything that the user has to mend."""
    if spec.kind not in READERS:
        raise InputError(f"data set '{spec.name}': unknown kind '{spec.kind}'{nearest(spec.kind, list(READERS))}")
    return READERS[spec.kind](spec, split, root, cache)
