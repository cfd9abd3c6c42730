"""The strict reader of JSON: what it takes is what Python's reader takes; what it refuses is named with its place."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from assignbench.errors import InputError
from assignbench.json_files import Limits, load

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(content=VALUES, ascii=st.booleans(), indent=st.sampled_from([None, 1]))
def test_what_json_holds_comes_back(tmp_path_factory, content, ascii, indent) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_bytes(json.dumps(content, ensure_ascii=ascii, indent=indent).encode("utf-8", "replace"))
    assert load(path) == json.loads(path.read_bytes())


@given(
    before=st.lists(VALUES, max_size=3),
    fault=st.sampled_from(["NaN", "-Infinity", "Infinity", "1e999", "-1e+400", "9" * 400, '{"a": 1, "b": {}, "a": 2}']),
    lines=st.integers(0, 5),
)
def test_a_fault_is_named_with_its_line(tmp_path_factory, before, fault, lines) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    head = json.dumps(before)[:-1] + (", " if before else "")
    path.write_text(head + "\n" * lines + fault + "]")
    with pytest.raises(InputError) as caught:
        load(path)
    inner = fault.rfind('"a"') if fault[0] == "{" else 0
    column = inner + 1 + (0 if lines else len(head))
    assert str(caught.value).startswith(f"{path}: line {lines + 1}, column {column}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: not JSON"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6: not JSON"),
        ("[1, 2", "not JSON"),
        ('["\x01"]', "not JSON"),
        ("[" * 65 + "]" * 65, "nested deeper than 64 levels"),
        ("[" * 200_000, "nested deeper than 64 levels"),
        ('["]]]]]", ' * 70 + "1" + "]" * 70, "nested deeper than 64 levels"),
        ('{"a": 1, "\\u0061": 2}', "column 10: key 'a' is written twice"),
    ],
)
def test_what_is_refused(tmp_path, text, message) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_brackets_and_quotes_in_texts_are_no_structure(tmp_path) -> None:
    path = tmp_path / "a.json"
    content = {'\\"[' * 100: ['\\\\"', "[" * 100, '"'], "e999": "1e999 NaN"}
    path.write_text(json.dumps(content))
    assert load(path) == content
    assert load(path, Limits(values=8)) == content
    with pytest.raises(InputError, match="more than 3 values"):
        load(path, Limits(values=3))


def test_large_numbers_that_a_float_holds(tmp_path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1e308, 1e-400, " + "1" * 250 + "]")
    assert load(path) == [1e308, 0.0, int("1" * 250)] and math.isfinite(load(path)[0])


def test_files_that_are_none(tmp_path) -> None:
    with pytest.raises(InputError, match="no file"):
        load(tmp_path / "none.json")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    path = tmp_path / "a.json"
    path.write_bytes("[1,\n2]".encode("utf-16"))
    with pytest.raises(InputError, match="save it as UTF-8"):
        load(path)
    path.write_bytes(b'[1,\n"\xff"]')
    with pytest.raises(InputError, match="line 2: byte 5 is not UTF-8"):
        load(path)
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputError, match="is no regular file"):
            load(name)
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert load(path) == [1]
    with pytest.raises(InputError, match="has 6 bytes, at most 5 are read"):
        load(path, Limits(size=5))
