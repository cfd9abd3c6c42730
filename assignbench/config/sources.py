"""Which source files a part of the user's own is made of, found without running any of them."""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from assignbench.config.cell import CellConfig

_STANDARD = Path(sysconfig.get_path("stdlib")).resolve()
_OURS = "assignbench"  # its own parts have formats


def own_parts(config: CellConfig) -> dict[str, str]:
    """The module of every part of a cell that comes from outside of AssignBench, by kind and name of the part."""
    found = {}
    for kind, name in (("assigner", config.method.assigner.name), ("criterion", config.method.criterion.name)):
        path = name if ":" in name else _entry_point(f"assignbench.{kind}s", name)
        if path:
            found[f"{kind} {name}"] = path.partition(":")[0]
    return found


@cache
def _entry_point(group: str, name: str) -> str:
    return next((entry.value for entry in entry_points(group=group, name=name)), "")


def sources_of(module: str) -> dict[str, Path]:
    """A module's file and those of the user's own modules that it imports, by their path below its folder.

    Own are files of the folder that the module was found in; of an installed module those of its package; never other
    installed packages. Files that a module reads while it runs are not known here. Empty where there is no such module.
    """
    importlib.invalidate_caches()
    top = _find(module.partition(".")[0])
    if top is None:
        return {}
    home = _home(top)
    found: dict[str, Path] = {}
    waiting = [module]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        spec = _find(name)
        if spec is None:
            continue
        waiting += [name.rpartition(".")[0]] if "." in name else []
        path = Path(spec.origin).resolve() if spec.origin and spec.has_location else None
        if path is None or not _is_own(path, home):
            continue
        found[path.relative_to(home if home.is_dir() else home.parent).as_posix()] = path
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        waiting += [n for n in _imports(path, package) if n.partition(".")[0] != _OURS]
    return found


def _find(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module lies; packages above it are looked up, not imported. The current folder comes first."""
    places: list[str] | None = [str(Path.cwd()), *sys.path]
    spec = None
    parts = name.split(".")
    for depth in range(len(parts)):
        spec = _find_in(".".join(parts[: depth + 1]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [])
    return spec


def _find_in(name: str, places: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    spec = importlib.machinery.PathFinder.find_spec(name, places)
    if spec is not None or "." in name:
        return spec
    for finder in sys.meta_path:  # an editable installation has a finder of its own
        find = getattr(finder, "find_spec", None)
        spec = find(name, None) if find is not None else None
        if spec is not None:
            return spec
    return None


def _home(top: importlib.machinery.ModuleSpec) -> Path:
    """What a top-level module's own files lie in: its folder, or only its package or file if it was installed."""
    if top.submodule_search_locations:
        package = Path(next(iter(top.submodule_search_locations))).resolve()
        return package if _library(package) else package.parent
    file = Path(top.origin or ".").resolve()
    return file if _library(file) else file.parent


def _is_own(path: Path, home: Path) -> bool:
    return path.is_relative_to(home) and _library(path) == _library(home)


def _library(path: Path) -> Path | None:
    """The folder of installed packages that a file lies in."""
    for folder in path.parents:
        if folder.name in ("site-packages", "dist-packages") or folder == _STANDARD:
            return folder
    return None


def _imports(path: Path, package: str) -> Iterator[str]:
    """The names of all modules that a source file may import, anywhere in it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
