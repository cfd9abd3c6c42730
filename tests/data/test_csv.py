"""Tables of boxes (SKU-110K's layout): what they give, and every field with every wrong value."""

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from assignbench.config.data import DataSpec
from assignbench.data.catalog import load
from assignbench.data.kinds.csv import COLUMNS
from assignbench.errors import InputError

ROWS = [
    ["a.png", "5", "6", "20", "30.5", "soda", "50", "40"],
    ["b.png", "0", "0", "49.5", "39", "crisps", "50", "40"],
    ["a.png", "30", "6", "40", "30", "crisps", "50", "40"],
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for i, name in enumerate("abc"):
        Image.fromarray(np.full((40, 50, 3), 50 * i, np.uint8)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def read(folder, rows, split="train", *, test=None, header=False, **more):
    for name, content in (("train", rows), ("test", test or ROWS)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *content] if header else content)
    pairs = {s: [(f"{s}.csv", "images")] for s in ("train", "test")}
    return load(DataSpec(name="mine", kind="csv", root=str(folder), **pairs, **more), split, folder)


@pytest.mark.parametrize("header", [True, False])
def test_what_a_table_gives(folder, header) -> None:
    data = read(folder, ROWS, header=header)
    assert data.classes == ("crisps", "soda") and [i.name for i in data.images] == ["a.png", "b.png"]
    assert data.images[0].boxes.tolist() == [[5, 6, 20, 30.5], [30, 6, 40, 30]]
    assert data.images[0].labels.tolist() == [1, 0] and data.images[0].ids.tolist() == [1, 3]
    assert data.read(1)[0, 0].tolist() == [50, 50, 50] and [p.name for p in data.files] == ["a.png", "b.png"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(8)))
def test_columns_under_a_header_stand_in_any_order(folder, order) -> None:
    straight = read(folder, ROWS).fingerprint()
    moved = [[row[i] for i in order] for row in [list(COLUMNS), *ROWS]]
    assert read(folder, moved).fingerprint() == straight


def test_an_image_without_objects(folder) -> None:
    data = read(folder, [*ROWS, ["c.png", "", "", "", "", "", "50", "40"]])
    assert [len(i.labels) for i in data.images] == [2, 1, 0]


NUMBERS = ["", "nan", "inf", "1e999", "x", "1_0", "１", "0x1", "1 2", "true"]
FIELDS = [
    *((key, wrong) for key in ("x1", "y1", "x2", "y2") for wrong in NUMBERS),
    *((key, wrong) for key in ("image_width", "image_height") for wrong in (*NUMBERS, "50.0", "-50", "0", "1e2")),
    *(("image_name", wrong) for wrong in ("", " ", "a\nb.png", "gone.png")),
]


@pytest.mark.parametrize(("key", "wrong"), FIELDS)
@pytest.mark.parametrize("place", [0, 1])
def test_each_field_with_each_wrong_value(folder, key, wrong, place) -> None:
    rows = [list(row) for row in ROWS]
    rows[place][COLUMNS.index(key)] = wrong
    with pytest.raises(InputError) as caught:
        read(folder, rows)
    message = str(caught.value)
    assert "train.csv" in message and f"line {place + 1}" in message
    assert (key in message and repr(wrong)[1:-1] in message) or wrong == "gone.png"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a.png", "20", "6", "5", "30", "x", "50", "40"]], r"line 1: box \(20, 6, 5, 30\) is inverted"),
        ([["a.png", "5", "6", "80", "30", "x", "50", "40"]], "lies outside the image of 50x40"),
        ([["a.png", "5", "6", "20", "30", "x", "50", "41"]], "image is 50x40, its annotation says 50x41"),
        ([ROWS[0], [*ROWS[0][:6], "51", "40"]], "line 2: says that 'a.png' is 51x40, line 1 says 50x40"),
        ([ROWS[0][:7]], "line 1 has 7 fields, expected 8"),
        ([[*ROWS[0], "x"]], "line 1 has 9 fields, expected 8"),
        ([["image_name", "x1", "y1", "x2", "y2", "klass", "image_width", "image_height"]], "unknown column 'klass'"),
        ([["image_name", "x1", "x1", "x2", "y2", "class", "image_width", "image_height"]], "'x1' stands there 2 times"),
        ([], "has no row"),
        ([["../a.png", *ROWS[0][1:]]], "leads out of the data root"),
        ([["c.png", "", "", "", "", "", "50", "40"]], "no object in the 1 images"),
    ],
)
def test_what_is_refused(folder, rows, message) -> None:
    with pytest.raises(InputError, match=message):
        read(folder, rows)


def test_classes(folder) -> None:
    other = [["a.png", "5", "6", "20", "30", "water", "50", "40"]]
    with pytest.raises(InputError, match="line 1: class 'water' is not in the training table"):
        read(folder, ROWS, "test", test=other)
    assert read(folder, ROWS, "test", test=other, classes=["water", "soda", "crisps"]).images[0].labels.tolist() == [0]
    with pytest.raises(InputError, match="unknown class 'crisps'"):
        read(folder, ROWS, classes=["soda"])


def test_files_that_are_no_table(folder) -> None:
    read(folder, ROWS)
    spec = DataSpec(name="mine", kind="csv", train=[("t.csv", "images")], test=[("t.csv", "images")])
    with pytest.raises(InputError, match="no annotation file"):
        load(spec, "train", folder)
    for content, message in ((b"\xff\xfe\x00", "not UTF-8"), (b'a.png,"5\n', "not CSV"), (b"\x00" * 20, "t.csv")):
        (folder / "t.csv").write_bytes(content)
        with pytest.raises(InputError, match=message):
            load(spec, "train", folder)


def test_a_hundred_thousand_rows_are_read_in_seconds(folder) -> None:
    import time

    rng = np.random.default_rng(0)
    corners = rng.integers(0, 20, (100_000, 2))
    rows = [
        ["abc"[i % 3] + ".png", x, y, x + 9, y + 9, f"c{i % 7}", 50, 40] for i, (x, y) in enumerate(corners.tolist())
    ]
    start = time.process_time()
    data = read(folder, rows)
    assert sum(len(i.labels) for i in data.images) == 100_000 and time.process_time() - start < 8
