"""The one reader of JSON files: strict, within limits, and exact about where a file is wrong.

What Python's reader lets pass is refused: NaN and Infinity, a key written twice in one object, numbers that no float
holds, and nesting without end. The fast reader does the work; only a file that is refused is gone through token by
token, to name line and column.
"""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from assignbench.errors import InputError

OPEN, CLOSE, QUOTE, COMMA, COLON, LETTER = range(1, 7)
_MARKS = b'[{]}",:NI'  # and of which kind each is
_KINDS = bytearray(256)
for _mark, _kind in zip(_MARKS, (OPEN, OPEN, CLOSE, CLOSE, QUOTE, COMMA, COLON, LETTER, LETTER), strict=True):
    _KINDS[_mark] = _kind
_HEAD = 1 << 16  # bytes at the beginning, in which a value has to begin
_FIRST = tuple(bytes([c]) for c in b'[{"-0123456789tfnNI')
_PACKED = (
    *((b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz")),
    *((b"\x28\xb5\x2f\xfd", "zstd"), (b"7z\xbc\xaf", "7z"), (b"\x04\x22\x4d\x18", "lz4")),
)
_BLOCK = 1 << 22  # bytes that are looked at together
_LONGEST = 256  # bytes of the longest pattern that is looked for
_BACKSLASH = 0x5C
_LOCATED = 1 << 24  # characters that are gone through to find the place of a fault
# Only such numbers can be larger than a float: a long exponent, or very many digits (each stands as 0 here).
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE = (b"e000", b"e+000", b"0" * 200)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


@dataclass(frozen=True)
class Limits:
    """What a file may hold at most: `size` in bytes, `depth` of nesting, `values` in all lists and objects together."""

    size: int = 1 << 30
    depth: int = 64
    values: int = 100_000_000


class _Fault(Exception):
    """A fault that Python's reader does not see; what is wrong, before its place is known."""


@dataclass(frozen=True)
class Structure:
    """The marks of a part of a file: brackets, commas, colons and first letters of NaN and Infinity that stand outside
    of texts, and the quotes around texts. `places` [N] in the file, `kinds` [N], and how deep it is after each [N].
    """

    places: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int8]
    depths: npt.NDArray[np.int64]


def load(path: Path, limits: Limits | None = None, *, what: str = "file") -> Any:
    """The content of a JSON file (UTF-8, a byte order mark may lead); errors call it `what` if it is missing.

    Raises InputError naming the file, and line and column where they are known: for a file that is not there, cannot be
    read, is larger, deeper or longer than `limits`, or is not JSON; for NaN, Infinity, numbers beyond a float's range,
    and keys that are written twice.
    """
    return parse(path, read_bytes(path, limits, what=what), limits)


def parse(path: Path, raw: bytes, limits: Limits | None = None) -> Any:
    """What the bytes of a file hold. Raises InputError as `load` does."""
    _check_structure(path, raw, limits or Limits())
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise InputError(
            f"{path}: line {line}: byte {problem.start} is not UTF-8, so the file is not JSON; save it as UTF-8"
        ) from None
    large = has_large_numbers(raw)
    try:
        with _no_collection():
            return json.loads(
                text,
                object_pairs_hook=_object,
                parse_constant=_refuse_constant,
                parse_float=_finite_float if large else None,
                parse_int=_finite_int if large else None,
            )
    except json.JSONDecodeError as problem:
        raise InputError(
            f"{path}: line {problem.lineno}, column {problem.colno}: not JSON ({problem.msg}); "
            "mend the file or write it again"
        ) from None
    except _Fault as fault:
        _refuse(path, text, str(fault))
    except RecursionError:
        raise InputError(f"{path}: nested too deeply to be read; write it flatter") from None


def has_large_numbers(raw: bytes) -> bool:
    """Whether the bytes may hold a number that no float holds. Where they do not, they hold none."""
    for start in range(0, len(raw), _BLOCK):
        digits = raw[start : start + _BLOCK + _LONGEST].translate(_DIGITS)
        if any(pattern in digits for pattern in _LARGE):
            return True
    return False


def structure(raw: bytes) -> Iterator[Structure]:
    """The marks of a file from its beginning to its end; where texts begin and end is not checked."""
    deep, inside, start = 0, 0, 0
    while start < len(raw):
        end = min(len(raw), start + _BLOCK)
        while end < len(raw) and raw[end - 1] == _BACKSLASH:  # what is escaped stays together
            end += 1
        block = raw[start:end]
        if b"\\" in block:  # what is escaped in a text neither ends it nor counts
            block = block.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        kinds = np.frombuffer(block.translate(_KINDS), np.int8)
        places = np.flatnonzero(kinds)
        kinds = kinds[places]
        quotes = np.cumsum(kinds == QUOTE) + inside
        inside = int(quotes[-1] % 2) if len(quotes) else inside
        marks = (quotes % 2 == 0) | (kinds == QUOTE)
        places, kinds = places[marks], kinds[marks]
        depths = np.cumsum((kinds == OPEN).view(np.int8) - (kinds == CLOSE).view(np.int8), dtype=np.int64) + deep
        deep = int(depths[-1]) if len(depths) else deep
        yield Structure(places + start, kinds, depths)
        start = end


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without garbage collection: what is read holds no cycles, and looking for them takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def read_bytes(path: Path, limits: Limits | None = None, *, what: str = "file") -> bytes:
    """The bytes of a file that may be JSON.

    Raises InputError for one that is not there, cannot be read, is larger than `limits`, or begins as no JSON does.
    """
    limits = limits or Limits()
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, expected a JSON file")
        stat = path.stat()
        if not S_ISREG(stat.st_mode):
            raise InputError(f"{path}: is no regular file; name a file that can be read as a whole")
        size = stat.st_size
        if size > limits.size:
            raise InputError(f"{path}: has {size} bytes, at most {limits.size} are read; write a smaller file")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if head and head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:1] not in _FIRST:
                raise InputError(f"{path}: line 1: not JSON, {_what_else(head)}")
            file.seek(0)
            return file.read()
    except FileNotFoundError:
        raise InputError(f"no {what} {path}") from None
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror})") from None


