"""Reading a study's YAML safely, remembering the line of every key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from assignbench.errors import InputError

# The line of every entry by its path; for what the command line put in its place, the option as it was written.
Lines = dict[tuple[str | int, ...], int | str]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-3 and 1.0e30 are numbers, as in YAML 1.2 and everywhere else; YAML 1.1 calls them text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse(text: str) -> Any:
    """The value that a piece of YAML stands for. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)


def read(path: Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file and the line of each of its entries by path. Raises InputError naming the line."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise InputError(f"no study file {path}; `assignbench list studies` shows what is there") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: cannot be read ({problem})") from problem
    try:
        node = yaml.compose(text, Loader=_Loader)
        _no_circle(node, (), path)
        content = parse(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = getattr(problem, "problem", None) or str(problem).splitlines()[0]
        raise InputError(f"{path}: {line}not a plain YAML file ({what})") from problem
    if node is None or content is None:
        raise InputError(f"{path}: the file is empty; a study is a mapping with at least `methods` and `data`")
    if not isinstance(content, dict):
        raise InputError(f"{path}: line 1: a study is a mapping (key: value), found a {type(content).__name__}")
    lines: Lines = {}
    _walk(node, (), lines, path)
    return content, lines


def line_of(lines: Lines, path: tuple[str | int, ...]) -> int | str | None:
    """Where the deepest known part of a path stands: a line, or an option of the command line."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _no_circle(node: yaml.Node | None, above: tuple[yaml.Node, ...], file: Path) -> None:
    """Refuses an anchor that holds itself, which no study can mean."""
    if isinstance(node, yaml.CollectionNode):
        if any(node is other for other in above):
            raise InputError(f"{file}: line {node.start_mark.line + 1}: this entry holds itself; write it out")
        for value in node.value:
            for part in value if isinstance(value, tuple) else (value,):
                _no_circle(part, (*above, node), file)


def _walk(node: yaml.Node, path: tuple[str | int, ...], lines: Lines, file: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in lines and key.value != "<<":
                name = ".".join(str(p) for p in here)
                raise InputError(
                    f"{file}: line {line}: the key '{name}' stands in line {lines[here]} already; keep one of them"
                )
            lines[here] = line
            _walk(value, here, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            lines[(*path, place)] = value.start_mark.line + 1
            _walk(value, (*path, place), lines, file)
