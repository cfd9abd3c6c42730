"""Every number that a study can set has a lower and an upper bound, found by walking the descriptions themselves."""

from __future__ import annotations

from collections.abc import Iterator

import assignbench.study.spec
from assignbench.assigners import ASSIGNERS
from assignbench.assigners.criteria import CRITERIA
from assignbench.config.base import Config
from assignbench.config.words import Word, words_of

# Without bounds of their own, and why.
FREE = {
    "CellConfig.format": "written by the program, and compared with its own",
    "ImportedConfig.format": "the same",
    "MethodEntry.nms": "a bare number is checked as nms.iou",
}


def descriptions(base: type[Config]) -> Iterator[type[Config]]:
    for found in base.__subclasses__():
        if found.__module__.startswith("assignbench."):
            yield found
        yield from descriptions(found)


def numbers(word: Word, at: str) -> Iterator[tuple[str, Word]]:
    if set(word.kinds) & {int, float}:
        yield at, word
    if word.item is not None:
        yield from numbers(word.item, f"{at}[]")


def test_every_number_of_a_description_has_bounds() -> None:
    assert assignbench.study.spec.StudySpec in set(descriptions(Config))
    found = {
        place: word
        for model in set(descriptions(Config))
        for entry in words_of(model)
        for place, word in numbers(entry, f"{model.__name__}.{entry.name}")
    }
    assert len(found) > 50
    free = {place for place, word in found.items() if word.low is None or word.high is None}
    assert free == {place for place in FREE if place in found}


def test_every_number_of_an_assigner_or_criterion_has_bounds() -> None:
    free = [
        f"{registry.kind} {name}: {place}"
        for registry in (ASSIGNERS, CRITERIA)
        for name in registry
        for entry in registry.words(name).values()
        for place, word in numbers(entry, entry.name)
        if word.low is None or word.high is None
    ]
    assert free == []
