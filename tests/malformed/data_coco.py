"""COCO sets with one thing wrong, and unusual ones that are sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.malformed.datasets import NAMES, OBJECTS, WIDTH, Coco, coco, content_of, loaded, pixels
from tests.malformed.harness import Case, Check, Need, Told
from tests.malformed.wrong_json import AREAS, BOXES, FLAGS, IDS, NAMES as NAMES_WRONG, SIDES, changed, shown, words_for

OVERLAP = ("both", "overlap", "train and test", "also in", "images too", "more than once", "same", "twice")


def bad(name: str, made: Coco, *needs: Need, **more: Any) -> Case:
    """A COCO set that must be refused."""
    return Case("coco", name, made.write, needs, **more)


def sound(name: str, made: Coco, check: Check | None = None) -> Case:
    """A COCO set that must be read right."""
    return Case("coco", f"sound: {name}", made.write, (), (0,), check or same_objects)


def same_objects(folder: Path, told: Told) -> list[str]:
    """The boxes and classes of the sound set."""
    found = loaded(folder)
    read = {**content_of(found["train"]), **content_of(found["test"])}
    wanted = {k: [(c, *map(float, b)) for c, *b in v] for k, v in OBJECTS.items()}
    return [] if read == wanted else [f"read {read}"[:400]]


def fields() -> Iterator[Case]:
    """Every field with every wrong value."""
    table = (
        ("images", "id", IDS),
        ("images", "width", SIDES),
        ("images", "file_name", NAMES_WRONG),
        ("annotations", "id", IDS),
        ("annotations", "image_id", IDS),
        ("annotations", "category_id", IDS),
        ("annotations", "bbox", BOXES),
        ("annotations", "area", AREAS),
        ("annotations", "iscrowd", FLAGS),
        ("categories", "id", IDS),
        ("categories", "name", NAMES_WRONG),
    )
    whole = coco(NAMES[:3])
    for part, key, values in table:
        for name, value in values.items():
            yield bad(
                f"{part}.{key} is {name}",
                Coco(train=changed(whole, (part, 1, key), value)),
                "train.json",
                words_for(key, value),
                (f"{part}[1]", "annotation 2", "column"),
                (*shown(value), *(("box (",) if name in ("negative sides", "beyond all floats") else ())),
            )
    for part in ("images", "annotations", "categories"):
        for name, value in (("missing", ...), ("a mapping", {}), ("nothing", None)):
            yield bad(f"{part} is {name}", Coco(train=changed(whole, (part,), value)), "train.json", part)
        yield bad(
            f"two {part} of one id",
            Coco(train=changed(whole, (part, 1, "id"), whole[part][0]["id"])),
            "train.json",
            part,
            str(whole[part][0]["id"]),
        )
    for name, box in (
        ("inverted", [30, 10, -10, 5]),
        ("without area", [30, 10, 0, 5]),
        ("outside", [60, 10, 30, 5]),
        ("far outside", [1000, 1000, 5, 5]),
        ("of corners", [40, 30, 60, 44]),
    ):
        yield bad(
            f"a box {name}",
            Coco(train=changed(whole, ("annotations", 1, "bbox"), box)),
            "train.json",
            ("annotations[1]", "annotation 2"),
            ("bbox", "box"),
        )
    yield bad(
        "an annotation of no image", Coco(train=changed(whole, ("annotations", 1, "image_id"), 99)), "train.json", "99"
    )
    yield bad(
        "an annotation of no category",
        Coco(train=changed(whole, ("annotations", 1, "category_id"), 99)),
        "train.json",
        "99",
    )
    yield bad(
        "two images of one file",
        Coco(train=changed(whole, ("images", 1, "file_name"), "000001.png")),
        "train.json",
        "000001.png",
    )
    for name, first, again in (("a dot", "000001.png", "./000001.png"), ("two slashes", "a/b.png", "a//b.png")):
        made = changed(changed(whole, ("images", 0, "file_name"), first), ("images", 1, "file_name"), again)
        yield bad(f"two images of one file, by {name}", Coco(train=made), "train.json", "images[1]", first)
    for name, value in (("behind", "cat "), ("before", "\u00a0cat")):
        made = changed(whole, ("categories", 1, "name"), value)
        yield bad(f"two categories that differ by white space {name}", Coco(train=made), "train.json", "categories[1]")
    for length in (252, 300, 5000):
        made = changed(whole, ("images", 1, "file_name"), "x" * length + ".png")
        yield bad(f"a file name of {length} letters", Coco(train=made), "image 11 of train.json", "255 bytes")
    for name, box in (
        ("side of 1e-9", [5, 5, 1e-9, 10]),
        ("side of 1e-20", [5, 5, 10, 1e-20]),
        ("side outside alone", [WIDTH, 5, 0.5, 5]),
    ):
        made = changed(whole, ("annotations", 1, "bbox"), box)
        yield bad(f"a box with a {name}", Coco(train=made), "train.json", "annotation 2", "has no area")
    for name, area in (("of 0", 0), ("larger than its box", 100_000), ("without measure", 1e18)):
        made = changed(whole, ("annotations", 1, "area"), area)
        told = "area of 0" if not area else "area larger than"
        yield bad(f"noted: an area {name}", Coco(train=made), "train split", "annotation 2", told, code=(0,))
    yield bad(
        "two categories of one name", Coco(train=changed(whole, ("categories", 1, "name"), "cat")), "train.json", "cat"
    )
    for name, file in (
        ("climbs", "../../secret.png"),
        ("is absolute", "/etc/passwd"),
        ("has a NUL", "a\0b.png"),
        ("is a folder", "."),
        ("is not there", "gone.png"),
        ("is an address", "http://localhost:9/x.png"),
    ):
        yield bad(
            f"a file name that {name}",
            Coco(train=changed(whole, ("images", 1, "file_name"), file)),
            ("train.json", "pictures"),
            file.split("\0")[0],
        )
    yield bad("another size", Coco(train=changed(whole, ("images", 1, "width"), 65)), "000002.png", "65", "64")


def files() -> Iterator[Case]:
    """Files and pairs that do not fit, and splits that are not apart."""
    whole, text = coco(NAMES[:3]), json.dumps(coco(NAMES[:3]))
    for name, made in {
        "empty": "",
        "cut": text[:300],
        "a list": "[]",
        "nothing": "null",
        "followed by more": text + "{}",
        "binary": bytes(range(256)),
        "NaN": text.replace("400.0", "NaN").replace(" 20,", " NaN,", 1),
        "a key twice": text.replace('"id":', '"id": 77, "id":', 1),
        "nested 100000 deep": "[" * 100_000 + "]" * 100_000,
        "a number of 5000 digits": text.replace('"id": 10', '"id": 1' + "0" * 5000, 1),
        "beyond floats": text.replace(" 20,", " 1e999,", 1),
    }.items():
        yield bad(f"annotations that are {name}", Coco(train=made), "train.json", apart="deep" in name)
    yield bad("no annotations", Coco(train=None), "train.json")
    yield bad(
        "no images", Coco(train={**whole, "images": [], "annotations": []}), ("train.json", "train split"), "image"
    )
    yield bad("no objects in training", Coco(train={**whole, "annotations": []}), "train", "object")
    yield bad("no objects in test", Coco(test={**coco(NAMES[3:], 50), "annotations": []}), "test", "object")
    yield bad(
        "no categories", Coco(train={**whole, "categories": [], "annotations": []}), ("train.json", "train split")
    )
    for name, data, needs in (
        ("two pairs", {"train": [["train.json", "pictures"], ["test.json", "pictures"]]}, ("train",)),
        ("an unknown folder", {"train": [["train.json", "picture"]]}, ("picture",)),
        ("a file that climbs", {"train": [["../train.json", "pictures"]]}, ("../train.json",)),
        ("a folder that climbs", {"train": [["train.json", "../pictures"]]}, ("../pictures",)),
        ("an unknown class", {"classes": ["cat", "cow"]}, ("cow",)),
        ("classes that nobody has", {"classes": ["cow"]}, ("cow",)),
        ("use_difficult", {"use_difficult": False}, ("use_difficult",)),
    ):
        yield bad(name, Coco(data=data), *needs)
    other = coco(NAMES[3:], 50)
    yield bad(
        "another name in the test file", Coco(test=changed(other, ("categories", 1, "name"), "wolf")), "wolf", "dog"
    )
    yield bad(
        "a category less in the test file",
        Coco(test={**other, "categories": other["categories"][:1], "annotations": other["annotations"][:1]}),
        "dog",
        ("test.json", "test"),
    )
    yield bad(
        "a category more in the test file",
        Coco(test={**other, "categories": [*other["categories"], {"id": 91, "name": "cow"}]}),
        "cow",
        ("test.json", "test"),
    )
    yield bad("an image in both splits", Coco(test=coco(NAMES[2:], 50)), NAMES[2], OVERLAP, code=(0, 2))
    yield bad(
        "a picture in both splits under two names",
        Coco(images={"000004.png": pixels("000001")}),
        NAMES[3],
        OVERLAP,
        code=(0, 2),
    )
    yield bad(
        "one file for both splits", Coco(data={"test": [["train.json", "pictures"]]}), NAMES[0], OVERLAP, code=(0, 2)
    )


def unusual() -> Iterator[Case]:
    """Sound sets that look odd."""
    other, whole = coco(NAMES[3:], 50), coco(NAMES[:3])
    yield sound("as it is", Coco())
    yield sound("a byte order mark", Coco(train=b"\xef\xbb\xbf" + json.dumps(whole).encode()))
    yield sound("categories in another order", Coco(test={**other, "categories": other["categories"][::-1]}))
    swapped = {3: 90, 90: 3}
    turned = {
        **other,
        "categories": [{"id": swapped[c["id"]], "name": c["name"]} for c in other["categories"]],
        "annotations": [{**a, "category_id": swapped[a["category_id"]]} for a in other["annotations"]],
    }
    yield sound("categories with exchanged ids in the test file", Coco(test=turned))
    moved = {3: 1000, 90: 7}
    ids = {
        **other,
        "categories": [{"id": moved[c["id"]], "name": c["name"]} for c in other["categories"]],
        "annotations": [{**a, "category_id": moved[a["category_id"]]} for a in other["annotations"]],
    }
    yield sound("categories with other ids in the test file", Coco(test=ids))
    yield sound("classes in another order in the study", Coco(data={"classes": ["dog", "cat"]}))
    inside = changed(whole, ("images", 0, "file_name"), "sub/dir/000001.png")
    yield sound(
        "images in folders", Coco(train=inside, images={"000001.png": None, "sub/dir/000001.png": pixels("000001")})
    )
    odd = changed(whole, ("images", 0, "file_name"), "ü 箱 [1].png")
    yield sound(
        "unicode names", Coco(train=odd, images={"000001.png": None, "ü 箱 [1].png": pixels("000001")}), _renamed
    )
    yield sound("negative and zero ids", Coco(train=_shifted(whole, -11)))
    yield sound(
        "no areas and no iscrowd",
        Coco(
            train={
                **whole,
                "annotations": [
                    {k: v for k, v in a.items() if k not in ("area", "iscrowd")} for a in whole["annotations"]
                ],
            }
        ),
    )
    yield sound("other keys", Coco(train={**whole, "info": {"a": [{}]}, "licenses": []}))
    yield sound("one class of two", Coco(data={"classes": ["dog"]}), _dogs)
    edge = changed(whole, ("annotations", 0, "bbox"), [0, 0, 1, 1])
    yield sound("a box of one pixel", Coco(train=edge), _one_pixel)
    yield sound(
        "an image without objects",
        Coco(train={**whole, "annotations": [a for a in whole["annotations"] if a["image_id"] != 10]}),
        _empty_first,
    )
    yield sound("a crowd", Coco(train=changed(whole, ("annotations", 0, "iscrowd"), 1)), _crowd)


def _shifted(content: dict[str, Any], by: int) -> dict[str, Any]:
    images = [{**i, "id": i["id"] + by} for i in content["images"]]
    return {
        **content,
        "images": images,
        "annotations": [{**a, "image_id": a["image_id"] + by} for a in content["annotations"]],
    }


def _renamed(folder: Path, told: Told) -> list[str]:
    split = loaded(folder)["train"]
    same = (split.read(0) == pixels("000001")).all() and split.images[0].boxes.tolist() == [
        [8, 10, 28, 30],
        [30, 4, 60, 44],
    ]
    return [] if same else ["read another picture or other boxes"]


def _dogs(folder: Path, told: Told) -> list[str]:
    found = {n: [o[0] for o in v] for s in loaded(folder).values() for n, v in content_of(s).items()}
    return [] if found == {n: ["dog"] for n in NAMES} else [f"read {found}"]


def _one_pixel(folder: Path, told: Told) -> list[str]:
    found = loaded(folder)["train"].images[0].boxes[0].tolist()
    return [] if found == [0, 0, 1, 1] else [f"read {found}"]


def _empty_first(folder: Path, told: Told) -> list[str]:
    found = [len(i.labels) for i in loaded(folder)["train"].images]
    return [] if found == [0, 2, 2] else [f"objects per image {found}"]


def _crowd(folder: Path, told: Told) -> list[str]:
    found = loaded(folder)["train"].images[0].crowd.tolist()
    return [] if found == [True, False] else [f"crowd {found}"]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from (*fields(), *files(), *unusual())
