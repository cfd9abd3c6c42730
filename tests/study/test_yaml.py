"""What YAML lets pass and a study does not: made by generation, each refused with its line before it can grow."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from assignbench.errors import InputError
from assignbench.study.yaml_lines import MOST_BYTES, MOST_ENTRIES, MOST_LEVELS, parse, read

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
KEYS = st.text("abcdefghij_", min_size=1, max_size=6)
NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    NUMBERS | st.booleans() | st.none() | st.text("abc xyz:#[]{}'\"é\n", max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
MAPPINGS = st.dictionaries(KEYS, TREES, min_size=1, max_size=5)


def refusal(folder: Path, text: str | bytes) -> str:
    """What is said about a file that must be refused."""
    path = folder / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    begin = time.process_time()
    with pytest.raises(InputError) as problem:
        read(path)
    assert time.process_time() - begin < 1.5
    return str(problem.value)


@given(MAPPINGS)
@SETTINGS
def test_plain_trees_come_back(tmp_path, tree) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True))
    content, lines = read(path)
    assert content == tree
    written = path.read_text().split("\n")
    for place, line in lines.items():
        if isinstance(place[-1], str):
            assert place[-1] in written[line - 1]


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a tree below its root."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in inner for place in ((*at, key), *places(value, (*at, key)))]


def changed(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The tree with another value at a place."""
    tree = copy.deepcopy(tree)
    target = tree
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return tree


BAD = {
    ".inf": "not a finite number",
    "-.INF": "not a finite number",
    ".nan": "not a finite number",
    "1e400": "not a finite number",
    "-1.0e+999": "not a finite number",
    "1" + "0" * 400: "not a finite number",
    "9" * 5000: "not a finite number",
    "0x" + "f" * 40: "not a finite number",
    str(2**63): "not a finite number",
    "010": "another number",
    "1:30": "another number",
    "190:20:30.15": "another number",
    "2024-01-01": "is the date",
    "2001-12-14t21:59:43.10-05:00": "is the date",
    "!!set {a, b}": "tag",
    "!!omap [a: 1]": "tag",
    "!!binary aGk=": "tag",
    "!!timestamp 2024-01-01": "tag",
    "!!float abc": "tag",
    "!!bool maybe": "tag",
    "!!python/name:os.system x": "tag",
    "!own 3": "tag",
    '"\\0"': "U+0000",
    '"\\e[31m"': "U+001B",
    '"\\ud800"': "U+D800",
    '"\\u202e"': "U+202E",
    "=": "quotes",
    "{a: 1, a: 2}": "the key",
    "{1: 2}": "is no text",
    "{0x1: a, 1: b}": "is no text",
    "{yes: 2}": "true or false",
    "{~: 2}": "nothing",
    "{[a]: 2}": "is no text",
    "{{a: 1}: 2}": "is no text",
    "{<<: 5}": "merging",
    "&x [*x]": "holds itself",
    "&x {b: {c: *x}}": "holds itself",
    "*gone": "undefined alias",
    "{a": "line",
    "'open": "line",
    "@x": "line",
    "[" * 40: "levels deep",
    "{a: " * 40: "levels deep",
}


@given(MAPPINGS, st.sampled_from(sorted(BAD)), st.data())
@SETTINGS
def test_a_bad_value_anywhere_is_named_with_its_line(tmp_path, tree, bad, data) -> None:
    place = data.draw(st.sampled_from(places(tree)))
    marked = yaml.safe_dump(changed(tree, place, "BADVALUE"), default_flow_style=False)
    (line,) = [n for n, text in enumerate(marked.splitlines(), 1) if "BADVALUE" in text]
    told = refusal(tmp_path, marked.replace("BADVALUE", bad))
    assert BAD[bad] in told
    if bad not in ("{a", "'open", "@x"):  # YAML notices some of these further down
        assert f"line {line}: " in told
    keys = [step for step in place if isinstance(step, str)]
    if "number" in BAD[bad] or "date" in BAD[bad]:
        assert f"{keys[-1]}" in told


