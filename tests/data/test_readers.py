"""VOC and COCO readers: what they give, and what they say about broken input."""

import json

import numpy as np
import pytest

from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.data.kinds.coco import read_coco
from assignbench.data.kinds.voc import read_voc
from assignbench.errors import InputError
from tests.conftest import write_voc_xml

TRAIN = [("VOC2007", "train")]
CLASSES = ["cat", "dog"]


def read(folder, on_bad="error", splits=TRAIN):
    return read_voc(folder, splits, CLASSES, name="mine", on_bad=on_bad)


def test_voc_converts_inclusive_pixels(voc_folder) -> None:
    data = read(voc_folder, splits=[("VOC2007", "train"), ("VOC2007", "test")])
    assert len(data) == 4
    assert data.images[0].boxes.tolist() == [[8, 10, 28, 30]]
    assert [i.labels.tolist() for i in data.images] == [[1], [0], [1], [0]]
    pixels = data.read(0)
    assert pixels[20, 18].min() > 180 and pixels[40, 50].max() < 120


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (("cat", 30, 11, 20, 30), "inverted"),
        (("cat", 20, 11, 20, 30), "without area"),
        (("cat", 10, 11, 90, 30), "outside the image of 64x48"),
        (("cow", 10, 11, 20, 30), "unknown class 'cow'"),
    ],
)
def test_bad_objects_name_file_and_object(voc_folder, box, message) -> None:
    write_voc_xml(voc_folder / "VOC2007", "000002", [box])
    with pytest.raises(InputError, match=message) as caught:
        read(voc_folder)
    assert "000002.xml, object 0" in str(caught.value)
    assert "on_bad: skip" in str(caught.value)
    lenient = read(voc_folder, on_bad="skip")
    assert len(lenient) == 3 and len(lenient.skipped) == 1 and len(lenient.images[1].labels) == 0


def test_bad_images(voc_folder) -> None:
    pictures = voc_folder / "VOC2007" / "JPEGImages"
    (pictures / "000001.jpg").write_bytes((pictures / "000001.jpg").read_bytes()[:600])
    (pictures / "000002.jpg").unlink()
    with pytest.raises(InputError) as caught:
        read(voc_folder)
    assert "000001.jpg: image cannot be read" in str(caught.value)
    assert "000002.jpg: image file is missing" in str(caught.value)
    assert len(read(voc_folder, on_bad="skip")) == 1


def test_annotation_of_another_size(voc_folder) -> None:
    write_voc_xml(voc_folder / "VOC2007", "000001", [], size=(65, 48))
    with pytest.raises(InputError, match="64x48, its annotation says 65x48"):
        read(voc_folder)


def test_xml_entities_are_refused(voc_folder) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>'
    (voc_folder / "VOC2007" / "Annotations" / "000001.xml").write_text(bomb)
    with pytest.raises(InputError, match="not a usable VOC annotation"):
        read(voc_folder)


def test_paths_out_of_the_root_are_refused(voc_folder, coco_folder) -> None:
    (voc_folder / "VOC2007" / "ImageSets" / "Main" / "train.txt").write_text("../../../secret\n")
    with pytest.raises(InputError, match="leads out of the data root"):
        read(voc_folder)
    content = json.loads((coco_folder / "instances.json").read_text())
    content["images"][0]["file_name"] = "../../secret.png"
    (coco_folder / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="leads out of the data root"):
        read_coco(coco_folder, "instances.json", "images", name="mine")


def test_missing_root_and_list(tmp_path, voc_folder) -> None:
    with pytest.raises(InputError, match="ASSIGNBENCH_DATA"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no image list .*known: test, train"):
        read(voc_folder, splits=[("VOC2007", "val")])


def test_coco_sparse_ids_crowd_and_empty_images(coco_folder) -> None:
    data = read_coco(coco_folder, "instances.json", "images", name="mine")
    assert data.classes == ("car", "kite")
    assert data.images[0].labels.tolist() == [1] and data.images[0].boxes.tolist() == [[5, 5, 15, 15]]
    assert data.images[1].crowd.tolist() == [False, True]
    assert len(data.images[2].labels) == 0
    assert np.asarray(data.read(1)).shape == (40, 50, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(bbox=[5, 5, -3, 10]), "annotation 1 of image 10: box .* is inverted"),
        (lambda c: c["annotations"][0].update(bbox=[45, 5, 30, 10]), "outside the image"),
        (lambda c: c["annotations"][0].update(category_id=7), "category_id 7 is not the id of one of the categories"),
        (lambda c: c["annotations"][0].update(image_id=99), "image_id 99 is not the id of one of the images"),
        (lambda c: c["annotations"][0].pop("bbox"), r"annotations\[0\] \(id 1\): has no 'bbox'"),
        (lambda c: c.pop("images"), "has no list 'images'"),
        (lambda c: c["images"][0].update(file_name="gone.png"), "image file is missing"),
    ],
)
def test_coco_problems(coco_folder, change, message) -> None:
    content = json.loads((coco_folder / "instances.json").read_text())
    change(content)
    (coco_folder / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_coco(coco_folder, "instances.json", "images", name="mine")


def test_not_json(coco_folder) -> None:
    (coco_folder / "instances.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_coco(coco_folder, "instances.json", "images", name="mine")


@pytest.mark.parametrize(("name", "images"), [("bccd", 292), ("cplid", 450), ("voc_mini", 1600), ("coco_mini", 343)])
def test_the_real_sets(shared_data, name, images) -> None:
    spec = DataSpec.model_validate({"name": name, **CATALOG[name], "on_bad": "skip"})
    data = load(spec, "train", shared_data / spec.root)
    assert len(data) == images
    assert len(data.skipped) == (2 if name == "bccd" else 0)
    assert all("without area" in str(p) for p in data.skipped)
