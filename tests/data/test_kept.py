"""What is kept of files that were read: the same content again, never of another file, and never an error."""

import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import assignbench.data.instances as instances
from assignbench.data import kept
from assignbench.data.base import texts_of
from assignbench.data.instances import read_instances
from assignbench.data.kinds.coco import read_coco
from assignbench.errors import InputError
from tests.data.test_entry_columns import told


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are kept too, and files that were just written are trusted to stay."""
    monkeypatch.setattr(kept, "WORTH", 1)
    monkeypatch.setattr(kept, "FEW", 1)
    monkeypatch.setattr(kept, "SETTLED_NS", -(10**12))
    monkeypatch.setattr("assignbench.records.hashes.SETTLED_NS", -(10**12))


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The annotation files that were read, not taken from the cache."""
    found: list[Path] = []
    before = instances.read_bytes

    def watched(path: Path, *given, **named) -> bytes:
        found.append(path)
        return before(path, *given, **named)

    monkeypatch.setattr(instances, "read_bytes", watched)
    return found


def spoil(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    content["annotations"][0].update(changes)
    path.write_text(json.dumps(content))


def test_an_annotation_file_is_read_once(coco_folder, tmp_path, everything_is_large, readings) -> None:
    path, cache = coco_folder / "instances.json", tmp_path / "cache"
    content = json.loads(path.read_text())
    content["annotations"].append({"id": 9, "image_id": 10, "category_id": 3, "bbox": [1, 2, 3, "4"]})
    content["images"][0]["file_name"] = "0 \u00e9.png"
    path.write_text(json.dumps(content))
    first, again = (told(lambda: read_instances(path, cache=cache)) for _ in range(2))
    assert first == again == told(lambda: read_instances(path)) and first[2]
    assert readings == [path, path]  # once with and once without a cache
    copy = path.with_name("copy.json")
    copy.write_bytes(path.read_bytes())
    found = read_instances(copy, cache=cache)  # the same content under another name, which its problems have
    assert len(readings) == 2 and found.path == copy and found.problems[0].file == "copy.json"
    spoil(path, bbox=[1, 1, 2, 2])
    assert read_instances(path, cache=cache).boxes[0].tolist() == [1, 1, 2, 2]
    assert len(readings) == 3


def test_a_file_without_annotations_is_kept_for_those_who_may_read_it(
    coco_folder, tmp_path, everything_is_large
) -> None:
    path, cache = coco_folder / "instances.json", tmp_path / "cache"
    content = json.loads(path.read_text())
    del content["annotations"]
    path.write_text(json.dumps(content))
    for _ in range(2):
        assert not read_instances(path, bare=True, cache=cache).annotated
        with pytest.raises(InputError, match="has no list 'annotations'"):
            read_instances(path, cache=cache)


def test_what_is_refused_is_refused_again(coco_folder, tmp_path, everything_is_large) -> None:
    path, cache = coco_folder / "instances.json", tmp_path / "cache"
    path.write_text(path.read_text()[:-5])
    first, again = (told(lambda: read_instances(path, cache=cache)) for _ in range(2))
    assert first == again and first[0] == "refused"


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other", "bit"])
def test_a_broken_cache_costs_time_alone(coco_folder, tmp_path, everything_is_large, readings, damage) -> None:
    path, cache = coco_folder / "instances.json", tmp_path / "cache"
    sound = told(lambda: read_instances(path, cache=cache))
    (held,) = (cache / "annotations").glob("*.npz")
    raw = bytearray(held.read_bytes())
    if damage == "cut":
        raw = raw[: len(raw) // 2]
    elif damage == "bit":
        raw[raw.index(np.float64(5).tobytes())] ^= 4  # within the boxes
    held.write_bytes({"empty": b"", "text": b"{}"}.get(damage, bytes(raw)))
    if damage == "other":
        with held.open("wb") as file:
            np.savez(file, boxes=np.zeros(3), texts=np.zeros(2, np.uint8))
    assert told(lambda: read_instances(path, cache=cache)) == sound
    assert len(readings) == 2
    assert told(lambda: read_instances(path, cache=cache)) == sound
    assert len(readings) == 2  # it is whole again


@pytest.mark.parametrize("seed", range(4))
def test_a_cache_that_was_changed_at_random(coco_folder, tmp_path, everything_is_large, seed) -> None:
    rng, path, cache = random.Random(seed), coco_folder / "instances.json", tmp_path / "cache"
    sound = told(lambda: read_instances(path, cache=cache))
    (held,) = (cache / "annotations").glob("*.npz")
    whole = held.read_bytes()
    for _ in range(40):
        raw = bytearray(whole)
        for _ in range(rng.choice([1, 1, 5])):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        held.write_bytes(raw[: rng.choice([len(raw), len(raw), rng.randrange(len(raw))])])
        assert told(lambda: read_instances(path, cache=cache)) == sound


def test_where_nothing_can_be_kept(coco_folder, tmp_path, everything_is_large) -> None:
    cache = tmp_path / "cache"
    cache.write_text("no folder")
    data = read_coco(coco_folder, "instances.json", "images", name="mine", cache=cache)
    assert len(data) == 3 and cache.read_text() == "no folder"


def test_only_the_latest_are_kept(coco_folder, tmp_path, everything_is_large, monkeypatch) -> None:
    monkeypatch.setattr(kept, "MOST", 3)
    for number in range(5):
        spoil(coco_folder / "instances.json", note=number)
        read_instances(coco_folder / "instances.json", cache=tmp_path)
        time.sleep(0.01)
    assert len(list((tmp_path / "annotations").glob("*.npz"))) == 3


def test_pictures_are_looked_at_once_and_again_where_one_changes(
    coco_folder, tmp_path, everything_is_large, monkeypatch
) -> None:
    looked: list[str] = []
    from assignbench.data.images import Pictures

    before = Pictures.problem

    def watched(self, path: Path, *given):
        looked.append(path.name)
        return before(self, path, *given)

    monkeypatch.setattr(Pictures, "problem", watched)

    def read():
        looked.clear()
        data = read_coco(coco_folder, "instances.json", "images", name="mine", on_bad="skip", cache=tmp_path / "c")
        return [r.name for r in data.images], [str(p) for p in data.skipped], list(looked)

    names = ["0.png", "1.png", "2.png"]
    assert read() == (names, [], names)
    assert read() == (names, [], [])
    Image.new("RGB", (9, 9)).save(coco_folder / "images" / "1.png")
    for _ in range(2):  # what is wrong is looked at every time
        kept_names, problems, seen = read()
        assert kept_names == ["0.png", "2.png"] and "9x9" in problems[0] and seen == ["1.png"]
    Image.new("RGB", (50, 40)).save(coco_folder / "images" / "1.png")
    assert read() == (names, [], ["1.png"]) and read() == (names, [], [])
    (coco_folder / "images" / "2.png").unlink()
    assert read()[0] == ["0.png", "1.png"]
    (held,) = (tmp_path / "c" / "pictures").iterdir()
    held.write_bytes(held.read_bytes()[:-7])
    assert read()[2] == names
    content = json.loads((coco_folder / "instances.json").read_text())
    content["images"][0]["width"] = 49  # other sizes are looked for
    (coco_folder / "instances.json").write_text(json.dumps(content))
    assert read()[2] == names


def test_what_was_just_written_is_not_trusted_to_stay(coco_folder, tmp_path, monkeypatch, readings) -> None:
    monkeypatch.setattr(kept, "WORTH", 1)
    monkeypatch.setattr(kept, "FEW", 1)
    path = coco_folder / "instances.json"
    for number in range(3):  # files of one length, written within a clock's tick or not
        spoil(path, bbox=[number, 1, 2, 2])
        os.utime(path, ns=(10**18, 10**18))
        assert read_instances(path, cache=tmp_path).boxes[0, 0] == number


def test_records_of_coco_are_those_of_a_list(coco_folder) -> None:
    data = read_coco(coco_folder, "instances.json", "images", name="mine")
    images = data.images
    assert len(images) == 3 and [r.id for r in images] == [10, 11, 12] == [r.id for r in images[:]]
    assert images[-1].id == 12 and [r.id for r in images[::-2]] == [12, 10] and images[0].boxes.dtype == np.float32
    with pytest.raises(IndexError):
        images[3]
    assert data.fingerprint() == read_coco(coco_folder, "instances.json", "images", name="mine").fingerprint()


FACTS = {"train": {"images": 3, "notes": ["ü"]}, "test": {"images": 1, "notes": []}}


def test_what_is_said_of_a_data_set_is_said_again(tmp_path) -> None:
    made = []

    def make() -> dict:
        made.append(1)
        return FACTS

    for about, count in (("a", 1), ("a", 1), ("b", 2), (["a", {"x": 1.5}], 3), (["a", {"x": 1.5}], 3), ("a", 3)):
        assert kept.kept_facts(tmp_path, kept.FEW, about, make) == FACTS and len(made) == count
    assert kept.kept_facts(None, kept.FEW, "a", make) == FACTS and len(made) == 4
    assert kept.kept_facts(tmp_path / "other", kept.FEW - 1, "a", make) == FACTS and len(made) == 5
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '{"told": "a"}', '{"told": "a", "facts": [1]}',
                                     '{"told": "b", "facts": {}}', "\x00\xff", '{"facts": {"x": 1}}'])  # fmt: skip
