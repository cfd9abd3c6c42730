"""The entries of a list in a JSON file, read field by field: whole columns at once, and every fault named.

A column of sound values costs one look at the types of all its values. Only where that look finds another type is the
column gone through value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from assignbench.data.base import Problem
from assignbench.errors import nearest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LARGEST = 2**53  # the largest integer that every reader of JSON keeps
FARTHEST = 1e9  # px: no coordinate of an image lies beyond, and areas stay within the range of their tables
_WORDS = {str: "text", bool: "true or false", type(None): "null", list: "a list", dict: "an object"}
_ABSENT = object()


class Entries:
    """Columns of a list of objects. `sound` [N] marks the entries in which nothing was wrong so far.

    Where a value is wrong or missing, a problem names file, entry, key and value, and the column holds a stand-in.
    `lost` says whether the problems cost a whole image.
    """

    def __init__(self, file: str, key: str, rows: Sequence[Any], problems: list[Problem], *, lost: bool = False):
        self.file, self.key, self.problems, self.lost = file, key, problems, lost
        self.sound = np.ones(len(rows), np.bool_)
        if set(map(type, rows)) <= {dict}:
            self.rows = rows
        else:
            self.rows = [r if isinstance(r, dict) else {} for r in rows]
            for place, row in enumerate(rows):
                if not isinstance(row, dict):
                    self.refuse(place, f"is {shown(row)}, expected an object")

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, key: str) -> Bools:
        """Whether each entry has the key, with a value that is not null."""
        return np.asarray([r.get(key) is not None for r in self.rows], np.bool_)

    def integers(self, key: str, *, least: int = -LARGEST, most: int = LARGEST) -> Ints:
        """Integers [N] from `least` to `most`; 0 stands in."""
        values = self._values(key, None)
        if set(map(type, values)) <= {int}:
            try:
                column = np.asarray(values, np.int64)
                if not len(column) or (column.min() >= least and column.max() <= most):
                    return column
            except OverflowError:
                pass

        def wrong(value: Any) -> str | None:
            if type(value) is not int:
                return "an integer"
            return None if least <= value <= most else f"an integer from {least} to {most}"

        return np.asarray(self._checked(key, values, wrong, 0), np.int64)

    def flags(self, key: str) -> Bools:
        """0 or 1 [N] as booleans; an entry without the key has 0."""
        values = self._values(key, 0)

        def wrong(value: Any) -> str | None:
            return None if type(value) is int and value in (0, 1) else "0 or 1"

        if not (set(map(type, values)) <= {int} and set(values) <= {0, 1}):
            values = self._checked(key, values, wrong, 0)
        return np.asarray(values, np.bool_)

    def numbers(self, key: str, *, least: float | None = None, default: float | None = None) -> Floats:
        """Numbers [N] from `least` to the square of `FARTHEST`; an absent `default` of NaN stays; NaN stands in."""
        values = self._values(key, default)
        most = FARTHEST**2

        def wrong(value: Any) -> str | None:
            if value is default and default is not None:
                return None
            if not _is_number(value):
                return "a finite number"
            if abs(value) > most:
                return f"a number up to {most:g}"
            return None if least is None or value >= least else f"a number of at least {least:g}"

        if set(map(type, values)) <= {int, float}:
            try:
                column = np.asarray(values, np.float64)
                low = -np.inf if least is None else least
                absent = np.isnan(column) if default is not None else np.False_
                if (absent | ((np.abs(column) <= most) & (column >= low))).all():
                    return column
            except OverflowError:
                pass
        return np.asarray(self._checked(key, values, wrong, np.nan), np.float64)

    def texts(self, key: str) -> list[str]:
        """Printable texts [N] that are not empty; an empty text stands in."""
        values = self._values(key, None)

        def wrong(value: Any) -> str | None:
            if type(value) is str and value.strip() and value.isprintable():
                return None
            return "a text that is not empty and can be printed"

        sound = set(map(type, values)) <= {str} and all(map(str.strip, values)) and all(map(str.isprintable, values))
        return values if sound else self._checked(key, values, wrong, "")

    def boxes(self, key: str) -> Floats:
        """Four finite numbers [N, 4]; NaN stands in."""
        values = self._values(key, None)
        if set(map(type, values)) <= {list} and set(map(len, values)) <= {4}:
            flat = [v for box in values for v in box]
            if set(map(type, flat)) <= {int, float}:
                try:
                    column = np.asarray(flat, np.float64).reshape(-1, 4)
                    if (np.abs(column) <= FARTHEST).all():
                        return column
                except OverflowError:
                    pass
        return np.asarray(self._checked(key, values, _box_fault, [np.nan] * 4), np.float64).reshape(-1, 4)

    def unique(self, key: str, values: Sequence[Any]) -> None:
        """Refuses every entry whose value an earlier one had; unsound entries do not count."""
        if len(set(values)) == len(values):
            return
        first: dict[Any, int] = {}
        for place, value in enumerate(values):
            if self.sound[place] and first.setdefault(value, place) != place:
                self.refuse(place, f"{key} {value!r} is that of {self.key}[{first[value]}] too; give it one of its own")

    def known(self, key: str, values: Ints, among: Ints, where: str) -> Bools:
        """Whether each value is among the known ones; a sound entry whose value is not is refused."""
        found = np.isin(values, among)
        for place in np.flatnonzero(~found & self.sound).tolist():
            self.refuse(place, f"{key} {values[place]} is not the id of one of the {where}")
        return found

    def refuse(self, place: int, what: str, hint: str = "") -> None:
        """Marks an entry as unsound and says why."""
        self.sound[place] = False
        self.problems.append(Problem(self.file, what, self.name_of(place), image_lost=self.lost, hint=hint))

    def name_of(self, place: int) -> str:
        """How a message names an entry: by its place, and by its id where it has one."""
        found = self.rows[place].get("id")
        return f"{self.key}[{place}]{'' if found is None or isinstance(found, dict | list) else f' (id {found!r:.30})'}"

    def _values(self, key: str, default: Any) -> list[Any]:
        absent = _ABSENT if default is None else default
        return [r.get(key, absent) for r in self.rows]

    def _checked(self, key: str, values: list[Any], wrong: Callable[[Any], str | None], stand_in: Any) -> list[Any]:
        """The values with the wrong ones named and replaced."""
        kept = []
        for place, value in enumerate(values):
            expected = wrong(value)
            if expected is None:
                kept.append(value)
                continue
            kept.append(stand_in)
            if value is not _ABSENT:
                self.refuse(place, f"{key} is {shown(value)}, expected {expected}")
            elif self.rows[place]:
                self.refuse(place, f"has no '{key}'{nearest(key, [str(k) for k in self.rows[place]])}")
            elif self.sound[place]:
                self.refuse(place, f"has no '{key}'")
        return kept


def _box_fault(value: Any) -> str | None:
    sound = type(value) is list and len(value) == 4 and all(_is_number(v) for v in value)
    if not sound:
        return "[x, y, width, height] of four finite numbers"
    return None if all(abs(v) <= FARTHEST for v in value) else f"numbers of px up to {FARTHEST:g}"


def _is_number(value: Any) -> bool:
    """Whether a value is an integer or a float that a float holds, and no boolean."""
    if type(value) is float:
        return bool(np.isfinite(value))
    return type(value) is int and abs(value) < 2**1023


def shown(value: Any) -> str:
    """A value for a message: what it says and, where that misleads, what it is."""
    word = _WORDS.get(type(value))
    text = f"{value!r:.60}{'...' if len(repr(value)) > 60 else ''}"
    return f"{text} ({word})" if word in ("text", "true or false") else text
