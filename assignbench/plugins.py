"""What a study names as `module:name` is imported here and nowhere else; nothing of it is called here.

Importing runs the module's own code, which is all that a study can execute beside the classes and functions that are
checked afterwards. Modules are taken from where Python finds them, and last from the current folder, so that a file
there never stands in for a module of Python, of AssignBench or of another package.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

from assignbench.errors import InputError, nearest

_WRITTEN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def imported(path: str, kind: str) -> object:
    """What `module:name` stands for; `kind` is what an error calls it, e.g. "assigner".

    Raises InputError for anything else than a name of a module that is no part of Python itself, and if the module
    cannot be imported: also if it ends the program meanwhile, or changes the current folder.
    """
    if not _WRITTEN.fullmatch(path):
        form = "module:function" if kind in ("analysis", "detector") else "module:Class"
        raise InputError(f"{kind} '{path}': write {form}, one name of an importable module")
    module, _, name = path.partition(":")
    whole = f"{kind} '{path}'"
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__":
        own = "; rename your file, and name that one" if Path(f"{top}.py").exists() else ""
        raise InputError(f"{whole}: {top} is a module of Python itself, which holds no {kind}{own}")
    found = _module(module, whole)
    try:
        return getattr(found, name)
    except AttributeError:
        names = [n for n, v in vars(found).items() if getattr(v, "__module__", None) == module]
        where = f" ({found.__file__})" if getattr(found, "__file__", None) else ""
        raise InputError(f"{whole}: {module}{where} has no '{name}'{nearest(name, names)}") from None
    except BaseException as problem:
        raise InputError(f"{whole}: asking {module} for '{name}' raised {told(problem)}") from problem


def _module(module: str, whole: str) -> ModuleType:
    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.append(str(here))
    try:
        # What it prints must not stand among a command's own lines.
        with redirect_stdout(sys.stderr):
            found = importlib.import_module(module)
    except ModuleNotFoundError as problem:
        raise InputError(f"{whole} cannot be imported: {problem}; is it importable from {here}?") from problem
    except BaseException as problem:  # a module may also raise SystemExit or KeyboardInterrupt
        raise InputError(f"{whole}: importing {module} raised {told(problem)}") from problem
    finally:
        moved = Path.cwd() != here
        if moved:
            os.chdir(here)
    if moved:
        raise InputError(f"{whole}: importing {module} changed the current folder; leave that out of the module")
    return found


def told(problem: BaseException) -> str:
    """What was raised, and the file and line of someone else's code that it came from."""
    try:
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(problem)[:300])
    except Exception:
        text = ""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{type(problem).__name__}: {problem.msg} ({problem.filename}:{problem.lineno})"
    frames = [f for f in traceback.extract_tb(problem.__traceback__) if not f.filename.startswith("<")]
    ours, importing = str(Path(__file__).parent), str(Path(importlib.__file__).parent)
    theirs = [f for f in frames if not f.filename.startswith((ours, importing))]
    place = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    return f"{type(problem).__name__}{f': {text}' if text else ''}{place}"
