"""A validation split of data in files: read like a test split, recorded as what it is, and told by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assignbench.cli import main
from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.errors import InputError
from assignbench.records import read_cells, read_json
from tests.data.test_bare_split import STUDY

PAIRS = {"train": [("instances.json", "images")], "test": [("info.json", "images")]}


@pytest.fixture
def folder(coco_folder) -> Path:
    """The COCO folder with a validation file whose categories come in another order, and a bare test file."""
    content = json.loads((coco_folder / "instances.json").read_text())
    swapped = {90: 1, 3: 2}
    for entry in content["annotations"]:
        entry["category_id"] = swapped[entry["category_id"]]
    for entry in content["categories"]:
        entry["id"] = swapped[entry["id"]]
    (coco_folder / "val.json").write_text(json.dumps(content))
    del content["annotations"]
    (coco_folder / "info.json").write_text(json.dumps(content))
    return coco_folder


def test_it_is_read_by_the_names_of_the_training_split_and_must_have_objects(folder) -> None:
    spec = DataSpec(name="mine", kind="coco", val=[("val.json", "images")], **PAIRS)
    train, val = (load(spec, split, folder) for split in ("train", "val"))
    assert val.classes == train.classes == ("car", "kite")
    assert [i.labels.tolist() for i in val.images] == [i.labels.tolist() for i in train.images]
    bare = DataSpec(name="mine", kind="coco", val=[("info.json", "images")], **PAIRS)
    assert not load(bare, "test", folder).annotated
    with pytest.raises(InputError, match=r"info\.json: has no list 'annotations'"):
        load(bare, "val", folder)
    with pytest.raises(InputError, match=r"names no val split; set data\.val"):
        load(DataSpec(name="mine", kind="coco", **PAIRS), "val", folder)


def test_a_voc_split_is_named_like_the_others(voc_folder) -> None:
    listing = voc_folder / "VOC2007" / "ImageSets" / "Main" / "train.txt"
    listing.with_name("val.txt").write_text(listing.read_text().splitlines()[0] + "\n")
    pairs = {"train": [("VOC2007", "train")], "test": [("VOC2007", "test")], "val": [("VOC2007", "val")]}
    spec = DataSpec(name="mine", kind="voc", classes=["cat", "dog"], **pairs)
    assert len(load(spec, "val", voc_folder)) == 1


def test_what_is_measured_on_it_is_recorded_exported_and_stale_by_it(
    folder, tmp_path, monkeypatch, capsys, in_process
) -> None:
    monkeypatch.chdir(tmp_path)
    text = STUDY.replace("ROOT", str(folder)).replace("test: [[", "val: [[val.json, images]], test: [[")
    Path("study.yaml").write_text(text + "evaluation: {split: val}\nanalyses: [averages]\n")
    assert main(["doctor", "study.yaml"]) == 0
    told = capsys.readouterr().out
    assert "  val: " in told and "3 of 3 val images are training images too" in told
    assert main(["run", "study.yaml", "--quiet"]) == 0
    (cell,) = read_cells(Path("runs/bare"))
    assert cell.measurable and cell.summary["AP"] is not None
    groups = set(read_json(cell.folder / "inputs.json")["files"])
    assert groups == {"train annotations", "train images", "val annotations", "val images"}
    capsys.readouterr()
    assert main(["export", str(cell.folder), "--out", "exported"]) == 0
    assert "val.json" in capsys.readouterr().out.replace("\n", "")

    (folder / "info.json").write_text("{}")  # the test split is nothing to this cell
    assert main(["status", "study.yaml"]) == 0
    assert "STALE" not in capsys.readouterr().out
    (folder / "val.json").write_text((folder / "val.json").read_text() + "\n")
    assert main(["status", "study.yaml"]) == 0
    assert "annotation file val.json of the val split changed" in capsys.readouterr().out.replace("\n", " ")
