"""Every generated case of spoilt, hostile or unusual input is handled."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.malformed.families import FAMILIES
from tests.malformed.harness import Case, judged

pytestmark = pytest.mark.usefixtures("figures_of_pages")

# How many tests a family is cut into, so that they can run side by side.
PARTS = {
    "study values": 16,
    "analyze": 6,
    "records": 6,
    "records inside": 3,
    "voc": 4,
    "coco": 4,
    "study keys": 3,
    "study structure": 3,
    "hostile": 3,
    "hostile records": 6,
    "csv": 3,
    "images": 2,
}
LEAST = 1500  # cases of all families


@cache
def made(family: str) -> tuple[Case, ...]:
    """The cases of a family; made where they are run, not while tests are collected."""
    return tuple(FAMILIES[family]())


@pytest.mark.parametrize(("family", "part"), [(f, p) for f in FAMILIES for p in range(PARTS.get(f, 1))])
def test_every_case_is_handled(family: str, part: int, tmp_path: Path) -> None:
    failures = []
    for number, case in enumerate(made(family)):
        if number % PARTS.get(family, 1) == part:
            folder = tmp_path / str(number)
            problems = judged(case, folder)
            shutil.rmtree(folder)
            failures += [f"{case.id}: {' | '.join(problems)}"] if problems else []
    assert not failures, f"{len(failures)} cases are not handled:\n" + "\n".join(failures)


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    ids = [case.id for family in FAMILIES for case in made(family)]
    assert len(ids) >= LEAST
    assert len(set(ids)) == len(ids), sorted({i for i in ids if ids.count(i) > 1})
