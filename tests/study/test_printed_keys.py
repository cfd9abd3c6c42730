"""The keys that name printed rows: wrong values at every place, empty entries, and rows under `published`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from assignbench.errors import InputError
from assignbench.study.published import as_tables, printed_tables
from assignbench.study.reading import read_study
from tests.study.test_hostile import refusal
from tests.study.test_words import study

CELLS = ["retinanet-slim/iou", "retinanet-slim/atss", "fcos-slim/iou", "fcos-slim/atss"]
KEYS: dict[str, Any] = {
    "tables": {"paa_table1": {CELLS[0]: [1, 3], CELLS[1]: [2]}, "ltm_table1": {CELLS[0]: [2]}},
    "readings": {"paa_table1": {CELLS[1]: [1]}},
    "across": {"paa_table1": [[1, 2], [3, 2]]},
    "not_run": [
        {"rows": {"paa_table1": [4, 5]}, "claims": [59], "why": "no time"},
        {"claims": [60], "why": "a figure"},
    ],
}
WRONG = (
    None,
    True,
    7.5,
    "text",
    0,
    -3,
    10**6,
    float("nan"),
    [],
    {},
    [[]],
    [{}],
    [None],
    {"a": 1},
    {"a": [1]},
    [1, "x"],
)
# What pydantic says by itself, in English of its own.
FOREIGN = re.compile(
    r"[Ii]nput should|should (be|match|have)|valid (integer|dict|list|tuple|string)|at least \d+ item|pydantic"
)


def sound(**changes: Any) -> dict[str, Any]:
    made = study(detectors=["retinanet-slim"], methods=["iou", {"name": "atss", "baseline": "iou"}], **deepcopy(KEYS))
    return {**made, **changes}


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(value, dict | list):
        for step, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(below, (*place, step))


def put(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    target: Any = content
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return content


def at(content: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        content = content[step]
    return content


def test_the_sound_keys_are_read(tmp_path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(sound()))
    assert read_study(tmp_path / "study.yaml").spec.not_run[0].why == "no time"


# A null takes `tables` and `readings` out of a variant; a list takes the place of all of `not_run`, also an empty one.
ALLOWED = [(("tables",), None), (("readings",), None), (("not_run",), [])]


@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_value_at_every_place_is_refused_in_our_words(tmp_path, key) -> None:
    for place in ((key, *below) for below in places(KEYS[key])):
        for value in WRONG:
            of_kind = isinstance(value, str) and isinstance(at(KEYS, place), str)
            if of_kind or (place, value) in ALLOWED:
                continue
            told = refusal(tmp_path, put(sound(), place, deepcopy(value)))
            assert "study.yaml: line " in told and not FOREIGN.search(told), (place, value, told)
            assert any(key in line for line in told.splitlines()), (place, value, told)


@pytest.mark.parametrize("key", ["tables", "readings", "across", "not_run"])
def test_what_is_empty_says_nothing_and_is_refused(tmp_path, key) -> None:
    """Wherever a mapping or a list stands, below not_run too; texts are the reasons."""
    for place in ((key, *below) for below in places(KEYS[key])):
        there = at(KEYS, place)
        if isinstance(there, int) or (place, type(there)()) in ALLOWED:
            continue
        told = refusal(tmp_path, put(sound(), place, type(there)()))
        assert re.search("is empty; name at least one|has 0 entries; write one more|write the reason|is missing", told)
    for entry in ({"why": "x"}, {"why": " ", "claims": [59]}):
        told = refusal(tmp_path, sound(not_run=[entry]))
        assert "not_run.0" in told and ("names neither rows nor claims" in told or "write the reason" in told)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 61, "é"])
@pytest.mark.parametrize("key", ["tables", "readings", "across", "areas", "presets"])
def test_a_name_that_cannot_be(tmp_path, key, name) -> None:
    value = {"across": [[1, 2]], "areas": [0, 1], "presets": {}}.get(key, {CELLS[0]: [1]})
    told = refusal(tmp_path, study(**{key: {name: value}}))
    assert "line " in told and key in told and not FOREIGN.search(told)


GIVEN = [None, 5, 6.5, True, "x", "mlc_table3", [], [6], ["mlc_table3"], {}, {"mlc_table3": 6}, {"mlc_table3": [6, 7]}]
GIVEN += [
    {"mlc_tabel3": 6},
    {"mlc_table3": 600},
    {"mlc_table3": "6"},
    {"mlc_table3": None},
    {"mlc_table3": {"a/b": [6]}},
]


@pytest.mark.parametrize("value", GIVEN, ids=str)
def test_rows_under_published_are_led_to_tables(tmp_path, value) -> None:
    """At the study and at an entry: each is told how to write it, with the cell that the entry is of."""
    told = refusal(tmp_path, study(published=value))
    assert "published" in told and "write tables: {" in told and not FOREIGN.search(told)
    told = refusal(tmp_path, study(methods=[{"name": "iou", "published": value}]))
    assert "methods.0" in told and "write tables: {" in told
    assert "DETECTOR/iou" in told or "{...}" in told
    told = refusal(tmp_path, study(detectors=[{"name": "retinanet-slim", "label": "slim", "published": value}]))
    assert "detectors.0" in told and ("slim/METHOD" in told or "{...}" in told)


def test_every_printed_row_is_led_to_its_place_or_told_to_be_none() -> None:
    """By generation: all rows of all tables, those that are cited, and one beyond the last."""
    for name, table in printed_tables().items():
        for number in range(len(table.rows) + 2):
            row = table.row(number)
            told = as_tables({name: number}, "net/m")
            if row is not None and row.own:
                assert told.endswith(f"write tables: {{{name}: {{net/m: [{number}]}}}}")
            else:
                why = "is cited there from elsewhere" if row else "is no row of it"
                assert f"{number} {why}; those of {table.title} are " in told and "net/m: [row]" in told
    assert "did you mean 'mlc_table3'" in as_tables({"mlc_tabel3": 6})
    assert "{mlc_table3: {a/b: [row]}}" in as_tables("mlc_tabel3", "a/b")
    assert 'published: "none: too dear"' in as_tables({"none": "too dear"})


def test_a_reason_is_still_one(tmp_path) -> None:
    for text in ("", "none: nobody printed it"):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(published=text)))
        assert read_study(tmp_path / "study.yaml").spec.published == text
    with pytest.raises(InputError, match="neither empty nor"):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(published="none: ")))
        read_study(tmp_path / "study.yaml")
