"""Wrong values for a parameter, made from what its annotation allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assignbench.config.words import Word

NAN, INF = float("nan"), float("inf")
NUMBERS = (int, float)


@dataclass(frozen=True)
class Wrong:
    """A value that must be refused; `near` is what the message has to offer instead (empty: nothing can be named)."""

    value: Any
    near: str = ""
    what: str = ""


def wrong_values(word: Word) -> Iterator[Wrong]:
    """Misspelt words, numbers beyond each bound, other types, numbers that are not finite."""
    if word.options:
        for option in word.options:
            if isinstance(option, str):
                yield Wrong(option + option[-1], f"did you mean '{option}'?", "misspelt")
        yield Wrong(7, what="a number for a word")
        yield Wrong(NAN, what="not finite")
        return
    if word.fields:
        yield Wrong(5 if not set(word.kinds) & set(NUMBERS) else "text", what="no mapping")
    if word.item is not None:
        yield Wrong("text", what="no list")
        template = list(word.default) if isinstance(word.default, list | tuple) and word.default else [None]
        for wrong in wrong_values(word.item):
            if not word.item.item:
                yield Wrong([wrong.value, *template[1:]], wrong.near and "", f"item {wrong.what}")
    for wrong in _of_kinds(word):
        if not (word.item is not None and isinstance(wrong.value, list)):
            yield wrong


def written(bound: float) -> str:
    """A bound as people write it."""
    return str(int(bound)) if bound == int(bound) and bound < 1e16 else f"{bound:g}"


def _of_kinds(word: Word) -> Iterator[Wrong]:
    kinds = set(word.kinds)
    if kinds & set(NUMBERS):
        yield Wrong("many", what="text for a number")
        yield Wrong("1", what="a number in quotes")
        yield Wrong([1], what="a list for a number")
        yield Wrong(NAN, what="not finite")
        yield Wrong(INF, what="not finite")
        yield Wrong(-INF, what="not finite")
        if bool not in kinds:
            yield Wrong(True, what="true for a number")
        if kinds & set(NUMBERS) == {int}:
            yield Wrong(1.5, what="half for a whole number")
        if word.low is not None:
            low = int(word.low) if int in kinds and word.low == int(word.low) else word.low
            yield Wrong(low if word.low_open else low - 1, written(word.low), "below the range")
        if word.high is not None:
            high = int(word.high) if int in kinds and word.high == int(word.high) else word.high
            yield Wrong(high if word.high_open else max(high + 1, 2 * high), written(word.high), "above the range")
    elif bool in kinds:
        yield Wrong("yes", what="text for true")
        yield Wrong(1, what="a number for true")
        yield Wrong(NAN, what="not finite")
    elif str in kinds:
        yield Wrong(5, what="a number for text")
        yield Wrong([1], what="a list for text")


def walk(words: tuple[Word, ...], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Word]]:
    """All parameters below a description with their places; mappings come before what they hold."""
    for word in words:
        here = (*place, word.name)
        yield here, word
        yield from walk(word.fields, here)