def test_broken_or_foreign_facts_are_made_again(tmp_path, content) -> None:
    kept.kept_facts(tmp_path, kept.FEW, "a", lambda: {"old": 1})
    (place,) = (tmp_path / "facts").iterdir()
    place.write_text(content)
    assert kept.kept_facts(tmp_path, kept.FEW, "a", lambda: FACTS) == FACTS
    assert kept.kept_facts(tmp_path, kept.FEW, "a", lambda: {}) == FACTS


@pytest.mark.parametrize(
    "name", ["a.png", "./a.png", "b//a.png", ".a.png", "b/./a.png", "a.png/", "..a.png", "b/a ü.png"]
)
def test_files_are_the_paths_that_pathlib_makes(coco_folder, name) -> None:
    content = json.loads((coco_folder / "instances.json").read_text())
    content["images"][1]["file_name"] = name
    (coco_folder / "instances.json").write_text(json.dumps(content))
    data = read_coco(coco_folder, "instances.json", "images", name="mine", on_bad="skip")
    expected = [coco_folder / "images" / n for n in ("0.png", name, "2.png")]
    assert list(data.files) == expected and texts_of(data.files) == texts_of(expected) == [str(p) for p in expected]
    assert data.files[-1] == expected[-1] and list(data.files[1:]) == expected[1:]


def test_objects_are_counted_without_records(coco_folder) -> None:
    data = read_coco(coco_folder, "instances.json", "images", name="mine")
    assert data.counts().tolist() == [len(r.labels) for r in data.images]
    assert replace(data, images=data.images[:]).counts().tolist() == data.counts().tolist()
