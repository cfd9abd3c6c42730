"""Augmentation moves boxes with their pixels; batches depend on nothing but the seed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from assignbench.config.cell import LocalPaths
from assignbench.config.data import Augment, DataSpec, SceneFactors
from assignbench.data.augment import Change, changed, cut, drawn, moved, whole
from assignbench.data.base import LEARNED, MEASURED, PixelCache
from assignbench.data.catalog import load
from assignbench.data.kinds.shapes import read_shapes
from assignbench.data.stream import TrainLoader, evaluation_batches
from assignbench.engine.cell import build_cell
from tests.engine.cells import tiny

BOX = np.array([[20, 12, 44, 30]], np.float32)
FILL = (124, 116, 104)


def picture() -> np.ndarray:
    """Dark ground, one bright rectangle at BOX."""
    pixels = np.full((60, 80, 3), 40, np.uint8)
    pixels[12:30, 20:44] = 220
    return pixels


def apply(how, pixels, boxes, hw, rng, fill):
    """Pixels, boxes, and which boxes are still there, after a change that is drawn."""
    size = (pixels.shape[1], pixels.shape[0])
    change = drawn(how, *size, boxes, hw, rng)
    return changed(pixels, change, fill), *moved(boxes, size, change)


def brightness_box(pixels: np.ndarray) -> list[int]:
    """The rectangle as the pixels show it."""
    grey = pixels.astype(float).mean(2)
    rows, columns = np.nonzero(grey > (grey.min() + grey.max()) / 2)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    "augment",
    [
        Augment(flip=1.0),
        Augment(flip=0.0, flip_vertical=1.0),
        Augment(zoom=0.25),
        Augment(flip=1.0, zoom=0.3, colour=0.2),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_boxes_follow_the_pixels(augment, seed) -> None:
    out, boxes, kept = apply(augment, picture(), BOX, (96, 96), np.random.default_rng(seed), FILL)
    assert out.shape == (96, 96, 3) and kept.all()
    shown = brightness_box(out)
    # The fill of a zoomed-out border is brighter than the ground, so only boxes away from it are compared.
    if augment.zoom == 0 or (boxes[0] > 2).all():
        np.testing.assert_allclose(boxes[0].clip(0, 96), shown, atol=2.0)


@pytest.mark.parametrize("seed", range(30))
def test_ssd_chain_keeps_boxes_inside(seed) -> None:
    out, boxes, kept = apply(Augment(ssd=True), picture(), BOX, (64, 64), np.random.default_rng(seed), FILL)
    assert out.shape == (64, 64, 3) and out.dtype == np.uint8
    assert (boxes >= 0).all() and (boxes <= 64).all()
    if kept[0]:
        assert (boxes[0, 2:] > boxes[0, :2]).all()


def test_colour_stays_mild() -> None:
    """A jitter twenty times too strong once cost 40 AP behind a plausible loss."""
    changes = []
    for seed in range(50):
        out, *_ = apply(Augment(flip=0.0, colour=0.2), picture(), BOX, (64, 64), np.random.default_rng(seed), FILL)
        plain = cut(picture(), whole(80, 60), (64, 64), FILL)
        changes.append(abs(out.astype(float).mean() - plain.astype(float).mean()) / plain.mean())
    assert 0.03 < np.mean(changes) < 0.2
    assert max(changes) < 0.25


def test_a_cut_box_is_dropped_when_its_centre_leaves() -> None:
    _, kept = moved(BOX, (80, 60), Change((33.0, 0.0, 80.0, 60.0), (64, 64)))
    assert not kept[0]
    boxes, kept = moved(BOX, (80, 60), Change((30.0, 0.0, 80.0, 60.0), (64, 64)))
    assert kept[0] and boxes[0, 0] == 0


def loader(workers=0, seed=0) -> TrainLoader:
    data = read_shapes("train", 12, SceneFactors())
    change = Augment(flip=0.5, flip_vertical=0.5, zoom=0.2, colour=0.1)
    return TrainLoader(data, DataSpec(name="scenes", kind="shapes", size=128, augment=change), 4, seed, workers)


def equal(a, b) -> bool:
    same = torch.equal(a.images, b.images) and a.image_ids == b.image_ids
    return same and torch.equal(a.objects.boxes, b.objects.boxes) and torch.equal(a.object_ids, b.object_ids)


def test_workers_and_resuming_change_nothing() -> None:
    plain = list(loader().batches(0, 8))
    assert all(equal(a, b) for a, b in zip(plain, loader(workers=3).batches(0, 8), strict=True))
    assert all(equal(a, b) for a, b in zip(plain[5:], loader(workers=2).batches(5, 8), strict=True))
    assert not equal(plain[0], next(loader(seed=1).batches(0, 1)))


def test_an_epoch_visits_every_image_once_and_changes_them_next_time() -> None:
    batches = list(loader().batches(0, 6))
    first = [i for b in batches[:3] for i in b.image_ids]
    assert sorted(first) == list(range(12))
    assert first != [i for b in batches[3:] for i in b.image_ids]
    assert [b.epoch for b in batches] == [0, 0, 0, 1, 1, 1]


def test_evaluation_batches_scale_back() -> None:
    data = read_shapes("test", 3, SceneFactors())
    (batch,) = evaluation_batches(data, [0, 1, 2], DataSpec(name="scenes", kind="shapes", size=64), 8)
    assert batch.images.shape == (3, 3, 64, 64)
    back = batch.objects.boxes[0, : len(data.images[0].boxes)] * batch.scale[0].repeat(2)
    np.testing.assert_allclose(back.numpy(), data.images[0].boxes, atol=1e-4)


def test_cache_is_capped_and_drops_the_oldest() -> None:
    reads = []

    def read(index: int) -> np.ndarray:
        reads.append(index)
        return np.zeros((10, 10, 3), np.uint8)

    cache = PixelCache(read, limit=650, latest=True)
    for index in (0, 1, 0, 2, 1):
        cache(index)
    assert reads == [0, 1, 2, 1]


def test_the_first_stay_where_a_split_is_larger_than_its_room() -> None:
    reads = []

    def read(index: int) -> np.ndarray:
        reads.append(index)
        return np.zeros((10, 10, 3), np.uint8)

    cache = PixelCache(read, limit=650)
    for index in (0, 1, 2, 3, 1, 0, 3, 2):
        cache(index)
    assert reads == [0, 1, 2, 3, 3, 2]
    cache.clear()
    cache(3)
    cache(3)
    assert reads[6:] == [3]
    tiny = PixelCache(read, limit=10, latest=True)  # an image that is larger than all of the room is handed on
    assert tiny(5).shape == (10, 10, 3) and tiny(5).shape == (10, 10, 3) and reads[7:] == [5, 5]


def test_the_processes_of_a_run_part_the_room(coco_folder) -> None:
    pairs = {"train": [("instances.json", "images")], "test": [("instances.json", "images")]}
    spec = DataSpec(name="mine", kind="coco", root=str(coco_folder), size=64, **pairs)
    config = tiny(batch_size=1).model_copy(update={"data": spec})
    cell = build_cell(Path(), config, LocalPaths(root=str(coco_folder), at_once=3, processes=2), "cpu")
    assert cell.train.read.sharers == cell.test.read.sharers == 6
    data, size = cell.train, cell.train.read(0).nbytes
    data.release()
    data.read.limit = 3 * size - 1
    data.share(3)  # each has room for less than an image
    assert data.read(0) is not data.read(0)
    data.share(2)
    assert data.read(0) is data.read(0)


def test_a_test_split_holds_fewer_decoded_images_than_a_training_split(coco_folder) -> None:
    pairs = {"train": [("instances.json", "images")], "test": [("instances.json", "images")]}
    spec = DataSpec(name="mine", kind="coco", root=str(coco_folder), **pairs)
    learned, measured = (load(spec, split, coco_folder) for split in ("train", "test"))
    assert (learned.read.limit, learned.read.latest) == (LEARNED, False)
    assert (measured.read.limit, measured.read.latest) == (MEASURED, True)
    first = learned.read(0)
    assert learned.read(0) is first
    learned.release()
    assert learned.read(0) is not first and np.array_equal(learned.read(0), first)
