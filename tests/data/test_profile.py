"""The profile of a split by hand, and pictures that stand in a data set twice."""

import shutil

import numpy as np
import pytest

from assignbench.config.data import SceneFactors
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.data.kinds.shapes import read_shapes
from assignbench.data.overlap import overlap_notes
from assignbench.data.profile import profile
from assignbench.records.files import digest_of


def image(number: int, boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> ImageRecord:
    count = len(boxes)
    none = np.zeros(count, np.bool_)
    return ImageRecord(
        id=number,
        name=f"{number}.jpg",
        width=200,
        height=100,
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        labels=np.asarray(labels, np.int64),
        crowd=none if crowd is None else np.asarray(crowd, np.bool_),
        difficult=none,
        areas=np.ones(count, np.float32),
        ids=np.arange(count),
    )


def split(images: list[ImageRecord], files: tuple = ()) -> DetectionData:
    return DetectionData("mine", "part", ("a", "b", "c"), images, lambda i: np.zeros((1, 1, 3), np.uint8), files=files)


def test_a_profile_by_hand() -> None:
    """At 100 px the width halves: boxes become 10x40, 10x40 (IoU 1/3 with the first), 5x10 and 30x30."""
    images = [
        image(0, [[0, 0, 20, 40], [10, 0, 30, 40], [100, 50, 110, 60], [0, 0, 200, 100]], [0, 0, 1, 1], [0, 0, 0, 1]),
        image(1, [[0, 0, 60, 30]], [0]),
        image(2, [], []),
    ]
    found = profile(split(images), 100)
    assert (found.images, found.objects, found.empty_images, found.crowd_regions) == (3, 4, 1, 1)
    assert found.median_side == pytest.approx(20.0) and found.small == 0.25
    assert found.crowded == 0.5 and found.objects_per_image == 2.0
    assert found.median_ratio == pytest.approx(3.0) and found.slender == 0.5
    assert found.per_class == {"a": 3, "b": 1, "c": 0}
    text = "\n".join(found.lines())
    for told in ("3 images, 4 objects, 1 images without one, 1 crowd regions", "median side 20.0 px", "25.0% of the"):
        assert told in text
    assert "classes without an object: c" in text


def test_profiles_of_scenes_and_of_nothing() -> None:
    assert profile(read_shapes("train", 5, SceneFactors()), 128).objects > 0
    assert profile(split([image(0, [], [])]), 64).lines() == ["1 images, 0 objects, 1 images without one"]


def test_pictures_that_stand_there_twice(tmp_path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.jpg" for i in range(6)]
    for path in paths:
        path.write_bytes(rng.bytes(5000))
    assert overlap_notes(split([], tuple(paths[:3])), split([], tuple(paths[3:])), digest_of) == []
    shutil.copy(paths[0], paths[3])
    shutil.copy(paths[1], paths[2])
    notes = overlap_notes(split([], tuple(paths[:3])), split([], tuple(paths[3:])), digest_of)
    assert notes[0].startswith("1 of 3 test images are training images too") and "0.jpg" in notes[0]
    assert notes[1].startswith("1 images of the train split are there more than once") and len(notes) == 2
    known, asked = {p: digest_of(p) for p in paths}, []
    halves = split([], tuple(paths[:3])), split([], tuple(paths[3:]))
    assert overlap_notes(*halves, asked.append, known=known) == notes and asked == []
    assert overlap_notes(*halves, digest_of, known={paths[0]: "a"}) == notes  # of some alone it is no help
    same = tuple(paths[4:])
    assert overlap_notes(split([], same), split([], same), digest_of)[0].startswith(
        "2 of 2 test images are training images too"
    )


def test_only_files_that_may_be_equal_are_hashed(tmp_path) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(b"x" * (100 + i // 2) + bytes([i]))
    asked = []
    assert overlap_notes(split([], (paths[0], paths[1])), split([], (paths[2], paths[3])), asked.append) == []
    assert asked == []


def test_objects_that_are_there_twice() -> None:
    box = [0.0, 0.0, 20.0, 40.0]
    twice = split([image(0, [box, box, box], [0, 0, 1])])
    assert overlap_notes(twice, split([]), digest_of) == [
        "1 objects of the train split are there twice, with the same class and box, e.g. in 0.jpg"
    ]
