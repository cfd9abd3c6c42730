"""Where commands that read records keep the scenes that they render."""

from __future__ import annotations

from pathlib import Path


def scene_cache(cell: Path) -> Path | None:
    """The cache beside the study folders of a cell's run folder, if there is one; None: scenes are rendered anew.

    A cell's own local.json may name any place, and records may be somebody else's: nothing is written where it says.
    """
    cache = cell.resolve().parent.parent / ".cache"
    return cache if cache.is_dir() and not cache.is_symlink() else None
