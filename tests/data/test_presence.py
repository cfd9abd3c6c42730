"""What of a data set is there, how many images it lists, and where a name in a study is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from assignbench.config.catalog import CATALOG, IMAGES
from assignbench.config.data import DataSpec
from assignbench.config.folders import data_folder, located
from assignbench.data.catalog import load
from assignbench.data.presence import absent, images_of
from assignbench.errors import InputError


def spec_of(name: str, **changes: object) -> DataSpec:
    return DataSpec.model_validate({"name": name, **CATALOG.get(name, {}), **changes})


@pytest.mark.parametrize("name", [n for n, c in CATALOG.items() if c["kind"] != "shapes"])
def test_what_is_missing_says_how_to_get_it(name, tmp_path) -> None:
    spec = spec_of(name)
    root = tmp_path / spec.root
    assert absent(spec, ["train"], root) == [root]
    with pytest.raises(InputError, match=r"assignbench data get .*\n.*ASSIGNBENCH_DATA") as caught:
        load(spec, "train", root)
    assert f"no folder {root}" in str(caught.value)
    root.mkdir()
    assert all(path.is_relative_to(root) and path != root for path in absent(spec, ["train", "test"], root))
    assert absent(spec, ["train", "test"], root)
    assert images_of(spec, "train", root) == (IMAGES[name][0], "as known")
    assert images_of(spec, "test", root) == (IMAGES[name][1], "as known")
    assert images_of(spec, "val", root) is None


def test_the_known_numbers_are_those_of_the_files(shared_data) -> None:
    for name in ("bccd", "cplid", "voc_mini", "coco_mini"):
        spec = spec_of(name)
        for split, known in zip(("train", "test"), IMAGES[name], strict=True):
            assert images_of(spec, split, shared_data / spec.root) == (known, "counted")


def test_own_data_are_counted(voc_folder, coco_folder, tmp_path) -> None:
    voc = spec_of("mine", kind="voc", train=[("VOC2007", "train"), ("VOC2007", "test")], test=[("VOC2007", "test")])
    assert images_of(voc, "train", voc_folder) == (4, "counted") and not absent(voc, ["train", "test"], voc_folder)
    coco = spec_of("mine", kind="coco", train=[("instances.json", "images")], test=[("gone.json", "images")])
    assert images_of(coco, "train", coco_folder) == (3, "counted") and images_of(coco, "test", coco_folder) is None
    assert absent(coco, ["train", "test"], coco_folder) == [coco_folder / "gone.json"]
    rows = "a.png,1,2,3,4,x,9,9\na.png,1,2,3,4,x,9,9\nb.png,1,2,3,4,x,9,9\n"
    for text in (rows, "image_name,x1,y1,x2,y2,class,image_width,image_height\n" + rows):
        (tmp_path / "t.csv").write_text(text)
        table = spec_of("mine", kind="csv", train=[("t.csv", "images")])
        assert images_of(table, "train", tmp_path) == (2, "counted")
    for name in ("../t.csv", "t.csv/x", "x" * 300):
        odd = spec_of("mine", kind="coco", train=[(name, "images")])
        assert images_of(odd, "train", tmp_path) is None
        absent(odd, ["train"], tmp_path)
    (tmp_path / "t.csv").write_text("")
    assert images_of(table, "train", tmp_path) is None
    # A known name with lists of one's own has no known number.
    assert images_of(spec_of("voc2007", train=[("VOC2007", "train")]), "train", tmp_path) is None


def test_the_data_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ASSIGNBENCH_DATA", str(tmp_path / "mine"))
    assert data_folder() == tmp_path / "mine"
    monkeypatch.setenv("ASSIGNBENCH_DATA", "~/data")
    assert data_folder() == Path.home() / "data"
    monkeypatch.delenv("ASSIGNBENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder() == tmp_path / "cache" / "assignbench" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folder() == Path.home() / ".cache" / "assignbench" / "data"


def test_where_a_name_is_looked_for(tmp_path, monkeypatch) -> None:
    home, beside = tmp_path / "home", tmp_path / "studies"
    monkeypatch.setenv("ASSIGNBENCH_DATA", str(home))
    assert located("set", beside) == home / "set"  # where it belongs
    (beside / "set").mkdir(parents=True)
    assert located("set", beside) == beside / "set"
    (home / "set").mkdir(parents=True)
    assert located("set", beside) == home / "set" and located("./set", beside) == beside / "set"
    assert located("../../shared/data/set", beside) == home / "set"
    assert located("../other/gone", beside) == tmp_path / "other" / "gone"
    assert located(str(tmp_path / "x"), beside) == tmp_path / "x"
    monkeypatch.setenv("WHERE", str(tmp_path))
    assert located("$WHERE/y", beside) == tmp_path / "y" and located("~/y", beside) == Path.home() / "y"
    for odd in ("x" * 5000, "a\0b"):
        assert located(odd, beside) == home / odd


def test_no_study_points_outside_the_repository() -> None:
    for path in (Path(__file__).resolve().parents[2] / "studies").glob("*.yaml"):
        text = path.read_text()
        assert "../" not in text and "shared" not in text, path.name
