"""What the fields of a study may be, written down apart from the code that checks them, and what they may not be."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["number", "whole", "text", "choice", "flag", "list", "mapping"]
Place = tuple[str | int, ...]
DAY = datetime.date(2026, 1, 1)


class Raw(str):
    """YAML as it is written."""


@dataclass(frozen=True)
class Field:
    """A place of the sound study and what may stand there."""

    place: Place
    kind: Kind
    low: float | None = None
    high: float | None = None
    open: str = ""  # "low", "high" or both: the bound itself is refused
    options: tuple[str, ...] = ()
    empty: bool = False  # may be left empty
    also: tuple[type, ...] = ()  # other kinds that may stand there


def number(
    *place: str | int, low: float | None = None, high: float | None = None, open: str = "", **more: Any
) -> Field:
    """A real number."""
    return Field(place, "number", low, high, open, **more)


def whole(*place: str | int, low: float | None = None, high: float | None = None, **more: Any) -> Field:
    """A whole number."""
    return Field(place, "whole", low, high, **more)


def text(*place: str | int, **more: Any) -> Field:
    """Words."""
    return Field(place, "text", **more)


def choice(*place: str | int, options: tuple[str, ...], **more: Any) -> Field:
    """One of some words."""
    return Field(place, "choice", options=options, **more)


def flag(*place: str | int, **more: Any) -> Field:
    """True or false."""
    return Field(place, "flag", **more)


def listing(*place: str | int, **more: Any) -> Field:
    """A list."""
    return Field(place, "list", **more)


def mapping(*place: str | int, **more: Any) -> Field:
    """A mapping."""
    return Field(place, "mapping", **more)


_OF_ANY: dict[str, Any] = {"day": DAY, "nothing": None, "an empty list": [], "an empty mapping": {}, "a flag": True}
_OF_NUMBERS: dict[str, Any] = {
    "words": "abc",
    "a number as text": "3",
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "not a number": float("nan"),
    "beyond all floats": Raw("1.0e+999"),
    "base sixty": Raw("1:30"),
}
_OF_WHOLE: dict[str, Any] = {"a fraction": 1.5, "a whole float": 4.0, "thirty digits": 10**30}


def wrong(field: Field) -> Iterator[tuple[str, Any]]:
    """Values that a field may not have, with a name each."""
    for name, value in _wrong(field):
        if (value is None and field.empty) or type(value) in field.also:
            continue
        yield name, value


def _wrong(field: Field) -> Iterator[tuple[str, Any]]:
    yield from ((n, v) for n, v in _OF_ANY.items() if not _fits(field.kind, v))
    if field.kind in ("number", "whole"):
        yield from _OF_NUMBERS.items()
        yield from _OF_WHOLE.items() if field.kind == "whole" else ()
        step = 1 if field.kind == "whole" else 1e-3
        if field.low is not None:
            yield "below", (field.low if "low" in field.open else field.low - step)
        if field.high is not None:
            yield "above", (field.high if "high" in field.open else field.high + step)
    if field.kind == "text":
        yield from (("a number", 5), ("a float", 1.5))
    if field.kind == "choice":
        yield from (("a number", 5), ("misspelt", field.options[0] + "x"), ("empty", ""))
        yield "in capitals", field.options[-1].upper()
    if field.kind == "flag":
        yield from (("text", "true"), ("one", 1), ("quoted no", "no"))
    if field.kind in ("list", "mapping"):
        yield from (("a number", 5), ("words", "abc"))


def _fits(kind: Kind, value: Any) -> bool:
    return {"list": list, "mapping": dict, "flag": bool}.get(kind) is type(value)


def renderings(value: Any) -> tuple[str, ...]:
    """The ways in which an error may show a value."""
    if value is None:
        return ("None", "null", "nothing", "empty")
    if isinstance(value, Raw):
        return {"1.0e+999": ("inf", "1.0e+999"), "1:30": ("1:30", "90")}.get(value, (str(value),))
    if isinstance(value, datetime.date):
        return (value.isoformat(), "datetime.date(2026, 1, 1)")
    if isinstance(value, float):
        return (repr(value), f"{value:g}", f".{value!r}", f"-.{-value!r}")
    if isinstance(value, str):
        return (value,) if value else ("''", '""', "empty", "is missing")
    return (repr(value), json.dumps(value))
