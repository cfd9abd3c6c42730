"""What values a parameter may take, read from its annotation, and what is said about a value that it may not take."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from assignbench.errors import nearest


class _Missing:
    """Marks a parameter without a default."""

    def __repr__(self) -> str:
        return "no default"


REQUIRED: Final = _Missing()
_TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a mapping",
}
# What is said about errors that need no more than the place, by pydantic's names of them.
_SAID = {
    "missing": "the key '{name}' is missing",
    "invalid_key": "the key '{name}' is no text; names are text (put it in quotes)",
    "too_short": "{name} is empty; name at least one",
    "too_long": "{name} has {actual_length} entries; {max_length} are the most",
    "string_too_long": "{name} is {value}, longer than {max_length} characters; shorten it",
}
# What pydantic adds to a place: which member of a union, or that a key was meant.
_KEY = "[key]"
_TAGS = ("str", "int", "float", "dict[str,any]")
# The members of our own unions, where a kind of value decides which one is meant.
_TAG = re.compile(r"\[(side|list|range|aspect)\]")


@dataclass(frozen=True)
class Word:
    """A parameter and what it may be: one of `options`, a number between `low` and `high`, or something of `kinds`.

    `low_open` and `high_open` say that the bound itself is not allowed. `item` is what a list holds, `fields` what a
    mapping with known keys holds; of one with keys of the user's own, `key` is what these may be and `value` what each
    has. `nullable` says that the parameter may be left empty.
    """

    name: str
    default: Any = REQUIRED
    options: tuple[Any, ...] = ()
    kinds: tuple[type, ...] = ()
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    nullable: bool = False
    pattern: str = ""
    item: Word | None = None
    fields: tuple[Word, ...] = ()
    key: Word | None = None
    value: Word | None = None

    @property
    def allowed(self) -> str:
        """What may stand here, in words."""
        if self.options:
            text = "one of " + ", ".join(str(o) for o in self.options)
        else:
            text = " or ".join(part for part in (self._alone(), self._many(), self._mapping()) if part)
        return f"{text} or nothing" if self.nullable and text else text

    def _alone(self) -> str:
        text = " or ".join(_TYPES[k] for k in self.kinds if k in _TYPES) + self._range()
        return text + (f" like {self.pattern}" if self.pattern else "")

    def _many(self) -> str:
        if self.item is None:
            return ""
        return f"a list, each {self.item.allowed}" if self.item.allowed else "a list"

    def _mapping(self) -> str:
        return "a mapping with " + ", ".join(f.name for f in self.fields) if self.fields else ""

    def _range(self) -> str:
        low = "" if self.low is None else f"{'above' if self.low_open else 'at least'} {_number(self.low)}"
        high = "" if self.high is None else f"{'below' if self.high_open else 'at most'} {_number(self.high)}"
        return "".join(f" {part}" for part in (low, "and" if low and high else "", high) if part)

    def nearest(self, value: Any) -> str:
        """The allowed value that is nearest to a refused one, in words; empty where none can be named."""
        if self.options:
            return nearest(str(value), [str(o) for o in self.options], always=True)
        if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
            if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
                return f"; the nearest is {'just above ' if self.low_open else ''}{_number(self.low)}"
            if self.high is not None and (value > self.high or (self.high_open and value == self.high)):
                return f"; the nearest is {'just below ' if self.high_open else ''}{_number(self.high)}"
        return ""


def _number(bound: float) -> str:
    """A bound, short where that is exact."""
    short = f"{bound:g}"
    return short if float(short) == bound and ("e" not in short or bound >= 1e16) else f"{bound:.17g}"


def plain_number(value: float) -> str:
    """A number for people: three digits at least, thousands apart, and never as a power of ten."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:  # also in the short form it would be one
        return f"{value:.6f}".rstrip("0").rstrip(".") if value else "0"
    return f"{value:.3g}"


def word(name: str, annotation: Any, default: Any = REQUIRED, metadata: Iterable[Any] = ()) -> Word:
    """What a parameter of this annotation may be."""
    found = Word(name, default)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found = word(name, arguments[0], default, arguments[1:])
    elif origin is Literal:
        found = replace(found, options=arguments)
    elif origin in (Union, types.UnionType):
        found = _union(found, arguments)
    elif origin in (tuple, list, Sequence) and arguments:
        found = replace(found, item=word(name, arguments[0]))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        found = replace(found, fields=words_of(annotation))
    elif origin is dict:
        found = replace(found, kinds=(dict,))
        if arguments and arguments[1] is not Any:
            found = replace(found, key=word(name, arguments[0]), value=word(name, arguments[1]))
    elif isinstance(annotation, type):
        found = replace(found, kinds=(annotation,))
    return _bounded(found, metadata)


def words_of(model: type[BaseModel]) -> tuple[Word, ...]:
    """What the fields of a description may be."""
    return tuple(
        word(
            f.alias or name,
            f.annotation,
            REQUIRED if f.is_required() else f.get_default(call_default_factory=True),
            f.metadata,
        )
        for name, f in model.model_fields.items()
    )


