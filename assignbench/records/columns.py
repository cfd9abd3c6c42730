"""What a schema is made of, and the check of a table or a JSON object against it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types

from assignbench.errors import InputError, nearest

# Of a measure also a class in brackets: AP[tie].
_FAMILIES = {"{n}": r"\d+", "{measure}": r"[A-Za-z_]\w*(\[.+\])?"}
ColumnType = Literal["int", "float", "bool", "text", "number", "list", "object"]


@dataclass(frozen=True)
class Column:
    """One column of a table, or one key of a JSON file.

    A name with braces stands for a family of columns: "{n}" is a number, any other word in braces is a name
    ("level{n}_cls" covers level0_cls, level1_cls, ...). `unit` is "" for pure numbers, ids and text. An `optional`
    column may be absent; `missing` says in which rows a value may be (NaN, or null in JSON), "" if in none.
    "number" is any of int, float and bool.
    """

    name: str
    type: ColumnType
    meaning: str
    unit: str = ""
    optional: bool = False
    missing: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """What the names of a family match; None for a column of its own."""
        if "{" not in self.name:
            return None
        parts = re.split(r"(\{\w+\})", self.name)
        return re.compile("".join(_FAMILIES.get(p, r"[A-Za-z_]\w*") if "{" in p else re.escape(p) for p in parts))

    def covers(self, name: str) -> bool:
        """Whether a column of this name is meant."""
        return name == self.name if self.pattern is None else bool(self.pattern.fullmatch(name))


@dataclass(frozen=True)
class TableSchema:
    """A file of a cell's folder: where it lies ("{n}" stands for digits), what it holds, and its columns in order.

    `optional`: the file may be missing from a finished cell.
    """

    name: str
    file: str
    about: str
    columns: tuple[Column, ...]
    optional: bool = False

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"schema '{self.name}' names column '{twice[0]}' twice")

    def column(self, name: str) -> Column | None:
        """The column of that name: its own entry before a family that would cover it too."""
        covering = [c for c in self.columns if c.covers(name)]
        return min(covering, key=lambda c: c.pattern is not None, default=None)

    def extended(self, *columns: Column) -> TableSchema:
        """The same with more columns, such as the factors that a data set of your own knows about its objects."""
        return replace(self, columns=(*self.columns, *columns))

    def table(self, frame: pd.DataFrame, place: str) -> pd.DataFrame:
        """The frame if it fits; columns of an empty one get their types, which pandas cannot know.

        Raises InputError naming `place` (the file), the column and what was expected.
        """
        self._names([str(c) for c in frame.columns], place)
        if not len(frame):
            return frame.astype({c: _NUMPY[self._known(c).type] for c in frame.columns})
        for name in frame.columns:
            _check_column(self._known(name), frame[name], place)
        return frame

    def written(self, frame: pd.DataFrame, place: str) -> None:
        """Checks a table that was read back: its columns must be there and fit, whatever others it has.

        Raises InputError as `table` does.
        """
        self._needed([str(c) for c in frame.columns], place)
        for name in frame.columns:
            column = self.column(str(name))
            integers = _FITS["int"](frame[name])  # numbers all the same, where another tool wrote the table
            if column is not None and len(frame) and not (integers and column.type == "float"):
                _check_column(column, frame[name], place)

    def mapping(self, content: Mapping[str, Any], place: str) -> None:
        """Checks a JSON object, or one line of JSON lines. Raises InputError as `table` does."""
        self._names(list(content), place)
        self.values(content, place)

    def values(self, content: Mapping[str, Any], place: str) -> None:
        """Checks the values of the keys that are known, whatever others there are or are missing. Raises InputError."""
        for name, value in content.items():
            column = self.column(name)
            if column is None:
                continue
            if value is None:
                if not column.missing:
                    raise InputError(f"{place}: '{name}' is null, which its schema does not allow: {column.meaning}")
            elif not isinstance(value, _JSON[column.type]) or (
                isinstance(value, bool) and column.type in ("int", "float")
            ):
                raise InputError(f"{place}: '{name}' is {value!r}, expected {column.type}: {column.meaning}")

    def _known(self, name: str) -> Column:
        column = self.column(name)
        if column is None:
            raise InputError(f"schema '{self.name}' has no column '{name}'")
        return column

    def _names(self, names: list[str], place: str) -> None:
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InputError(f"{place}: column '{twice[0]}' is there {names.count(twice[0])} times; keep one")
        for name in names:
            if self.column(name) is None:
                known = [c.name for c in self.columns]
                raise InputError(
                    f"{place}: unknown column '{name}'{nearest(name, known)}; a new column needs an entry in "
                    "assignbench/records/schema.py with type, unit and meaning"
                )
        self._needed(names, place)

    def _needed(self, names: list[str], place: str) -> None:
        for column in self.columns:
            if not column.optional and not any(self.column(n) is column for n in names):
                raise InputError(f"{place}: column '{column.name}' is missing ({column.type}: {column.meaning})")


def _check_column(column: Column, values: pd.Series, place: str) -> None:
    """Raises InputError for values of another type, and for missing ones where none may be."""
    if not _FITS[column.type](values):
        raise InputError(
            f"{place}: column '{values.name}' has type {values.dtype}, expected {column.type}: {column.meaning}"
        )
    empty = 0 if column.missing else int(values.isna().sum())
    if empty:
        raise InputError(
            f"{place}: column '{values.name}' has no value in {empty} of {len(values)} rows (first: row "
            f"{int(np.flatnonzero(values.isna())[0])}), which its schema does not allow: {column.meaning}"
        )


def _all_text(values: pd.Series) -> bool:
    return bool(types.is_string_dtype(values.dtype)) or all(isinstance(v, str) for v in values)


def _of_kind(kinds: str) -> Callable[[pd.Series], bool]:
    return lambda values: isinstance(values.dtype, np.dtype) and values.dtype.kind in kinds


def _never(values: pd.Series) -> bool:
    return False


# What a column's values may be in a table: numpy's own types only, so that every reader of parquet sees the same.
_FITS: dict[str, Callable[[pd.Series], bool]] = {
    "int": _of_kind("iu"),
    "float": _of_kind("f"),
    "bool": _of_kind("b"),
    "number": _of_kind("iufb"),
    "text": _all_text,
    "list": _never,
    "object": _never,
}
_NUMPY: dict[str, str] = {
    "int": "int64",
    "float": "float64",
    "bool": "bool",
    "number": "float64",
    "text": "object",
    "list": "object",
    "object": "object",
}
_JSON: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "number": (int, float, bool),
    "text": (str,),
    "list": (list,),
    "object": (dict,),
}
