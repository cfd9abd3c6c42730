"""Values that the fields of JSON annotations may not have, and the words in which an error may tell of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any


def changed(content: Any, place: Sequence[Any], value: Any) -> Any:
    """A copy with one value replaced; `...` takes it away."""
    made = deepcopy(content)
    target = made
    for step in place[:-1]:
        target = target[step]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return made


IDS: dict[str, Any] = {
    "a fraction": 1.5,
    "true": True,
    "words": "ten",
    "nothing": None,
    "a list": [10],
    "a mapping": {},
    "missing": ...,
    "of 70 bits": 2**70,
}
SIDES: dict[str, Any] = {
    "a fraction": 10.5,
    "true": True,
    "text": "200",
    "nothing": None,
    "zero": 0,
    "negative": -5,
    "missing": ...,
    "huge": 10**12,
}
BOXES: dict[str, Any] = {
    "three numbers": [1, 2, 3],
    "five numbers": [1, 2, 3, 4, 5],
    "text": "1,2,3,4",
    "numbers as text": ["1", "2", "3", "4"],
    "a flag": [True, 2, 3, 4],
    "nothing": None,
    "empty": [],
    "nothings": [None] * 4,
    "not a number": [float("nan"), 2, 3, 4],
    "infinite": [1, 2, float("inf"), 4],
    "negative sides": [50, 50, -20, 10],
    "a mapping": {"x": 1},
    "nested": [[1, 2, 3, 4]],
    "missing": ...,
    "huge": [1, 2, 10**400, 4],
    "beyond all floats": [1, 2, 1e300, 1e300],
}
FLAGS: dict[str, Any] = {
    "text": "0",
    "two": 2,
    "negative": -1,
    "nothing": None,
    "words": "yes",
    "a half": 0.5,
    "a list": [],
}
AREAS: dict[str, Any] = {
    "not a number": float("nan"),
    "infinite": float("inf"),
    "negative": -5,
    "text": "5",
    "nothing": None,
    "true": True,
    "a list": [5],
}
NAMES: dict[str, Any] = {"a number": 5, "nothing": None, "empty": "", "missing": ..., "a list": ["a"], "true": True}


def shown(value: Any) -> tuple[str, ...]:
    """The ways in which a value may be shown; an empty one can only be missed."""
    if value is ... or value in ("", [], {}):
        return ("",)
    if value is None:
        return ("None", "null", "neither", "has no", "missing", "empty")
    if unreadable(value):
        return ("nan", "NaN", "inf", "Infinity", "not finite", "digits", "beyond", "1000000000")
    if isinstance(value, float):
        return (repr(value), json.dumps(value), f"{value:g}")
    text = (repr(value), json.dumps(value), str(value))
    if isinstance(value, list) and all(type(v) is int for v in value):
        text += (repr([float(v) for v in value]),)
    return tuple(dict.fromkeys(t[:12] for t in text))


def words_for(key: str, value: Any = 0) -> tuple[str, ...]:
    """What an error may call a key; what no JSON number can be is told by line and column."""
    return (("column",) if unreadable(value) else ()) + {
        "bbox": ("bbox", "box"),
        "image_id": ("image_id", "image"),
        "category_id": ("category_id", "category id", "categor"),
    }.get(key, (key,))


def unreadable(value: Any) -> bool:
    """Whether the reader of JSON refuses a value before anybody knows what it is for."""
    if isinstance(value, list):
        return any(unreadable(v) for v in value)
    return (isinstance(value, float) and not math.isfinite(value)) or (type(value) is int and abs(value) > 1e308)