def _union(found: Word, arguments: tuple[Any, ...]) -> Word:
    """The words of all members together."""
    for argument in arguments:
        if argument is type(None):
            found = replace(found, nullable=True)
            continue
        part = word(found.name, argument)
        found = replace(
            found,
            options=(*found.options, *part.options),
            kinds=(*found.kinds, *part.kinds),
            low=part.low if found.low is None else found.low,
            high=part.high if found.high is None else found.high,
            pattern=found.pattern or part.pattern,
            low_open=found.low_open or part.low_open,
            high_open=found.high_open or part.high_open,
            item=found.item or part.item,
            fields=(*found.fields, *part.fields),
            key=found.key or part.key,
            value=found.value or part.value,
        )
    return found


def _bounded(found: Word, metadata: Iterable[Any]) -> Word:
    for mark in metadata:
        if isinstance(mark, FieldInfo):
            found = _bounded(found, mark.metadata)
        elif isinstance(mark, GroupedMetadata):
            found = _bounded(found, list(mark))
        elif isinstance(mark, Ge):
            found = replace(found, low=float(mark.ge))  # type: ignore[arg-type]
        elif isinstance(mark, Gt):
            found = replace(found, low=float(mark.gt), low_open=True)  # type: ignore[arg-type]
        elif isinstance(mark, Le):
            found = replace(found, high=float(mark.le))  # type: ignore[arg-type]
        elif isinstance(mark, Lt):
            found = replace(found, high=float(mark.lt), high_open=True)  # type: ignore[arg-type]
        elif isinstance(mark, MinLen) and set(found.kinds) == {str}:
            found = replace(found, pattern="any word")
        elif getattr(mark, "pattern", None):
            found = replace(found, pattern=str(mark.pattern))
    return found


def plain(place: Sequence[int | str]) -> tuple[int | str, ...]:
    """Where an error is, as it is written: without the validators and the tags that pydantic names on the way."""
    return tuple(p for p in place if not (isinstance(p, str) and (p.startswith("function-") or _TAG.fullmatch(p))))


def complaint(error: ErrorDetails, words: Sequence[Word]) -> str:
    """One of pydantic's errors in our words: the place, the value, what is allowed and the nearest of it."""
    place = plain(error["loc"])
    of_key = len(place) > 1 and place[-1] == _KEY
    if of_key:
        place = place[:-1]
    while len(place) > 1 and place[-1] in _TAGS and _found(place, words)[0] is None:
        place = place[:-1]
    name = ".".join(str(p) for p in place)
    found, siblings = _found(place, words)
    if error["type"] == "missing" and isinstance(place[-1], int):
        told = "1 entry" if place[-1] == 1 else f"{place[-1]} entries"
        return f"{name.rpartition('.')[0]} is {shown(list(error['input']))}, which has {told}; write one more"
    if error["type"] in _SAID:
        return _SAID[error["type"]].format(name=name, value=shown(error.get("input")), **error.get("ctx", {}))
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key '{name}'{nearest(str(place[-1]), [w.name for w in siblings])}"
    if error["type"] == "value_error":
        return f"{name}: {error['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    above = _found(place[:-1], words)[0] if of_key else None
    return _refused(name, error, found, place[-1] if of_key else None, above)


def _refused(name: str, error: ErrorDetails, found: Word | None, key: int | str | None, above: Word | None) -> str:
    """What is said of a value, or of a `key` of a mapping `above`, that may not stand there."""
    value = error.get("input")
    if key is not None:
        allowed = "" if above is None or above.key is None else f" (allowed: {above.key.allowed})"
        return f"{name}: the name {shown(key)} cannot stand here{allowed}"
    if found is not None and found.allowed:
        return f"{name} is {shown(value)}{found.nearest(value)} (allowed: {found.allowed})"
    return f"{name}: {error['msg']} (got {shown(value)})"


def complaints(problem: ValidationError, model: type[BaseModel], *, at: str = "") -> str:
    """All errors of a validation against a description on one line, each once; `at` is the key of what it describes."""
    words, errors = words_of(model), problem.errors()
    if at:
        words = (Word(at, fields=words),)
        for error in errors:
            error["loc"] = (at, *error["loc"])
    return "; ".join(dict.fromkeys(complaint(error, words) for error in errors))


def shown(value: Any) -> str:
    """A value as an error shows it: short, and text in quotes."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _found(place: tuple[int | str, ...], words: Sequence[Word]) -> tuple[Word | None, Sequence[Word]]:
    """The word at a place, and the words that stand beside it."""
    found: Word | None = None
    siblings = words
    for step in place:
        if isinstance(step, int):
            found, siblings = (None if found is None else found.item), ()
        elif found is not None and found.value is not None:
            found, siblings = found.value, ()
        else:
            siblings = words
            found = next((w for w in words if w.name == step), None)
            if found is None:
                return None, siblings
        words = found.fields if found is not None else ()
    return found, siblings
