"""Lists of objects in a large JSON file, column by column, without building the objects.

The reader is believed only where it is sure: it gives columns of a file that `json_files` reads, too, with the values
that `fields` takes from it, and doubts every other file and what it cannot judge. The exact readers then have the word,
and name what is wrong. A file is sure if its marks (brackets, commas, quotes) are those of lists of objects, no key
stands twice in one object, pyarrow's reader takes every entry, and nothing is wrong with any value.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

from assignbench.data.fields import FARTHEST, LARGEST, Bools, Floats
from assignbench.errors import InputError
from assignbench.json_files import (
    CLOSE,
    COLON,
    COMMA,
    LETTER,
    OPEN,
    QUOTE,
    Limits,
    Structure,
    has_large_numbers,
    parse,
    structure,
    values_in,
)

Longs = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_LIST, _ENTRY = 2, 3  # how deep it is in a list of entries, and in an entry
_WORDS = 4  # of eight bytes each: the longest key that is looked at
_CHUNK = 1 << 23  # bytes of entries that are read together
_BLOCK = 1 << 22
_BRACE, _BRACKET, _NEWLINE, _BACKSLASH = 0x7B, 0x5B, 0x0A, 0x5C
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_BOM = b"\xef\xbb\xbf"


class Doubt(Exception):
    """The exact reader has to look at the file."""


@dataclass(frozen=True)
class Columns:
    """Columns of a list of objects in which nothing is wrong; the methods are those of `fields.Entries`.

    Where that would name a problem, these raise Doubt.
    """

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def sound(self) -> Bools:
        """True [N]: nothing is wrong."""
        return np.ones(len(self), np.bool_)

    def integers(self, key: str, *, least: int = -LARGEST, most: int = LARGEST) -> Longs:
        """Integers [N] from `least` to `most`."""
        column = self._whole(key)
        _demand(not len(column) or bool(column.min() >= least and column.max() <= most))
        return np.asarray(column, np.int64)

    def flags(self, key: str) -> Bools:
        """0 or 1 [N] as booleans; an entry without the key has 0."""
        column = self.table[key].fill_null(0).to_numpy()
        _demand(bool(np.isin(column, (0, 1)).all()))
        return np.asarray(column, np.bool_)

    def numbers(self, key: str, *, least: float = -np.inf, default: float = np.nan) -> Floats:
        """Numbers [N] from `least` to the square of `FARTHEST`; `default` where an entry lacks the key."""
        column = self.table[key].to_numpy()  # NaN where there is none
        absent = np.isnan(column)
        _demand(bool((absent | ((np.abs(column) <= FARTHEST**2) & (column >= least))).all()))
        return np.where(absent, default, column)

    def texts(self, key: str) -> list[str]:
        """Printable texts [N] that are not empty."""
        _demand(self.table[key].null_count == 0)
        values: list[str] = self.table[key].to_pylist()
        _demand(all(map(str.strip, values)) and all(map(str.isprintable, values)))
        return values

    def boxes(self, key: str) -> Floats:
        """Four numbers [N, 4]."""
        lists = self.table[key].combine_chunks()
        _demand(lists.null_count == 0 and bool((np.asarray(lists.value_lengths()) == 4).all()))
        values = lists.flatten()
        _demand(values.null_count == 0)
        column = np.asarray(values, np.float64).reshape(-1, 4)
        _demand(bool((np.abs(column) <= FARTHEST).all()))
        return column

    def unique(self, key: str, values: Sequence[Any]) -> None:
        """Every entry has a value of its own."""
        _demand(len(set(values)) == len(values))

    def known(self, key: str, values: Longs, among: Longs, where: str) -> Bools:
        """True [N]: every value is among the known ones."""
        found = np.isin(values, among)
        _demand(bool(found.all()))
        return found

    def _whole(self, key: str) -> npt.NDArray[Any]:
        _demand(self.table[key].null_count == 0)
        return np.asarray(self.table[key].to_numpy())


def _demand(sure: bool) -> None:
    if not sure:
        raise Doubt


def read_columns(
    path: Path, raw: bytes, wanted: Mapping[str, pa.Schema], limits: Limits | None = None
) -> tuple[dict[str, Any], dict[str, Columns]]:
    """What the bytes of a file hold, its top-level lists `wanted` as columns and empty in the rest.

    A value of a column has its type (a number with a fraction is no integer), and an entry without the key has null.
    Raises Doubt where the exact reader has to look at the file; a value of another type and a written null are such.
    """
    try:
        tables, rest = _read(raw, wanted, limits or Limits())
        content = parse(path, rest, limits)
    except (pa.ArrowInvalid, UnicodeDecodeError, InputError):
        raise Doubt from None
    _demand(isinstance(content, dict) and all(key in tables for key in wanted if key in content))
    return content, {key: Columns(table) for key, table in tables.items()}


def _read(raw: bytes, wanted: Mapping[str, pa.Schema], limits: Limits) -> tuple[dict[str, pa.Table], bytes]:
    """The wanted lists by key, and the file with these lists emptied."""
    raw = raw.removeprefix(_BOM)
    _demand(b"\0" not in raw and not has_large_numbers(raw))
    _check_text(raw)
    content = np.frombuffer(raw, np.uint8)
    names = sorted({name for schema in wanted.values() for name in schema.names} | set(wanted))
    marks = _Marks(raw, {name: _hash_of(name) for name in names})
    values = 0
    for part in structure(raw):
        values += values_in(part)
        _demand(int(part.depths.max(initial=0)) <= limits.depth and values <= limits.values)
        marks.take(part)
    tables: dict[str, pa.Table] = {}
    rest, end = [], 0
    for spread in marks.lists(wanted):
        _demand(spread.key not in tables)
        tables[spread.key] = _table(content, spread, wanted[spread.key])
        rest.append(raw[end : spread.start + 1])
        end = spread.end
    return tables, b"".join([*rest, raw[end:]])


def _check_text(raw: bytes) -> None:
    """Raises UnicodeDecodeError for what is not UTF-8; without a second copy of the file."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(raw), _BLOCK):
        block = raw[start : start + _BLOCK]
        if not block.isascii() or decoder.getstate()[0]:
            decoder.decode(block)
    decoder.decode(b"", final=True)


