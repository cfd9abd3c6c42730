"""An image list without annotations: what is read of it, and what is refused before anything is detected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from assignbench.data.unannotated import read_unannotated
from assignbench.errors import InputError

IMAGES = [{"id": 9, "file_name": "a.png", "width": 40, "height": 30}, {"id": 4, "file_name": "b.png", "width": 20, "height": 30}]  # fmt: skip  # noqa: E501
CATEGORIES = [{"id": 70, "name": "y"}, {"id": 5, "name": "x"}]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "pictures").mkdir()
    for about in IMAGES:
        Image.new("RGB", (about["width"], about["height"])).save(tmp_path / "pictures" / about["file_name"])
    return tmp_path


def read(folder: Path, **changes: Any):
    (folder / "info.json").write_text(json.dumps({"images": IMAGES, "categories": CATEGORIES, **changes}))
    return read_unannotated(folder / "info.json", folder / "pictures", ("x", "y"))


@pytest.mark.parametrize("changes", [{}, {"annotations": [{"bad": 1}]}, {"annotations": None}, {"licenses": 3}])
def test_images_in_order_and_categories_by_name(folder, changes) -> None:
    data, ids = read(folder, **changes)
    assert [(i.id, i.name, i.width, i.height, len(i.labels)) for i in data.images] == [
        (9, "a.png", 40, 30, 0),
        (4, "b.png", 20, 30, 0),
    ]
    assert ids == {"y": 70, "x": 5} and data.classes == ("x", "y") and data.read(1).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"categories": [*CATEGORIES, {"id": 6, "name": "x"}]},
            r"\[2\].*name 'x' is that of categories\[1\]",
        ),
        ({"categories": [*CATEGORIES, {"id": 6, "name": " x"}]}, "name 'x' is that of"),
        ({"categories": [{"id": 5, "name": "y"}, {"id": 5, "name": "x"}]}, "id 5 is that of"),
        ({"categories": ["x"]}, "expected an object"),
        ({"categories": [{"id": True, "name": "x"}]}, "expected an integer"),
        ({"images": []}, "lists no image"),
        ({"images": {}}, "has no list 'images'"),
        ({"images": [IMAGES[0], {**IMAGES[1], "id": 9}]}, "id 9 is that of"),
        ({"images": [{**IMAGES[0], "id": "9"}]}, "expected an integer"),
        ({"images": [{**IMAGES[0], "width": 41}]}, "its annotation says 41x30"),
        ({"images": [{**IMAGES[0], "file_name": "../info.json"}]}, "leads out of"),
        ({"images": [{**IMAGES[0], "file_name": "gone.png"}]}, "missing"),
    ],
)
def test_what_is_refused(folder, changes, told) -> None:
    with pytest.raises(InputError, match=told):
        read(folder, **changes)