@pytest.mark.parametrize("bad", sorted(BAD))
def test_every_bad_value(tmp_path, bad) -> None:
    assert BAD[bad] in refusal(tmp_path, f"a: 1\nb:\n  c: {bad}\n")
    with pytest.raises(yaml.YAMLError):
        parse(bad)


@given(MAPPINGS, st.data())
@SETTINGS
def test_a_key_twice_is_refused_in_every_style(tmp_path, tree, data) -> None:
    key = data.draw(st.sampled_from(sorted(tree)))
    text = yaml.safe_dump(tree, default_flow_style=False)
    (first,) = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(f"{key}:")]
    last = len(text.splitlines()) + 1
    written = data.draw(st.sampled_from([key, f"'{key}'", f'"{key}"', f"? {key}\n"]))
    told = refusal(tmp_path, f"{text}{written}: 1\n")
    assert f"line {last}: the key '{key}' stands in line {first} already" in told
    assert f"'{key}'" in refusal(tmp_path, "{" + f"{key}: 1, z: 3, '{key}': 2" + "}")


def test_merged_keys_may_be_replaced_but_not_merged_twice(tmp_path) -> None:
    content = parse("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 5}]}")
    assert content["y"] == {"a": 1, "b": 3} and content["z"] == {"a": 1, "b": 2, "c": 5}
    assert "<<: [*one, *two]" in refusal(tmp_path, "x: &x {a: 1}\ny: {<<: *x, <<: *x}\n")


def test_what_aliases_share_is_written_out() -> None:
    content = parse("x: &x {a: [1]}\ny: *x\nz: {<<: *x}")
    content["x"]["a"].append(2)
    assert content["y"] == content["z"] == {"a": [1]}


@given(st.integers(2, 30), st.integers(4, 12), st.booleans())
@SETTINGS
def test_alias_bombs(tmp_path, width, levels, merging) -> None:
    """`levels` anchors, each `width` times the one before: refused as soon as they are too many written out."""
    begin = "a0: &a0 {k: 1}\n" if merging else "a0: &a0 [x]\n"
    item = "{{<<: [{}]}}" if merging else "[{}]"
    rest = (f"a{i}: &a{i} " + item.format(", ".join([f"*a{i - 1}"] * width)) for i in range(1, levels))
    text = begin + "\n".join(rest) + "\n"
    entries = sum(width**i for i in range(levels))
    if entries > MOST_ENTRIES:
        assert f"more than {MOST_ENTRIES} entries" in refusal(tmp_path, text)
    elif entries * 8 < MOST_ENTRIES:
        assert len(parse(text)) == levels


def test_sizes(tmp_path) -> None:
    many = ", ".join(["1"] * (MOST_ENTRIES + 1))
    assert f"more than {MOST_ENTRIES} entries" in refusal(tmp_path, f"a: [{many}]")
    assert "larger than" in refusal(tmp_path, "# x\n" * MOST_BYTES)
    assert parse("[" * (MOST_LEVELS - 1) + "]" * (MOST_LEVELS - 1)) is not None


@given(st.binary(min_size=1, max_size=200))
@SETTINGS
def test_bytes_are_a_mapping_or_refused(tmp_path, content) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(read(path)[0], dict)
    except InputError as problem:
        assert str(problem).startswith(str(path))


@given(st.text("{}[]&*!|>%@`'\"#,:-? \t\nab1.~<=\\0", max_size=60))
@SETTINGS
def test_every_text_is_a_value_or_a_yaml_error(text) -> None:
    try:
        value = parse(text)
    except yaml.YAMLError:
        return
    assert not isinstance(value, float) or math.isfinite(value)


def test_encodings(tmp_path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes("\ufefftitle: é\r\nb: 1\r\n".encode())
    assert read(path)[0] == {"title": "é", "b": 1}
    assert "line 2" in refusal(tmp_path, "a: 1\ntitle: é".encode("latin-1"))
    assert "not UTF-8" in refusal(tmp_path, "a: 1".encode("utf-16"))
    assert "line 2: holds the control character U+0000" in refusal(tmp_path, b"a: 1\nb: \0\n")
    assert "indent with spaces" in refusal(tmp_path, "a:\n\tb: 1\n")
