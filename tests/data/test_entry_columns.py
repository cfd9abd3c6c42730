"""Columns of a large file: believed only where the exact reader takes the file, and then equal to what that takes."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import assignbench.data.instances as instances
from assignbench.data.entry_columns import Columns, Doubt, read_columns
from assignbench.data.instances import Instances, read_instances
from assignbench.errors import InputError
from tests.data.test_mutants import changed, scrambled

COLUMNS = (
    "images",
    "widths",
    "heights",
    "ids",
    "owners",
    "category_ids",
    "boxes",
    "areas",
    "crowd",
    "ignored",
    "places",
)
# What a sound file may be told in: none of these is a reason for doubt.
ALL_FIELDS = {"segmentation": [[1.5, 2, 3e-2, -4], [0, 0]], "attributes": {"occluded": True, "id": None}}
NEAR = [
    *('{"id": 1, "id": 2}', '{"id": 1, "\\u0069d": 2}', '{"a": [{"b": 1}, {"b": 2}]}', '{"a": {"b": 1, "b": 2}}'),
    *('{"id": 01}', '{"id": -0}', '{"id": 1.0}', '{"id": 1e3}', '{"id": 9223372036854775808}', '{"id": 1,}'),
    *('{"id": 1 2}', "{} {}", "{},, {}", "{} 5", '"x"', "null", "[]", "{}, 3", "{}\x00", '{"id": NaN}'),
    *('{"x": Infinity}', '{"x": 1e999}', '{"x": "\\ud800"}', '{"x": "\\ud83d\\ude00"}', '{"x": "a\\"], ["}'),
    *('{"x": "tab\t"}', '{"x": "\\q"}', '{"x\\"": 1}', '{"id": true}', '{"id": null}', '{"iscrowd": null}'),
    *('{"iscrowd": 0.0}', '{"area": "1"}', '{"area": null}', '{"area": 5}', '{"bbox": [1, 2, 3]}'),
    *('{"bbox": [1, 2, 3, null]}', '{"bbox": null}', '{"bbox": {}}', '{"bbox": [[1], 2, 3, 4]}', '{"x": .5}'),
    *('{"x": 1.}', '{"x": +1}', '{"x": 1e}', '{"x": -}', '{"x": tru}', '{"x": nul}', "{'x': 1}", "{x: 1}"),
    *('{"' + "k" * 40 + '": 1}', '{"": 1, "": 2}', '{"é": 1}', '{"x": 1 // 2\n}', '{"x": "\x7f\x1f"}'),
    *('{"a":{"a":{"a":1}}}',),
]


@pytest.fixture
def content(coco_folder: Path) -> dict:
    return json.loads((coco_folder / "instances.json").read_text())


def told(read) -> tuple[object, ...]:
    """Everything that a reader says of a file: its columns, its problems, or its error."""
    try:
        found: Instances = read()
    except InputError as problem:
        return ("refused", str(problem))
    columns = tuple((getattr(found, c).dtype, getattr(found, c).tolist()) for c in COLUMNS)
    return (found.names, found.categories, [str(p) for p in found.problems], found.annotated, repr(columns))


def both(path: Path, monkeypatch: pytest.MonkeyPatch, *, bare: bool = False) -> tuple[bool, tuple[object, ...]]:
    """Whether the columns were believed, and what both ways say of a file, which is the same."""
    sure = []

    def watched(*given, **named):
        found = read_columns(*given, **named)
        sure.append(found)
        return found

    def doubting(*given, **named):
        raise Doubt

    with monkeypatch.context() as patch:
        patch.setattr(instances, "read_columns", watched)
        ours = told(lambda: read_instances(path, bare=bare))
        patch.setattr(instances, "read_columns", doubting)
        exact = told(lambda: read_instances(path, bare=bare))
    assert ours == exact
    return bool(sure), ours


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", ["values", "text"])
def test_changed_files_are_told_of_as_by_the_exact_reader(coco_folder, content, monkeypatch, seed, how) -> None:
    rng, path = random.Random(seed), coco_folder / "mutant.json"
    for item in content["annotations"]:
        item.update(ALL_FIELDS)
    refused = 0
    for number in range(40):
        text = json.dumps(content, indent=rng.choice([None, 1]))
        raw = json.dumps(changed(content, rng)).encode() if how == "values" else scrambled(text, rng)
        path.write_bytes(raw)
        _, said = both(path, monkeypatch, bare=number % 3 == 0)
        refused += said[0] == "refused" or bool(said[2])
    assert refused > 10


@pytest.mark.parametrize("piece", NEAR)
@pytest.mark.parametrize("where", ["images", "annotations", "categories", "other", "top"])
def test_what_is_nearly_json_or_nearly_sound(coco_folder, content, monkeypatch, piece, where) -> None:
    for item in content["annotations"]:
        item.update(ALL_FIELDS)
    content["other"] = [{"a": 1}]
    text = json.dumps(content)
    if where == "top":
        text = f'{{"more": {piece}, {text[1:]}'
    else:
        text = text.replace(f'"{where}": [', f'"{where}": [{piece}, ')
    path = coco_folder / "near.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    both(path, monkeypatch)
    entry = text.replace(f'"{where}": [{piece}, {{', f'"{where}": [{{{piece[1:-1]}, ')  # its keys in a sound entry
    path.write_bytes(entry.encode("utf-8", "surrogatepass"))
    both(path, monkeypatch)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"3", b'{"images": [], "annotations": []}', b"{" * 70])
def test_small_files(tmp_path, monkeypatch, raw) -> None:
    (tmp_path / "a.json").write_bytes(raw)
    both(tmp_path / "a.json", monkeypatch)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ascii", [True, False])
def test_sound_files_are_believed(coco_folder, content, monkeypatch, indent, mark, ascii) -> None:
    for item in content["annotations"]:
        item.update(ALL_FIELDS)
    content["annotations"][0].pop("area", None)
    content["annotations"][0].pop("iscrowd", None)
    content["images"][0] |= {"note": 'a "quoted" \\ text, [{\u00e9\U0001f600'}
    content["info"] = {"annotations": [1, 2], "images": {"id": 1, "x": {"id": 2}}}
    path = coco_folder / "sound.json"
    for order in (list(content), list(content)[::-1]):
        told = json.dumps({k: content[k] for k in order}, indent=indent, ensure_ascii=ascii)
        path.write_bytes(mark + told.encode())
        believed, said = both(path, monkeypatch)
        assert believed and said[2] == []


@pytest.mark.parametrize("block", [7, 64, 300])
def test_where_a_file_is_cut_into_blocks_does_not_matter(coco_folder, content, monkeypatch, block) -> None:
    monkeypatch.setattr("assignbench.json_files._BLOCK", block)
    monkeypatch.setattr("assignbench.data.entry_columns._CHUNK", block)
    monkeypatch.setattr("assignbench.data.entry_columns._BLOCK", block)
    for number, item in enumerate(content["annotations"]):
        item.update(ALL_FIELDS, note="\\" * number + '"' * (number % 3) + "é")
    path = coco_folder / "sound.json"
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    believed, said = both(path, monkeypatch)
    assert believed and said[2] == []
    text = path.read_text("utf-8").replace('"note"', '"id"')
    path.write_text(text, "utf-8")
    assert not both(path, monkeypatch)[0]


def test_columns_hold_to_the_limits_of_entries() -> None:
    raw = b'{"a": [{"n": 5, "f": 1, "t": "x", "b": [1, 2, 3, 4]}, {"n": -7, "f": 0, "t": "y", "b": [0, 0, 0, 1e9]}]}'
    import pyarrow as pa

    columns = [("n", pa.int64()), ("f", pa.int64()), ("t", pa.string()), ("b", pa.list_(pa.float64()))]
    content, lists = read_columns(Path("a.json"), raw, {"a": pa.schema(columns)})
    found: Columns = lists["a"]
    assert content == {"a": []} and len(found) == 2 and found.sound.all()
    assert found.integers("n").tolist() == [5, -7] and found.flags("f").tolist() == [True, False]
    assert found.texts("t") == ["x", "y"] and found.boxes("b")[1, 3] == 1e9
    for wrong in (
        lambda: found.integers("n", least=-6),
        lambda: found.integers("n", most=4),
        lambda: found.flags("n"),
        lambda: found.numbers("n", least=0.0),
        lambda: found.unique("x", [1, 1]),
        lambda: found.known("n", np.array([5, -7]), np.array([5]), "images"),
    ):
        with pytest.raises(Doubt):
            wrong()
