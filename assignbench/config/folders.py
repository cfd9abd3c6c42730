"""Where data sets and weights lie on this machine: the data folder, and what a path in a study means."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder that holds all data sets: what ASSIGNBENCH_DATA names, else `assignbench` in the user's cache."""
    named = os.environ.get("ASSIGNBENCH_DATA")
    if named:
        return Path(os.path.normpath(Path(named).expanduser().absolute()))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.path.normpath(cache.absolute() / "assignbench" / "data"))


def located(written: str, study_folder: Path) -> Path:
    """A folder or file that a study names; it may use ~ and environment variables.

    A name without a beginning is looked for in the data folder and then beside the study file; where it is in neither,
    the data folder is where it belongs. `./` means beside the study file alone. Of a path that leads out of the study's
    folder, as older studies have them, the last parts are looked for in the data folder before it counts from there.
    """
    expanded = Path(os.path.expandvars(written)).expanduser()
    if expanded.is_absolute():
        return expanded
    home, beside = data_folder(), Path(os.path.normpath(study_folder / expanded))
    if written.startswith("./") or not expanded.parts:
        return beside
    for place in range(len(expanded.parts)):
        tail = Path(*expanded.parts[place:])
        if ".." not in tail.parts and _is_there(home / tail):
            return home / tail
    return beside if ".." in expanded.parts or _is_there(beside) else home / expanded


def _is_there(path: Path) -> bool:
    """Whether there is a file or folder; not so for what no file can be called, such as a name of 5000 letters."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
