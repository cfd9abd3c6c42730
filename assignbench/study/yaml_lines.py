"""Reading a study's YAML strictly, remembering the line of every key.

What YAML lets pass in silence is refused with its line: a key twice, a key that is no text, tags, dates, numbers that
are not finite or that YAML 1.1 reads otherwise than people do (010, 1:30), anchors that hold themselves or that become
huge when they are written out.
"""

from __future__ import annotations

import math
import re
import stat
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from assignbench.errors import InputError

# The line of every entry by its path; for what the command line put in its place, the option as it was written.
Lines = dict[tuple[str | int, ...], int | str]

MOST_BYTES = 200_000
MOST_ENTRIES = 5_000  # with what aliases stand for written out
MOST_LEVELS = 24
LARGEST = 2**63 - 1

# What 1.1 of YAML reads as octal or as a number to the base 60.
_MISREAD = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)$")
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "merge")}
_SPELT = {"tag:yaml.org,2002:bool": "true or false", "tag:yaml.org,2002:null": "nothing"}


class _Refused(yaml.MarkedYAMLError):
    """Something that is YAML and no study; its text is whole."""

    def __init__(self, told: str, mark: Any) -> None:
        super().__init__(problem=told, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """Strict YAML in which 1e-3 and 1.0e30 are numbers, as in YAML 1.2 and everywhere else; YAML 1.1 calls them text.

    Limits hold while it reads, so that nothing grows before it is refused.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._entries = 0
        self._path: list[str] = []
        self._sizes: dict[int, int] = {}  # of composed nodes, by their id; the tree keeps them alive

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node, counted; `index` is the key's node or the place in a list."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._entries
        self._entries += 1
        self._path.append("" if parent is None or index is None else str(getattr(index, "value", index)))
        if len(self._path) > MOST_LEVELS:
            raise _Refused(
                f"entries lie more than {MOST_LEVELS} levels deep; no study is built like that", event.start_mark
            )
        if isinstance(event, yaml.AliasEvent):
            self._entries += self._size_of(event)
        elif event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _Refused(f"the tag '{tag}' is not used in studies; write the value alone", event.start_mark)
        if event.anchor in self.anchors and not isinstance(event, yaml.AliasEvent):
            line = self.anchors[event.anchor].start_mark.line + 1
            raise _Refused(
                f"the anchor &{event.anchor} stands in line {line} already; give this one another name",
                event.start_mark,
            )
        if self._entries > MOST_ENTRIES:
            raise _Refused(
                f"more than {MOST_ENTRIES} entries, with what aliases stand for; shorten it", event.start_mark
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and not isinstance(event, yaml.AliasEvent):
            self._check_scalar(node)
        self._path.pop()
        self._sizes.setdefault(id(node), self._entries - before)
        return node

    def scan_to_next_token(self) -> None:
        """Also passes over tabs that separate and do not indent: in brackets, and behind the last word of a line."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or self._ends()):
            self.forward()
            super().scan_to_next_token()

    def _ends(self) -> bool:
        """Whether nothing but white space, and perhaps a comment, follows on the line."""
        ahead = 0
        while self.peek(ahead) in " \t":
            ahead += 1
        return self.peek(ahead) in "#\0\r\n\x85\u2028\u2029"

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping whose keys are text, each once."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                written = key.value if isinstance(key, yaml.ScalarNode) else "[...]"
                kind = _SPELT.get(key.tag)
                means = f" (YAML reads it as {kind})" if kind else ""
                raise _Refused(f"the key '{written}' is no text{means}; put it in quotes", key.start_mark)
            if key.value in seen:
                name = ".".join([*filter(None, self._path), key.value])
                remedy = "write <<: [*one, *two]" if key.tag.endswith("merge") else "keep one of them"
                line = seen[key.value]
                raise _Refused(f"the key '{name}' stands in line {line} already; {remedy}", key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return node

    def _size_of(self, alias: yaml.AliasEvent) -> int:
        node = self.anchors.get(alias.anchor)
        if node is None:
            return 0  # unknown, which composing it tells
        if id(node) not in self._sizes:
            raise _Refused(f"the entry *{alias.anchor} holds itself; write it out", alias.start_mark)
        return self._sizes[id(node)]

    def _check_scalar(self, node: yaml.ScalarNode) -> None:
        place = ".".join(filter(None, self._path)) or "the value"
        shown = node.value if len(node.value) <= 60 else node.value[:57] + "..."
        if node.tag == "tag:yaml.org,2002:timestamp":
            raise _Refused(f"{place} is the date {shown}; put it in quotes", node.start_mark)
        if node.tag not in _SCALARS:
            raise _Refused(f"{place} is {shown!r}; put it in quotes", node.start_mark)
        if node.tag.endswith(("int", "float")):
            if _MISREAD.fullmatch(node.value):
                told = (
                    f"{place} is {shown}, which YAML reads as another number; write it without leading zeros or colons"
                )
                raise _Refused(told, node.start_mark)
            if not _in_range(self, node):
                told = f"{place} is {shown}, not a finite number between -{LARGEST:g} and {LARGEST:g}"
                raise _Refused(told, node.start_mark)
        elif bad := next((c for c in node.value if _unprintable(c)), ""):
            told = f"{place} is {node.value[:60]!r}, with the control character U+{ord(bad):04X}; leave it out"
            raise _Refused(told, node.start_mark)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _in_range(loader: _Loader, node: yaml.ScalarNode) -> bool:
    """Whether a number is finite, and one that a 64-bit integer holds if it is whole."""
    if len(node.value) > 400:
        return False
    try:
        value: float = loader.construct_object(node)
    except ValueError:  # e.g. 0x_
        return False
    return abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value)


def _unprintable(character: str) -> bool:
    """Controls but line ends and tabs, halves of a pair, and what turns the direction of writing around."""
    if character in "\n\t":
        return False
    return (
        unicodedata.category(character) in ("Cc", "Cs")
        or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def parse(text: str) -> Any:
    """The value that a piece of YAML stands for. Raises yaml.YAMLError."""
    return _tree(text)[0]


def read(path: Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file and the line of each of its entries by path. Raises InputError naming the line."""
    text = _text(path)
    try:
        content, node = _tree(text)
    except yaml.YAMLError as problem:
        raise InputError(f"{path}: {complaint(problem, text)}") from problem
    if node is None or content is None:
        raise InputError(f"{path}: the file is empty; a study is a mapping with at least `methods` and `data`")
    if not isinstance(content, dict):
        raise InputError(f"{path}: line 1: a study is a mapping (key: value), found a {type(content).__name__}")
    lines: Lines = {}
    _walk(node, (), lines)
    return content, lines


def complaint(problem: yaml.YAMLError, text: str) -> str:
    """Line, fault and remedy of what is no plain YAML."""
    if isinstance(problem, yaml.reader.ReaderError):
        line = text.count("\n", 0, problem.position) + 1
        return f"line {line}: holds the control character U+{int(problem.character):04X}; leave it out"
    mark = getattr(problem, "problem_mark", None)
    line_text = f"line {mark.line + 1}: " if mark else ""
    what = getattr(problem, "problem", None) or str(problem).splitlines()[0]
    if isinstance(problem, _Refused):
        return f"{line_text}{what}"
    remedy = "; indent with spaces, and write quotes around a text with a tab" if "'\\t'" in what else ""
    return f"{line_text}not a plain YAML file ({what}{remedy})"


def line_of(lines: Lines, path: tuple[str | int, ...]) -> int | str | None:
    """Where the deepest known part of a path stands: a line, or an option of the command line."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _text(path: Path) -> str:
    """The file's text. Raises InputError for anything but a readable text file of a sensible size."""
    try:
        kind = path.stat().st_mode
        content = b""
        if stat.S_ISREG(kind):
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"no study file {path}; `assignbench list studies` shows what is there") from None
    except (OSError, ValueError) as problem:
        raise InputError(f"{path}: cannot be read ({problem})") from problem
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "no regular file (a pipe or a device)"
        raise InputError(f"{path} is {what}; name the study's YAML file")
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: larger than {MOST_BYTES} bytes; is it a study?")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        told = f"the byte 0x{content[problem.start]:02x} is not UTF-8"
        raise InputError(f"{path}: line {line}: cannot be read ({told}); save it as UTF-8 text") from problem


def _tree(text: str) -> tuple[Any, yaml.Node | None]:
    """The content, no part of which is shared with another, and the nodes with what `<<` brings in their place."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        content = None if node is None else loader.construct_document(node)
        return _own(content), node
    except (ValueError, OverflowError) as problem:  # the scanner's own, of an escape or a version beyond all numbers
        told = f"holds an escape or a number that stands for nothing ({problem!s:.80}); write the character itself"
        raise _Refused(told, loader.get_mark()) from None
    finally:
        loader.dispose()


def _own(value: Any) -> Any:
    """A copy in which what aliases share is there several times, so that changing one place changes no other."""
    if isinstance(value, dict):
        return {key: _own(inner) for key, inner in value.items()}
    return [_own(inner) for inner in value] if isinstance(value, list) else value


def _walk(node: yaml.Node, path: tuple[str | int, ...], lines: Lines) -> None:
    """Enters every entry; in a mapping with `<<`, what it brings comes first and its own keys replace that."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            _walk(value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            lines[(*path, place)] = value.start_mark.line + 1
            _walk(value, (*path, place), lines)