def _what_else(head: bytes) -> str:
    """What a file that begins so may be, and what to do about it."""
    packed = next((name for begins, name in _PACKED if head.startswith(begins)), "")
    if packed:
        return f"but compressed ({packed}); unpack it, and name the file that comes out"
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return "but text of another encoding (UTF-16 or UTF-32); save it as UTF-8"
    return f"nor UTF-8 text that could be; it begins with {head[:8]!r}; name a JSON file, saved as UTF-8"


def _check_structure(path: Path, raw: bytes, limits: Limits) -> None:
    """Depth and number of values, from brackets and commas outside of texts, before anything is built from them."""
    values = 0
    for part in structure(raw):
        if int(part.depths.max(initial=0)) > limits.depth:
            raise InputError(f"{path}: nested deeper than {limits.depth} levels; such a file is not read")
        values += values_in(part)
        if values > limits.values:
            raise InputError(f"{path}: holds more than {limits.values} values; write a smaller file")


def values_in(part: Structure) -> int:
    """How many values there are at most in a part of a file."""
    return int((part.kinds == COMMA).sum() + (part.kinds == OPEN).sum())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Fault(f"key {key!r:.80} is written twice in one object; keep one of them")
            seen.add(key)
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise _Fault(f"{name} is not a JSON number; write a finite number or leave the key out")


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Fault(f"number {text:.40} is beyond the range of numbers; write a smaller one")
    return value


def _finite_int(text: str) -> int:
    if math.isinf(float(text)):
        raise _Fault(f"number {text:.20}... of {len(text)} digits is beyond the range of numbers; write a smaller one")
    return int(text)


def _refuse(path: Path, text: str, what: str) -> NoReturn:
    """The error for a fault, with its place if that lies within reach."""
    place = next(_faults(text[:_LOCATED]), None)
    if place is None:
        raise InputError(f"{path}: {what}")
    line = text.count("\n", 0, place) + 1
    column = place - text.rfind("\n", 0, place)
    raise InputError(f"{path}: line {line}, column {column}: {what}")


def _faults(text: str) -> Iterator[int]:
    """Where the faults lie that Python's reader does not see, in the order of the text."""
    keys: list[set[str] | None] = []
    waiting = False  # a key may follow
    for token in _TOKEN.finditer(text):
        first, word = token[0][0], token[0]
        if first in "{[":
            keys.append(set() if first == "{" else None)
            waiting = first == "{"
        elif first in "}]":
            if keys:
                keys.pop()
            waiting = False
        elif first == ",":
            waiting = bool(keys) and keys[-1] is not None
        elif first == '"' and waiting and keys and keys[-1] is not None:
            key = json.loads(word, strict=False)
            if key in keys[-1]:
                yield token.start()
            keys[-1].add(key)
            waiting = False
        elif word in ("NaN", "Infinity", "-Infinity") or (first in "-0123456789" and _beyond(word)):
            yield token.start()


def _beyond(word: str) -> bool:
    try:
        return math.isinf(float(word))
    except ValueError:
        return False
