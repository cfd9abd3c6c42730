"""VOC folders: which picture an entry means, which classes there are, and every field with every wrong value."""

import shutil

import numpy as np
import pytest
from PIL import Image

from assignbench.config.catalog import CATALOG
from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.data.kinds.voc import read_voc
from assignbench.errors import InputError
from tests.conftest import write_voc_xml

TRAIN = [("VOC2007", "train")]


def read(folder, on_bad="error"):
    return read_voc(folder, TRAIN, ["cat", "dog"], name="mine", on_bad=on_bad)


def change(folder, old: str, new: str, count: int = 1) -> None:
    path = folder / "VOC2007" / "Annotations" / "000001.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


NUMBERS = ["", "nan", "inf", "-inf", "1_0", "x", "１２", "0x10", "1e999", "1 2", "true"]
FIELDS = [
    *(
        (f"<{side}>{value}</{side}>", wrong, side)
        for side, value in (("width", 64), ("height", 48))
        for wrong in NUMBERS
    ),
    *(("<width>64</width>", wrong, "width") for wrong in ("64.0", "-64", "64.5", "0")),
    *(
        (f"<{side}>{value}</{side}>", wrong, side)
        for side, value in (("xmin", 9), ("ymin", 11), ("xmax", 28), ("ymax", 30))
        for wrong in NUMBERS
    ),
    *(("<difficult>0</difficult>", wrong, "difficult") for wrong in ("2", "yes", "-1", "0.0", "true")),
    *(("<name>dog</name>", wrong, "name") for wrong in ("", " ")),
]


@pytest.mark.parametrize(("field", "wrong", "key"), FIELDS)
def test_each_field_with_each_wrong_value(voc_folder, field, wrong, key) -> None:
    tag = field[1 : field.index(">")]
    change(voc_folder, field, f"<{tag}>{wrong}</{tag}>")
    with pytest.raises(InputError) as caught:
        read(voc_folder)
    message = str(caught.value)
    assert "VOC2007/Annotations/000001.xml" in message and "1 annotation problem" in message
    assert key in message or "box (" in message
    assert not wrong.strip() or wrong in message or "box (" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<name>dog</name>", "", "object 0: no <name>"),
        ("<name>dog</name>", "<name>dog</name><name>cat</name>", "has 2 elements <name>, expected one"),
        ("<bndbox>", "<bndbox></bndbox><bndbox>", "object 0 .*: has 2 elements <bndbox>, expected one"),
        ("<size>", "<size><width>64</width></size><size>", "has 2 elements <size>"),
        ("<annotation>", "<data>", "not a usable VOC annotation"),
        ("<object>", "<group><object>", "not a usable VOC annotation"),
        ("<xmin>9</xmin>", "", "no <bndbox/xmin>"),
    ],
)
def test_structure(voc_folder, old, new, message) -> None:
    change(voc_folder, old, new)
    with pytest.raises(InputError, match=message) as caught:
        read(voc_folder)
    assert "000001.xml" in str(caught.value)


def test_limits_and_entities(voc_folder) -> None:
    path = voc_folder / "VOC2007" / "Annotations" / "000001.xml"
    deep = "<a>" * 40 + "</a>" * 40
    bombs = {
        f"<annotation>{deep}</annotation>": "nested deeper than 32 levels",
        "<annotation>" + "<a>" * 100_000: "not a usable VOC annotation",
        '<!DOCTYPE a [<!ENTITY x "1">]><annotation>&x;</annotation>': "not a usable VOC annotation",
        "<annotation>" + "<object/>" * 100_001 + "</annotation>": "holds 100001 objects",
        "<annotation>" + " " * (17 << 20) + "</annotation>": "more than 16777216 bytes",
        "<data><object/></data>": "its outermost element is <data>",
        "<annotation><x><object/></x></annotation>": "not directly under",
    }
    for content, message in bombs.items():
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read(voc_folder)


def picture(folder, name: str, value: int) -> None:
    path = folder / "VOC2007" / "JPEGImages" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((48, 64, 3), value, np.uint8)).save(path)


def entry(folder, name: str, filename: str | None) -> None:
    base = folder / "VOC2007"
    (base / "Annotations" / name).parent.mkdir(parents=True, exist_ok=True)
    write_voc_xml(base, name, [("cat", 9, 11, 28, 30)])
    if filename is not None:
        path = base / "Annotations" / f"{name}.xml"
        path.write_text(path.read_text().replace("<size>", f"<filename>{filename}</filename><size>"))
    (base / "ImageSets" / "Main" / "train.txt").write_text(f"{name}\n")


@pytest.mark.parametrize("ending", ["png", "bmp", "JPG", "jpeg", "webp"])
def test_any_extension_of_the_entry_is_found(voc_folder, ending) -> None:
    picture(voc_folder, f"new.{ending}", 90)
    entry(voc_folder, "new", None)
    data = read(voc_folder)
    assert data.images[0].name == f"new.{ending}" and abs(int(data.read(0)[5, 5, 0]) - 90) < 3


