"""Why a cell failed, for people: what happened, where in whose file, and the way out."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

import torch

from assignbench.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
AGAIN = "then give the command again: the cell goes on from its last checkpoint"
_SPACE = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file got too large"}
_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)
_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_cpu")


def reason_of(problem: BaseException) -> str:
    """One paragraph: file and line, the error, its cause and what to do."""
    if isinstance(problem, InputError):
        return str(problem)
    told = f"{place_of(problem)}: {type(problem).__name__}: {str(problem) or 'no message'}"
    return f"{told}; {remedy_of(problem)}"


def remedy_of(problem: BaseException) -> str:
    """What to do about an error."""
    if isinstance(problem, OSError):
        if problem.errno in _SPACE:
            return f"{_SPACE[problem.errno]}: make room, {AGAIN}"
        if problem.errno in _ACCESS:
            return f"the folder cannot be written to: give yourself the right to, {AGAIN}"
    text = str(problem).lower()
    if isinstance(problem, MemoryError | torch.OutOfMemoryError) or any(m in text for m in _MEMORY):
        return (
            "memory is used up: run fewer cells side by side (--workers 1), or take a smaller schedule.batch_size or "
            f"data.size, {AGAIN}"
        )
    if _owner(problem) is not None:
        return f"mend that line, {AGAIN}"
    return f"error.txt beside status.json has the traceback; mend the cause, {AGAIN}"


def place_of(problem: BaseException) -> str:
    """file:line and function: of the user's own code if it was reached, else of AssignBench's."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = _owner(problem)
    ours = [f for f in frames if Path(f.filename).is_relative_to(PACKAGE)]
    found = [own] if own is not None else ours or list(frames)
    return f"{found[-1].filename}:{found[-1].lineno} (in {found[-1].name})" if found else "AssignBench"


def _owner(problem: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame of code that belongs neither to AssignBench nor to an installed package nor to Python."""
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        path = Path(frame.filename)
        installed = {"site-packages", "dist-packages"} & set(path.parts) or frame.filename.startswith("<")
        library = path.is_relative_to(Path(traceback.__file__).parent)
        if path.is_relative_to(PACKAGE) or installed or library:
            continue
        return frame
    return None
