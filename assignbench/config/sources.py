"""Which source files a part of the user's own is made of, found without running any of them."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, all_suffixes
from importlib.metadata import entry_points
from pathlib import Path

from assignbench.config.cell import CellConfig

_STANDARD = Path(sysconfig.get_path("stdlib")).resolve()
_OURS = "assignbench"  # its own parts have formats
GROUPS = {"assigner": "assignbench.assigners", "criterion": "assignbench.criteria"}  # of entry points, by kind of part


def own_parts(config: CellConfig) -> dict[str, str]:
    """The module of every part of a cell that comes from outside of AssignBench, by kind and name of the part."""
    found = {}
    for kind, name in (("assigner", config.method.assigner.name), ("criterion", config.method.criterion.name)):
        path = name if ":" in name else _entry_points(GROUPS[kind]).get(name, "")
        if path:
            found[f"{kind} {name}"] = path.partition(":")[0]
    function = config.detector.spec.function
    if function:
        found[f"detector {function}"] = function.partition(":")[0]
    return found


@cache
def _entry_points(group: str) -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=group)}


def sources_of(module: str) -> dict[str, Path]:
    """A module's file and those of the user's own modules that it imports, by their path below its folder.

    Own are files of the folder that the module was found in; of an installed module those of its package; never other
    installed packages. Files that a module reads while it runs are not known here. Empty where there is no such module.
    """
    top = _find(module.partition(".")[0])
    if top is None:
        return {}
    home = _home(top)
    found: dict[str, Path] = {}
    waiting, seen = [module], {""}
    while waiting:
        name = waiting.pop()
        place = None if name in seen else _find(name)
        seen.add(name)
        if place is None:
            continue
        waiting.append(name.rpartition(".")[0])
        if place.file is None or not _is_own(place.file, home):
            continue
        found[place.file.relative_to(home if home.is_dir() else home.parent).as_posix()] = place.file
        package = name if place.folders else name.rpartition(".")[0]
        waiting += [n for n in _imports(place.file, package) if n.partition(".")[0] != _OURS]
    return found


@dataclass(frozen=True)
class _Place:
    """Where a module lies: its file (none for a package without an own one), and the folders of a package."""

    file: Path | None
    folders: tuple[Path, ...] = ()


def _find(name: str) -> _Place | None:
    """Where a module lies. Nothing is imported for it, also not the packages above it; the current folder comes first.

    importlib's own search would import them.
    """
    folders = tuple(Path(p).resolve() for p in (".", *sys.path))
    place = None
    for depth, part in enumerate(name.split(".")):
        place = _below(part, folders) or (None if depth else _by_finders(part))
        if place is None:
            return None
        folders = place.folders
    return place


def _below(name: str, folders: tuple[Path, ...]) -> _Place | None:
    """A module or package of that name in the first of the folders that has one."""
    spaces = []
    for folder in folders:
        if (folder / name / "__init__.py").is_file():
            return _Place(folder / name / "__init__.py", (folder / name,))
        for suffix in all_suffixes():
            if (folder / f"{name}{suffix}").is_file():
                return _Place(folder / f"{name}{suffix}")
        if (folder / name).is_dir():
            spaces.append(folder / name)
    return _Place(None, tuple(spaces)) if spaces else None


def _by_finders(name: str) -> _Place | None:
    """A top-level module that an editable installation brings in by a finder of its own."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(name, None) if find is not None and name not in sys.stdlib_module_names else None
        if isinstance(spec, ModuleSpec):
            file = Path(spec.origin).resolve() if spec.origin and spec.has_location else None
            return _Place(file, tuple(Path(p).resolve() for p in spec.submodule_search_locations or ()))
    return None


def _home(top: _Place) -> Path:
    """What a top-level module's own files lie in: its folder, or only its package or file if it was installed."""
    inside = top.folders[0] if top.folders else top.file
    if inside is None:
        return Path.cwd()
    return inside if _library(inside) else inside.parent


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