@dataclass(frozen=True)
class _Spread:
    """Where a list lies in the file: its brackets, the commas between its entries, and how often each key is there."""

    key: str
    start: int
    end: int
    commas: Longs
    keys: Mapping[str, int]


class _Marks:
    """Gathers, part by part, where the lists and entries of a file lie, and looks for keys that stand twice."""

    def __init__(self, raw: bytes, hashes: Mapping[str, np.uint64]) -> None:
        self._content, self._hashes = np.frombuffer(raw, np.uint8), hashes
        # The eight bytes from each place on, as one number: a view; of the end, where fewer follow, a copy.
        self._words = np.ndarray(max(0, len(raw) - 7), "<u8", raw, strides=(1,))
        self._tail = np.ndarray(8 * _WORDS + 8, "<u8", raw[-8:].ljust(8 * _WORDS + 15, b"\0"), strides=(1,))
        self._before = _nothing()  # the last two marks of the part before
        self._group = 0  # of the place where the part before ended: one number per entry
        self._known = np.zeros(0, np.uint64)  # keys of the entry that the part before ended in
        self._container = 0  # number of the last list or object at the top level
        self._counts: dict[tuple[int, str], int] = {}
        self._top: list[tuple[Longs, npt.NDArray[np.int8], Longs]] = []
        self._top_keys: list[tuple[Longs, Hashes]] = []

    def take(self, part: Structure) -> None:
        """The marks of the next part. Raises Doubt for a key that may stand twice, and for what it cannot judge."""
        _demand(not (part.kinds == LETTER).any())  # NaN, Infinity
        light = (part.kinds != COMMA) | (part.depths <= _LIST)  # most are commas between corners of outlines
        places = np.concatenate([self._before.places, part.places[light]])
        kinds = np.concatenate([self._before.kinds, part.kinds[light]])
        depths = np.concatenate([self._before.depths, part.depths[light]])
        old = len(self._before.places)
        self._before = Structure(places[-2:], kinds[-2:], depths[-2:])
        opened = np.cumsum((kinds == OPEN) & (depths == _LIST) & (np.arange(len(kinds)) >= old)) + self._container
        if len(opened):
            self._container = int(opened[-1])
        self._take_keys(places, kinds, depths, opened, old)
        places, kinds, depths = places[old:], kinds[old:], depths[old:]
        # Of a list: its brackets, the commas between its entries, and where entries open.
        chosen = ((depths <= _LIST) & ((kinds == COMMA) | (kinds == CLOSE))) | ((depths <= _ENTRY) & (kinds == OPEN))
        self._top.append((places[chosen], kinds[chosen], depths[chosen]))

    def _take_keys(self, places: Longs, kinds: npt.NDArray[np.int8], depths: Longs, opened: Longs, old: int) -> None:
        colons = np.flatnonzero(kinds == COLON)
        colons = colons[colons >= old]
        if not len(colons):
            self._count_groups(kinds, depths, old, colons)
            return
        if colons[0] < 2 or not ((kinds[colons - 1] == QUOTE) & (kinds[colons - 2] == QUOTE)).all():
            raise Doubt
        hashes = self.hashed(places[colons - 2] + 1, places[colons - 1])
        depth, container = depths[colons], opened[colons]
        groups = self._count_groups(kinds, depths, old, colons)
        for name, wanted in self._hashes.items():
            found = container[(hashes == wanted) & (depth == _ENTRY)]
            for number in np.unique(found).tolist():
                self._counts[number, name] = self._counts.get((number, name), 0) + int((found == number).sum())
        top = depth == 1
        self._top_keys.append((places[colons[top]], hashes[top]))
        # One number per key, entry and depth: what stands there twice may be a key that is written twice.
        mixed = (hashes ^ (groups.astype(np.uint64) * np.uint64(64) + depth.astype(np.uint64))) * _PRIME
        mixed ^= mixed >> np.uint64(29)
        inner = depth >= _ENTRY
        together = np.sort(np.concatenate([self._known, mixed[inner]]))
        if (together[1:] == together[:-1]).any():
            raise Doubt
        last = groups[inner] == self._group
        carried = self._known if groups[0] == self._group else self._known[:0]
        self._known = np.concatenate([carried, mixed[inner][last]])

    def _count_groups(self, kinds: npt.NDArray[np.int8], depths: Longs, old: int, colons: Longs) -> Longs:
        """The number of the entry that each colon stands in: entries end where it is as deep as between them."""
        ends = (depths <= _LIST) & (kinds != QUOTE) & (kinds != COLON) & (np.arange(len(kinds)) >= old)
        groups = np.cumsum(ends) + self._group
        if len(groups):
            self._group = int(groups[-1])
        return np.asarray(groups[colons], np.int64)

    def hashed(self, starts: Longs, ends: Longs) -> Hashes:
        """A number [N] for each text, the same for the same. Raises Doubt for long and escaped texts."""
        lengths = ends - starts
        if lengths.max() > 8 * _WORDS:
            raise Doubt
        found = lengths.astype(np.uint64)
        for word in range(-(-int(lengths.max()) // 8)):
            held = np.clip(lengths - 8 * word, 0, 8).astype(np.uint64)
            longer = held > 0
            kept = self._word(starts[longer] + 8 * word) << (np.uint64(64) - np.uint64(8) * held[longer])
            if (kept.view(np.uint8) == _BACKSLASH).any():
                raise Doubt
            mixed = (found[longer] ^ kept) * _PRIME
            found[longer] = mixed ^ (mixed >> np.uint64(32))
        return found

    def _word(self, places: Longs) -> Hashes:
        """The eight bytes [N] from each place on."""
        late = places >= len(self._words)
        if not late.any():
            return np.asarray(self._words[places])
        found = np.empty(len(places), np.uint64)
        found[~late] = self._words[places[~late]]
        found[late] = self._tail[places[late] - max(0, len(self._content) - 8)]
        return found

    def lists(self, wanted: Mapping[str, object]) -> Iterator[_Spread]:
        """The wanted lists in the order of the file. Raises Doubt where a value of such a key is no list of objects."""
        if not self._top_keys:
            return
        places, kinds, depths = (np.concatenate(columns) for columns in zip(*self._top, strict=True))
        where, hashes = (np.concatenate(columns) for columns in zip(*self._top_keys, strict=True))
        opens = np.flatnonzero((kinds == OPEN) & (depths == _LIST))
        named = {int(self._hashes[key]): key for key in wanted}
        for place, number in zip(where.tolist(), hashes.tolist(), strict=True):
            if number not in named:
                continue
            found = int(np.searchsorted(places[opens], place))
            if found == len(opens):
                raise Doubt
            key, first = named[number], int(opens[found])
            # the list opens right after the colon, with nothing but white space between
            between = self._content[place + 1 : places[first]].tobytes().strip(b" \t\n\r")
            ends = np.flatnonzero((kinds[first:] == CLOSE) & (depths[first:] == 1))
            if between or self._content[places[first]] != _BRACKET or not len(ends):
                raise Doubt
            last = first + int(ends[0])
            inside = slice(first + 1, last)
            commas = self._commas(places[inside], kinds[inside], depths[inside])
            counts = {name: self._counts.get((found + 1, name), 0) for name in self._hashes}
            yield _Spread(key, int(places[first]), int(places[last]), commas, counts)

    def _commas(self, places: Longs, kinds: npt.NDArray[np.int8], depths: Longs) -> Longs:
        """The commas between the entries of a list. Raises Doubt unless it is object, comma, object and so on."""
        opens, commas = (kinds == OPEN) & (depths == _ENTRY), (kinds == COMMA) & (depths == _LIST)
        order = opens[opens | commas]
        if len(order) and (len(order) % 2 == 0 or not order[::2].all() or order[1::2].any()):
            raise Doubt
        if (self._content[places[opens]] != _BRACE).any():
            raise Doubt
        return np.asarray(places[commas])


def _nothing() -> Structure:
    return Structure(np.zeros(0, np.int64), np.zeros(0, np.int8), np.zeros(0, np.int64))


def _hash_of(name: str) -> np.uint64:
    """The number that a key has in a file."""
    text = name.encode()
    return np.uint64(_Marks(text, {}).hashed(np.zeros(1, np.int64), np.full(1, len(text)))[0])


def _table(content: Bytes, spread: _Spread, schema: pa.Schema) -> pa.Table:
    """The columns of a list. Raises Doubt and ArrowInvalid for what is no plain value of its column's type."""
    parts = [schema.empty_table()]
    bounds = np.concatenate([[spread.start], spread.commas, [spread.end]])
    first = 0
    while first < len(bounds) - 1:
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + _CHUNK, "right")) - 1)
        text = content[bounds[first] + 1 : bounds[last]].copy()
        if len(bounds) > 2 or text.tobytes().strip(b" \t\n\r"):  # else the list is empty
            parts.append(_parsed(text, bounds[first + 1 : last] - bounds[first] - 1, schema))
        first = last
    table = pa.concat_tables(parts)
    for name in schema.names:
        if table.num_rows - table[name].null_count != spread.keys[name]:  # a null that is written, or no such value
            raise Doubt
    return table


def _parsed(text: Bytes, commas: Longs, schema: pa.Schema) -> pa.Table:
    """Entries with commas between them. Raises Doubt where there are more or fewer than there should be."""
    broken = bool((text == _NEWLINE).any())
    text[commas] = _NEWLINE
    table = pyarrow.json.read_json(
        pa.BufferReader(text),
        pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        pyarrow.json.ParseOptions(
            explicit_schema=schema, newlines_in_values=broken, unexpected_field_behavior="ignore"
        ),
    )
    if table.num_rows != len(commas) + 1:
        raise Doubt
    return table
