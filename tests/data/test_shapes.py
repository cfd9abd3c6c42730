"""Embedded scenes: same bytes everywhere, factors under control, boxes that fit."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from assignbench.config.data import DataSpec, SceneFactors
from assignbench.data.catalog import load
from assignbench.data.kinds.shapes import SHAPE_CLASSES, UNIT, coverage, read_shapes, render
from assignbench.records import files


def test_bytes_are_fixed_for_a_seed() -> None:
    pixels, table = render(SceneFactors(), np.random.default_rng([0, 1, 2]))
    digest = hashlib.sha256(pixels.tobytes() + table.tobytes()).hexdigest()
    assert digest[:16] == "2c161f159f4541f5"


def test_splits_and_seeds_differ() -> None:
    train, test, other = (
        read_shapes(s, 3, SceneFactors(), seed=n) for s, n in (("train", 0), ("test", 0), ("train", 1))
    )
    assert not np.array_equal(train.read(0), test.read(0))
    assert not np.array_equal(train.read(0), other.read(0))
    assert train.fingerprint() == read_shapes("train", 3, SceneFactors()).fingerprint()


def test_cache_gives_the_same(tmp_path) -> None:
    first = read_shapes("train", 4, SceneFactors(), cache=tmp_path)
    again = read_shapes("train", 4, SceneFactors(), cache=tmp_path)
    assert first.fingerprint() == again.fingerprint()
    assert all(np.array_equal(first.read(i), again.read(i)) for i in range(4))
    assert len(list(tmp_path.iterdir())) == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def of_others(path: Path) -> None:
    np.savez(path, pixels=np.zeros((3, 128, 128, 3), np.uint8), table=np.zeros((0, 9)))


def without_columns(path: Path) -> None:
    np.savez(path, pixels=np.zeros((4, 128, 128, 3), np.uint8), table=np.zeros((5, 8)))


@pytest.mark.parametrize(
    "damage", [cut, lambda path: path.write_bytes(b""), of_others, without_columns], ids=["cut", "empty", "few", "form"]
)
def test_a_damaged_cache_is_rendered_anew(tmp_path, damage) -> None:
    first = read_shapes("train", 4, SceneFactors(), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    damage(path)
    assert read_shapes("train", 4, SceneFactors(), cache=tmp_path).fingerprint() == first.fingerprint()
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]


def test_machines_that_render_at_once_do_not_meet(tmp_path, monkeypatch) -> None:
    """Of one number of process each: while one writes, another one does the same to its end."""
    host, real, found = ["here"], np.savez, []
    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(files, "host_name", lambda: host[0])

    def slow(*given, **arrays) -> None:
        real(*given, **arrays)
        if host == ["here"]:
            host[0] = "there"
            found.append(read_shapes("train", 2, SceneFactors(), cache=tmp_path).fingerprint())

    monkeypatch.setattr(np, "savez", slow)
    found.append(read_shapes("train", 2, SceneFactors(), cache=tmp_path).fingerprint())
    assert len(set(found)) == 1 and len(found) == 2 and len(list(tmp_path.iterdir())) == 1


def test_default_scenes_are_hard_enough() -> None:
    data = read_shapes("train", 300, SceneFactors())
    crowded, slender, sizes = [], [], []
    for image in data.images:
        boxes = image.boxes.astype(float)
        low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        shared = (high - low).clip(0).prod(-1)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
        iou = shared / (area[:, None] + area[None] - shared)
        np.fill_diagonal(iou, 0)
        side = boxes[:, 2:] - boxes[:, :2]
        crowded += iou.max(1, initial=0).tolist()
        slender += (side.max(1) / side.min(1)).tolist()
        sizes += side.max(1).tolist()
        assert (boxes >= 0).all() and (boxes <= 128).all()
    assert np.mean(np.array(crowded) >= 0.2) >= 0.2
    assert np.mean(np.array(slender) >= 3) >= 0.2
    assert 12 <= min(sizes) < 14
    assert 80 < max(sizes) <= 90
    labels = np.concatenate([i.labels for i in data.images])
    assert set(labels.tolist()) == set(range(len(SHAPE_CLASSES)))


@pytest.mark.parametrize("shape", SHAPE_CLASSES)
@pytest.mark.parametrize("size", [(24, 24), (20, 60), (60, 20)])
def test_a_shape_fills_its_box_and_nothing_else(shape, size) -> None:
    box = (10 * UNIT, 15 * UNIT, (10 + size[0]) * UNIT, (15 + size[1]) * UNIT)
    cover = coverage(shape, box, 96, 0)
    rows, columns = np.nonzero(cover)
    # The sharp tips of a star may miss the sampling points of their last pixel.
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    slack = 1 if shape == "star" else 0
    assert abs(found - [10, 15, 10 + size[0], 15 + size[1]]).max() <= slack
    assert cover.max() == 16


def test_shapes_differ_from_each_other() -> None:
    box = (8 * UNIT, 8 * UNIT, 40 * UNIT, 56 * UNIT)
    covers = [coverage(s, box, 64, 0) >= 8 for s in SHAPE_CLASSES]
    for i, a in enumerate(covers):
        for b in covers[i + 1 :]:
            assert np.count_nonzero(a != b) > 0.08 * a.size * 0.375


def test_factors_control_the_scenes() -> None:
    plain = SceneFactors(crowding=0.0, elongated=0.0, acentric=0.0, occluders=0)
    data = read_shapes("train", 40, plain)
    for image in data.images:
        sides = image.boxes[:, 2:] - image.boxes[:, :2]
        assert (sides.max(1) / sides.min(1) <= 2.2).all()
        assert (image.attributes["acentricity"] == 0).all()
    handles = read_shapes("train", 10, SceneFactors(acentric=1.0))
    assert all((i.labels >= 6).all() and (i.attributes["acentricity"] > 0.5).all() for i in handles.images)


def test_impossible_factors_are_refused() -> None:
    with pytest.raises(ValueError, match="max_size"):
        SceneFactors(max_size=300)
    with pytest.raises(ValueError, match="crowding"):
        SceneFactors(crowding=2)


def test_the_three_splits_are_scenes_of_their_own() -> None:
    spec = DataSpec(name="shapes", kind="shapes", train_images=3, val_images=3, test_images=3)
    splits = [load(spec, split, Path()) for split in ("train", "val", "test")]
    assert [d.split for d in splits] == ["train", "val", "test"] and {len(d) for d in splits} == {3}
    assert len({d.read(i).tobytes() for d in splits for i in range(3)}) == 9