@pytest.mark.parametrize("filename", [None, "1.png", "sub/1.png", "elsewhere.png"])
def test_an_entry_in_a_folder_never_reads_the_picture_of_another(voc_folder, filename) -> None:
    """The stem alone was used once: `sub/1` read 1.jpg."""
    picture(voc_folder, "1.png", 10)
    picture(voc_folder, "sub/1.png", 200)
    entry(voc_folder, "sub/1", filename)
    data = read(voc_folder)
    assert data.images[0].name == "sub/1.png" and data.read(0)[5, 5, 0] == 200
    shutil.rmtree(voc_folder / "VOC2007" / "JPEGImages" / "sub")
    if filename == "1.png":
        assert read(voc_folder).images[0].name == "1.png"  # <filename> names it
    else:
        with pytest.raises(InputError, match=r"sub/1\.jpg.*: image file is missing"):
            read(voc_folder)


def test_filename_is_honoured_and_never_one_of_two(voc_folder) -> None:
    picture(voc_folder, "real.png", 77)
    entry(voc_folder, "label7", "real.png")
    assert read(voc_folder).images[0].name == "real.png"
    picture(voc_folder, "label7.png", 10)
    with pytest.raises(InputError, match=r"<filename> names 'real.png' and the list entry is 'label7'"):
        read(voc_folder)
    entry(voc_folder, "label7", None)
    picture(voc_folder, "label7.bmp", 10)
    with pytest.raises(InputError, match=r"several pictures have its name \(label7.bmp, label7.png\)"):
        read(voc_folder)
    entry(voc_folder, "label7", "label7.bmp")
    assert read(voc_folder).images[0].name == "label7.bmp"
    entry(voc_folder, "label8", "gone.png")
    with pytest.raises(InputError, match=r"label8\.jpg, whose <filename> is 'gone.png': image file is missing"):
        read(voc_folder)
    entry(voc_folder, "label7", "../../secret.png")
    with pytest.raises(InputError, match="leads out of the data root"):
        read(voc_folder)


def test_a_box_is_shown_as_it_is_written(voc_folder) -> None:
    write_voc_xml(voc_folder / "VOC2007", "000001", [("dog", -5, 11, 28, 30)])
    with pytest.raises(InputError, match=r"object 0 \('dog'\): box \(-5, 11, 28, 30\) lies outside the image of 64x48"):
        read(voc_folder)


def test_lists(voc_folder) -> None:
    listing = voc_folder / "VOC2007" / "ImageSets" / "Main" / "train.txt"
    listing.write_bytes("\ufeff000001 -1\r\n\r\n000002  1\r\n".encode())
    assert [i.name for i in read(voc_folder).images] == ["000001.jpg", "000002.jpg"]
    listing.write_text("000001\n000002\n000001\n")
    with pytest.raises(InputError, match="line 3: names '000001' again"):
        read(voc_folder)
    assert len(read(voc_folder, on_bad="skip")) == 2
    listing.write_bytes("000001\n".encode("utf-16"))
    with pytest.raises(InputError, match="is not UTF-8"):
        read(voc_folder)
    listing.write_bytes(b"0000\x0001\n")
    with pytest.raises(InputError, match="characters that cannot be printed"):
        read(voc_folder)
    picture(voc_folder, "my image 1.png", 40)
    entry(voc_folder, "my image 1", None)
    assert read(voc_folder).images[0].name == "my image 1.png"


def spec_of(folder, **more) -> DataSpec:
    pairs = {"train": TRAIN, "test": [("VOC2007", "test")]}
    return DataSpec(name="mine", kind="voc", root=str(folder), **pairs, **more)


def test_classes_are_those_of_the_training_files(voc_folder) -> None:
    base = voc_folder / "VOC2007"
    write_voc_xml(base, "000001", [("zebra", 9, 11, 28, 30)])
    train, test = (load(spec_of(voc_folder), split, voc_folder) for split in ("train", "test"))
    assert train.classes == test.classes == ("cat", "dog", "zebra")
    assert test.images[0].labels.tolist() == [0]
    write_voc_xml(base, "000004", [("yak", 9, 11, 28, 30), ("cat", 9, 11, 28, 30)])
    with pytest.raises(InputError, match="class 'yak' is in no training file") as caught:
        load(spec_of(voc_folder), "test", voc_folder)
    assert "000004.xml, object 0" in str(caught.value) and "data.classes" in str(caught.value)
    chosen = spec_of(voc_folder, classes=["dog", "cat", "zebra", "yak"])
    assert load(chosen, "test", voc_folder).images[0].labels.tolist() == [3, 1]


def test_the_sets_of_the_catalogue_keep_their_twenty_classes() -> None:
    for name in ("voc0712", "voc_mini"):
        classes = CATALOG[name]["classes"]
        assert (
            len(classes) == 20
            and (classes[0], classes[-1]) == ("aeroplane", "tvmonitor")
            and classes == sorted(classes)
        )


def test_a_split_without_objects_is_refused(voc_folder) -> None:
    write_voc_xml(voc_folder / "VOC2007", "000004", [])
    with pytest.raises(InputError, match="no object in the 1 images of VOC2007/test"):
        load(spec_of(voc_folder), "test", voc_folder)


def test_ids_stay_apart_where_an_image_has_a_thousand_objects(voc_folder) -> None:
    write_voc_xml(voc_folder / "VOC2007", "000001", [("dog", 9, 11, 28, 30)] * 1200)
    data = read(voc_folder)
    ids = np.concatenate([i.ids for i in data.images])
    assert len(set(ids.tolist())) == len(ids) == 1202
