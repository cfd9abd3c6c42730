"""`assignbench init`: whatever shape somebody's annotations have, the study that is written runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from assignbench.cli import main
from assignbench.data.layout import parted
from assignbench.errors import InputError
from tests.conftest import write_voc

pytestmark = pytest.mark.usefixtures("in_process")
SETS = ("schedule.steps=2", "data.size=64", "analyses=[averages]")
SHORT = [*(word for change in SETS for word in ("--set", change)), "--seeds", "1", "--only", "*iou*", "--quiet"]


def write_coco(annotations: Path, pictures: Path, count: int = 12, first: int = 0, prefix: str = "") -> Path:
    """An instances file with one square in every image but each fourth, and its pictures."""
    pictures.mkdir(parents=True, exist_ok=True)
    annotations.parent.mkdir(parents=True, exist_ok=True)
    images, objects = [], []
    for i in range(first, first + count):
        pixels = np.full((48, 64, 3), 40, np.uint8)
        pixels[10:30, 8:28] = 220
        Image.fromarray(pixels).save(pictures / f"{i}.png")
        images.append({"id": i, "file_name": f"{prefix}{i}.png", "width": 64, "height": 48})
        if i % 4 != 3:
            where = {"image_id": i, "category_id": 1 + i % 2, "bbox": [8, 10, 20, 20], "area": 400, "iscrowd": 0}
            objects.append({"id": i + 1, **where})
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    annotations.write_text(json.dumps(content))
    return annotations


LAYOUTS = {
    "coco": ("annotations/instances_train2017.json", "train2017", "annotations/instances_val2017.json", "val2017"),
    "roboflow": ("train/_annotations.coco.json", "train", "valid/_annotations.coco.json", "valid"),
    "flat": ("train.json", ".", "test.json", "."),
    "below": ("labels/train.json", "images", "labels/val.json", "images"),
    "alone": ("set/all.json", "set/images", None, None),
    "elsewhere": ("set/all.json", "pictures/of/mine", None, None),
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, beside that of the data."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_and_test_files_are_found(tmp_path, here, capsys, layout) -> None:
    train, pictures, test, others = LAYOUTS[layout]
    data = tmp_path / "photos"
    given = write_coco(data / train, data / pictures)
    if test is not None:
        write_coco(data / test, data / others, count=5, first=20)
    where = ["--images", str(data / pictures)] if layout == "elsewhere" else []
    assert main(["init", "--coco", str(given), *where]) == 0
    told = capsys.readouterr().out
    assert "backbone: random" in told and ("parted at random" in told) == (test is None)
    (study,) = here.glob("*.yaml")
    assert main(["plan", str(study)]) == 0
    assert "9 cells" in capsys.readouterr().out
    entry = yaml.safe_load(study.read_text())["data"]
    files = [Path(entry["root"], entry[s][0][0]) for s in ("train", "test")]
    found = [{i["file_name"] for i in json.loads(f.read_text())["images"]} for f in files]
    assert found[0] and found[1] and not found[0] & found[1]


@pytest.mark.parametrize("layout", ["sibling", "nephew"])
def test_pictures_of_another_data_set_are_not_taken(tmp_path, here, capsys, layout) -> None:
    """Whose pictures have the same names, as they often do."""
    write_coco(tmp_path / "theirs" / "ann.json", tmp_path / ("theirs" if layout == "sibling" else "theirs/images"))
    given = write_coco(tmp_path / "mine" / "ann.json", tmp_path / "gone")
    (tmp_path / "gone").rename(here / "gone")
    assert main(["init", "--coco", str(given)]) == 2
    assert "picture '0.png' is not there; name their folder with --images DIR" in capsys.readouterr().err


def test_two_folders_of_pictures_with_the_same_names(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "mine" / "ann.json", tmp_path / "first")
    write_coco(tmp_path / "mine" / "ann.json", tmp_path / "mine" / "second")
    assert main(["init", "--coco", str(given)]) == 2
    told = capsys.readouterr().err
    assert "second and " in told and "first both have pictures of these names" in told
    assert main(["init", "--coco", str(given), "--images", str(tmp_path / "first")]) == 0


def test_the_study_that_is_written_runs(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images")
    assert main(["init", "--coco", str(given)]) == 0
    assert main(["run", "photos.yaml", *SHORT]) == 0
    assert {p.name for p in here.iterdir()} == {"photos.yaml", "photos_train.json", "photos_test.json", "runs"}
    assert {p.name for p in (tmp_path / "photos").iterdir()} == {"all.json", "images"}  # nothing is written there


@pytest.mark.parametrize("lists", ["train and test", "trainval and test", "train and val", "none", "pictures beside"])
def test_voc_with_and_without_lists(tmp_path, here, capsys, lists) -> None:
    devkit = write_voc(tmp_path)
    main_folder = devkit / "VOC2007" / "ImageSets" / "Main"
    if lists == "trainval and test":
        shutil.copy(main_folder / "train.txt", main_folder / "trainval.txt")
    if lists == "train and val":
        (main_folder / "test.txt").rename(main_folder / "val.txt")
    if lists in ("none", "pictures beside"):
        shutil.rmtree(devkit / "VOC2007" / "ImageSets")
    given = devkit
    if lists == "pictures beside":
        given = tmp_path / "mixed"
        given.mkdir()
        for path in devkit.rglob("0*.*"):
            shutil.copy(path, given)
    assert main(["init", "--voc", str(given), "--name", "mine"]) == 0
    content = yaml.safe_load((here / "mine.yaml").read_text())
    assert content["data"]["kind"] == ("coco" if lists in ("none", "pictures beside") else "voc")
    assert ("became instances files" in capsys.readouterr().out) == (content["data"]["kind"] == "coco")
    assert main(["run", "mine.yaml", *SHORT]) == 0


def test_problems_are_left_out_and_said(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "photos" / "train.json", tmp_path / "photos" / "images")
    write_coco(tmp_path / "photos" / "val.json", tmp_path / "photos" / "images", first=20)
    content = json.loads(given.read_text())
    content["annotations"][0]["bbox"] = [200, 10, 20, 20]
    given.write_text(json.dumps(content))
    assert main(["init", "--coco", str(given)]) == 0
    assert "1 problem(s) are left out" in capsys.readouterr().out
    assert "on_bad: skip  # 1 problem(s)" in (here / "photos.yaml").read_text()


def test_weights_that_are_not_there_are_refused_before_anything_is_written(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images")
    for weights in ("gone.pth", str(tmp_path), "torchvison"):
        assert main(["init", "--coco", str(given), "--weights", weights]) == 2
        assert f"--weights {weights}: no such file" in capsys.readouterr().err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("detector", "more", "kept"),
    [
        ("fcos-slim", [], "fcos_plain"),
        ("retinanet-resnet18", ["--weights", "torchvision"], "800"),
        ("fssd-vgg16", [], "size: 320"),
        ("retinanet1-slim", ["--methods", "iou_paa,paa", "--seeds", "5"], "seeds: 5"),
    ],
)
def test_other_detectors_and_methods(tmp_path, here, capsys, detector, more, kept) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images")
    assert main(["init", "--coco", str(given), "--detector", detector, *more]) == 0
    assert kept in (here / "photos.yaml").read_text()
    assert ("backbone: random" in (here / "photos.yaml").read_text()) == ("--weights" not in more)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--coco", "gone.json"], "no annotation file"),
        (["--coco", "{photos}/all.json", "--images", "nowhere"], "picture '0.png' is not there"),
        (["--coco", "{photos}/all.json", "--test", "{photos}/all.json"], "is the file that is trained on"),
        (["--coco", "{photos}/all.json", "--methods", "iuo"], "did you mean 'iou'"),
        (["--coco", "{photos}/all.json", "--methods", "fcos_plain"], "works on points"),
        (["--coco", "{photos}/all.json", "--detector", "retinanet-slimm"], "did you mean 'retinanet-slim'"),
        (["--coco", "{photos}/all.json", "--name", "A B"], "--name A B"),
        (["--voc", "{photos}"], "holds no annotation files"),
        (["--voc", "{photos}", "--images", "{photos}"], "--images goes with --coco"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(tmp_path, here, capsys, arguments, told) -> None:
    photos = tmp_path / "photos"
    write_coco(photos / "all.json", photos / "images")
    assert main(["init", *(a.format(photos=photos) for a in arguments)]) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")
    assert not list(here.iterdir())


@pytest.mark.parametrize("arguments", [["--methods", "iuo"], ["--methods", "iou,fcos_plain"]])
@pytest.mark.parametrize("study", ["photos.yaml", "deep/er.yaml"])
def test_no_file_is_named_that_is_not_there(tmp_path, here, capsys, arguments, study) -> None:
    """A study that proves wrong is taken away again: what is said is about the option."""
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images")
    assert main(["init", "--coco", str(given), "--study", study, *arguments]) == 2
    told = capsys.readouterr().err
    assert f"{arguments[0]} {arguments[1]}: methods" in told
    assert ".yaml" not in told and "_train.json" not in told and "_test.json" not in told
    assert not list(here.rglob("*.*"))


def test_a_part_that_holds_nothing_usable_is_named_by_its_file(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images", count=8)
    content = json.loads(given.read_text())
    for one in content["annotations"]:
        one["bbox"] = [500, 500, 20, 20]
    given.write_text(json.dumps(content))
    assert main(["init", "--coco", str(given)]) == 2
    told = capsys.readouterr().err.replace("\n", " ")
    assert str(given) in told and "e.g. all.json (train part)" in told and "photos_train.json" not in told
    assert not list(here.iterdir())


def test_entries_that_are_none_are_left_out_of_the_parts(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images", count=20)
    content = json.loads(given.read_text())
    del content["annotations"][0]["image_id"], content["images"][7]["file_name"]
    content["annotations"][1]["image_id"] = [1]
    content["annotations"][2] = 3
    given.write_text(json.dumps(content))
    assert main(["init", "--coco", str(given)]) == 0
    assert "4 problem(s) are left out" in capsys.readouterr().out


def test_boxes_in_the_wrong_units_are_told(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images")
    content = json.loads(given.read_text())
    for some in (True, False):  # corners leave their image of 64x48, most of them or all
        for place, one in enumerate(content["annotations"]):
            one["bbox"] = [8, 10, 20, 20] if some and place % 4 == 2 else [30, 25, 60, 45]
        given.write_text(json.dumps(content))
        assert main(["init", "--coco", str(given)]) == 2
        told = capsys.readouterr().err.replace("\n", " ")
        assert ("objects would be left out" if some else "no object in the") in told
        assert "are they corners [x1, y1, x2, y2]?" in told and not list(here.iterdir())
    for one in content["annotations"]:
        one["bbox"] = [0.1, 0.2, 0.3, 0.4]
    given.write_text(json.dumps(content))
    assert main(["init", "--coco", str(given)]) == 0
    assert "warning: photos_train.json: all box values are at most 1: are they normalised" in capsys.readouterr().out
    assert main(["doctor", "photos.yaml", "--out", "runs"]) == 0
    assert "warning: photos_test.json: all box values are at most 1" in capsys.readouterr().out


@pytest.mark.parametrize("lost", [1, 5, 6, 12])
def test_pictures_that_are_missing_are_told_unless_most_are(tmp_path, here, capsys, lost) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images")
    for number in range(lost):
        (tmp_path / "photos" / "images" / f"{number}.png").unlink()
    for more in ([], ["--images", str(tmp_path / "photos" / "images")]):
        assert main(["init", "--coco", str(given), "--name", f"mine{len(more)}", *more]) == (0 if lost < 6 else 2)
        told = capsys.readouterr()
        if lost < 6:
            verb = "is" if lost == 1 else "are"
            assert f"; {lost} of 12 pictures {verb} not in {tmp_path}/photos/images, e.g. '0.png'" in told.out
        elif more:
            assert f"{tmp_path}/photos/images: " in told.err and "picture" in told.err


def test_a_voc_folder_without_lists_leaves_out_what_is_broken(tmp_path, here, capsys) -> None:
    base = write_voc(tmp_path) / "VOC2007"
    shutil.rmtree(base / "ImageSets")
    (base / "JPEGImages" / "000001.jpg").unlink()
    assert main(["init", "--voc", str(base), "--name", "mine"]) == 0
    told = capsys.readouterr().out
    assert "left out: Annotations/000001.xml: its picture is missing (JPEGImages/000001.jpg or .png)" in told
    files = [json.loads((here / f"mine_{part}.json").read_text()) for part in ("train", "test")]
    assert sum(len(one["images"]) for one in files) == 3
    (base / "Annotations" / "000002.xml").write_text("<annotation>")
    assert main(["init", "--voc", str(base), "--name", "other"]) == 0
    assert "left out: Annotations/000002.xml: not a usable VOC annotation" in capsys.readouterr().out
    (base / "Annotations" / "000003.xml").write_text("<annotation>")
    assert main(["init", "--voc", str(base), "--name", "third"]) == 2
    assert "more of them would be left out than kept" in capsys.readouterr().err


def test_many_epochs_are_written_plainly(tmp_path, here) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images", count=4)
    assert main(["init", "--coco", str(given)]) == 0
    (line,) = [one for one in (here / "photos.yaml").read_text().splitlines() if " epochs of " in one]
    assert "e+" not in line


def test_nothing_is_replaced(tmp_path, here, capsys) -> None:
    given = write_coco(tmp_path / "photos" / "all.json", tmp_path / "photos" / "images")
    (here / "photos_test.json").write_text("mine")
    assert main(["init", "--coco", str(given)]) == 2
    assert "is there already" in capsys.readouterr().err
    (here / "photos.yaml").write_text("mine")
    assert main(["init", "--coco", str(given)]) == 2
    assert {p.name: p.read_text() for p in here.iterdir()} == {"photos.yaml": "mine", "photos_test.json": "mine"}


@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_parts_share_no_image_and_lose_none(tmp_path, count) -> None:
    rng = np.random.default_rng(count)
    images = [{"id": int(i), "file_name": f"{i}.png"} for i in rng.permutation(200)[: 2 * count]]
    objects = [{"id": k, "image_id": i["id"]} for k, i in enumerate(images[:count] * 3)]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "a"}], "info": {}}
    train, test = parted(content, tmp_path, "x", "here").values()
    ids = [[i["id"] for i in part["images"]] for part in (train, test)]
    assert sorted(ids[0] + ids[1]) == sorted(i["id"] for i in images)
    assert sorted(a["id"] for part in (train, test) for a in part["annotations"]) == list(range(3 * count))
    for part, own in zip((train, test), ids, strict=True):
        assert part["annotations"] and {a["image_id"] for a in part["annotations"]} <= set(own)
        assert part["categories"] == content["categories"] and part["info"] == {}
    again = parted({**content, "images": images[::-1]}, tmp_path, "x", "here")
    assert [{i["id"] for i in p["images"]} for p in again.values()] == [set(own) for own in ids]


def test_one_image_is_not_parted(tmp_path) -> None:
    with pytest.raises(InputError, match="too few to part"):
        parted({"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1}]}, tmp_path, "x", "here")
