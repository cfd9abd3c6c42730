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
_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_cpu", "status_alloc_failed")
_AT_TEST = [PACKAGE / "engine" / name for name in ("evaluate.py", "detect.py", "cost.py")]
_NO_KERNEL = "does not have a deterministic implementation"
_COMPILING = ("torch._inductor", "torch._dynamo")


def reason_of(problem: BaseException) -> str:
    """One paragraph: file and line, the error, its cause and what to do."""
    if isinstance(problem, InputError):
        return str(problem)
    told = f"{place_of(problem)}: {type(problem).__name__}: {str(problem) or 'no message'}"
    return f"{told}; {remedy_of(problem)}"


def remedy_of(problem: BaseException) -> str:
    """What to do about an error."""
    for rule in (_for_files, _for_memory, _for_kernels):
        remedy = rule(problem)
        if remedy:
            return remedy
    if _owner(problem) is not None:
        return f"mend that line, {AGAIN}"
    return f"error.txt beside status.json has the traceback; mend the cause, {AGAIN}"


def _for_files(problem: BaseException) -> str:
    if not isinstance(problem, OSError):
        return ""
    if problem.errno in _SPACE:
        return f"{_SPACE[problem.errno]}: make room, {AGAIN}"
    if problem.errno in _ACCESS:
        return f"the folder cannot be written to: give yourself the right to, {AGAIN}"
    return ""


def is_memory(problem: BaseException) -> bool:
    """Whether the memory of the host or of the GPU was used up."""
    text = str(problem).lower()
    return isinstance(problem, MemoryError | torch.OutOfMemoryError) or any(m in text for m in _MEMORY)


def _for_memory(problem: BaseException) -> str:
    """A way out on which the cells of the study stay comparable: what changes, changes for all of them."""
    if not is_memory(problem):
        return ""
    text = str(problem).lower()
    on_gpu = isinstance(problem, torch.OutOfMemoryError) or any(m in text for m in ("cuda", "cublas", "cudnn"))
    less = (
        "take a smaller schedule.batch_size and as many times more schedule.accumulate, which learns from the same "
        "images in less memory, or a smaller data.size"
    )
    if any(Path(f.filename) in _AT_TEST for f in traceback.extract_tb(problem.__traceback__)):
        less = (
            "take a smaller evaluation.batch, or smaller evaluation.test_scales: the test images were too many or too "
            "large at once, and the training that is done is taken over"
        )
    return (
        f"the memory{' of the GPU' if on_gpu else ''} is used up: run fewer cells side by side (--workers 1), {AGAIN}; "
        f"or, for the whole study, so that its cells stay comparable, {less}"
    )


def _for_kernels(problem: BaseException) -> str:
    if _NO_KERNEL in str(problem):
        operator = str(problem).split(" ", 1)[0].strip("'`\"")
        return (
            f"{operator} has no deterministic kernel on this device: set schedule.deterministic: false for the whole "
            "study (its numbers may then vary in the last digits), or leave out the part that needs it"
        )
    if type(problem).__module__.startswith(_COMPILING):
        return (
            "torch.compile does not work here (it needs a C++ compiler, on a GPU Triton): set schedule.compile: false"
        )
    return ""


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
