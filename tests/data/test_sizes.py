"""Images that keep their aspect: sides, padding, draws, pixels, and which objects are taught."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from assignbench.cli import main
from assignbench.config.data import Augment, DataSpec, data_over
from assignbench.config.detector import resolve
from assignbench.config.images import (
    MULTIPLE,
    AspectSize,
    Pixels,
    SideRange,
    network_hw,
    nominal_hw,
    padded_hw,
    shown_size,
)
from assignbench.config.method import CoderConfig
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.data.images import read_pixels
from assignbench.data.lessons import taught
from assignbench.data.stream import Batch, TrainLoader, evaluation_batches
from assignbench.detectors import build_detector

SHAPES = ((96, 64), (64, 96), (50, 50), (200, 40), (33, 77), (64, 64))  # width, height
SIZES = st.builds(
    lambda short, more: AspectSize(short=short, long=min(4096, short + more)),
    st.integers(32, 1200),
    st.integers(0, 2000),
)
LENGTHS = st.integers(1, 6000)


def image(number: int, shape: tuple[int, int], boxes=None, crowd=None) -> ImageRecord:
    """An image of that (width, height), with two objects unless it says otherwise."""
    width, height = shape
    if boxes is None:
        boxes = [[1, 2, width / 2, height / 2], [width / 4, height / 5, width - 3, height - 1]]
    count = len(boxes)
    none = np.zeros(count, np.bool_)
    return ImageRecord(
        id=number,
        name=f"{number}.png",
        width=width,
        height=height,
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        labels=np.arange(count) % 3,
        crowd=none if crowd is None else np.asarray(crowd, np.bool_),
        difficult=none,
        areas=np.ones(count, np.float32),
        ids=100 * number + np.arange(count),
    )


def pixels_of(record: ImageRecord) -> np.ndarray:
    """Pixels that are bright inside the first object."""
    pixels = np.full((record.height, record.width, 3), 30, np.uint8)
    if len(record.boxes):
        x1, y1, x2, y2 = record.boxes[0].astype(int)
        pixels[y1:y2, x1:x2] = 220
    return pixels


def split(shapes=SHAPES, images: list[ImageRecord] | None = None) -> DetectionData:
    images = [image(7 + n, shape) for n, shape in enumerate(shapes)] if images is None else images
    return DetectionData("mine", "part", ("a", "b", "c"), images, lambda i: pixels_of(images[i]))


def spec(size, **more) -> DataSpec:
    return DataSpec.model_validate({"name": "mine", "kind": "coco", "size": size, "augment": {"flip": 0.0}, **more})


@given(SIZES, LENGTHS, LENGTHS)
@settings(max_examples=300)
def test_one_side_is_as_asked_and_none_is_longer(size, width, height) -> None:
    high, wide = network_hw(size, width, height)
    assert min(high, wide) >= 1 and max(high, wide) <= size.long and min(high, wide) <= size.largest
    assert min(high, wide) == size.largest or max(high, wide) == size.long
    scale = min(size.largest / min(width, height), size.long / max(width, height))
    for new, old in ((wide, width), (high, height)):
        assert abs(new - scale * old) <= 0.5 + 1e-9 * new or new == 1
    assert network_hw(size, height, width) == (wide, high)


@given(SIZES, LENGTHS, LENGTHS)
def test_padding_ends_at_the_next_multiple(size, width, height) -> None:
    hw = network_hw(size, width, height)
    for own, padded in zip(hw, padded_hw(size, hw), strict=True):
        assert padded % MULTIPLE == 0 and 0 <= padded - own < MULTIPLE
    assert padded_hw(300, (300, 300)) == (300, 300)  # stretched images have none


@pytest.mark.parametrize("shape", [(640, 480), (480, 640), (500, 375), (1000, 200), (333, 500), (640, 427)])
def test_sides_are_those_of_torchvision_up_to_rounding(shape) -> None:
    """torchvision cuts fractions off, which is at most one px."""
    width, height = shape
    theirs, _ = GeneralizedRCNNTransform(800, 1333, [0.0] * 3, [1.0] * 3)([torch.zeros(3, height, width)])
    for ours, other in zip(network_hw(AspectSize(short=800), width, height), theirs.image_sizes[0], strict=True):
        assert 0 <= ours - other <= 1


def test_sizes_by_hand() -> None:
    coco = AspectSize(short=800)
    assert network_hw(coco, 640, 480) == (800, 1067) and network_hw(coco, 480, 640) == (1067, 800)
    assert network_hw(coco, 1000, 200) == (267, 1333)  # the longer side would be 4000
    assert network_hw(320, 640, 480) == (320, 320)
    assert nominal_hw(coco) == (800, 1344) and nominal_hw(320) == (320, 320)
    several = AspectSize(short=(640, 672, 800))
    assert network_hw(several, 640, 480) == (800, 1067) and network_hw(several, 640, 480, 640) == (640, 853)
    assert [shown_size(s) for s in (320, coco, several)] == ["320 px", "800/1333 px", "640-800/1333 px"]


@given(
    st.lists(st.tuples(LENGTHS.filter(lambda n: n >= 12), LENGTHS.filter(lambda n: n >= 12)), min_size=1, max_size=4)
)
@settings(max_examples=25)
def test_boxes_there_and_back(shapes) -> None:
    """What the network sees, times the scale of its image, lies where it was annotated."""
    small = [(min(w, 300), min(h, 300)) for w, h in shapes]
    data, size = split(small), {"short": 64, "long": 128}
    seen = []
    for batch in evaluation_batches(data, range(len(data)), spec(size), 3):
        for place, image_id in enumerate(batch.image_ids):
            record = data.images[image_id - 7]
            back = batch.objects.boxes[place, :2] * batch.scale[place].repeat(2)
            np.testing.assert_allclose(back.numpy(), record.boxes, rtol=1e-5, atol=1e-3)
            high, wide = batch.sizes[place]
            assert batch.scale[place].tolist() == pytest.approx([record.width / wide, record.height / high])
            seen.append(image_id)
    assert sorted(seen) == [r.id for r in data.images]


def shown(batch: Batch, place: int) -> torch.Tensor:
    """What of a batch's image is no padding."""
    high, wide = batch.sizes[place]
    return batch.images[place, :, :high, :wide]


def test_a_batch_is_padded_to_its_largest_with_the_mean() -> None:
    pixels = Pixels(mean=(10.0, 20.0, 30.0), std=(1.0, 1.0, 1.0), order="bgr")
    told = spec({"short": 64, "long": 128}, pixels=pixels.model_dump())
    batch = TrainLoader(split(), told, len(SHAPES), 0).load(0)
    assert batch.images.shape == (6, 3, 128, 128) and batch.images.dtype == torch.uint8
    assert batch.extents == tuple(padded_hw(told.size, hw) for hw in batch.sizes)
    assert {(64, 96), (96, 64), (64, 64), (32, 128), (128, 64)} >= set(batch.extents) and len(set(batch.extents)) > 3
    for place, (high, wide) in enumerate(batch.sizes):
        outside = torch.ones(128, 128, dtype=torch.bool)
        outside[:high, :wide] = False
        assert set(map(tuple, batch.images[place][:, outside].T.tolist())) <= {(30, 20, 10)}
        assert bool((batch.objects.boxes[place, :, 0::2] <= wide).all())
        assert bool((batch.objects.boxes[place, :, 1::2] <= high).all())


def test_flips_stay_inside_the_image() -> None:
    data = split()
    plain = spec({"short": 64, "long": 128})
    flipped = spec({"short": 64, "long": 128}, augment={"flip": 1.0})
    one, other = (TrainLoader(data, told, len(SHAPES), 3).load(0) for told in (plain, flipped))
    assert one.image_ids == other.image_ids and one.sizes == other.sizes
    for place, (_, wide) in enumerate(one.sizes):
        assert torch.equal(shown(other, place), shown(one, place).flip(-1))
        boxes = one.objects.boxes[place][:, [2, 1, 0, 3]].clone()
        boxes[:, 0::2] = wide - boxes[:, 0::2]
        torch.testing.assert_close(other.objects.boxes[place], boxes)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_follow_the_pixels_of_a_zoomed_image(seed) -> None:
    data = split(((90, 60),) * 3)
    told = spec({"short": 96, "long": 200}, augment={"flip": 0.5, "flip_vertical": 0.5, "zoom": 0.2})
    batch = TrainLoader(data, told, 3, seed).load(seed)
    assert set(batch.sizes) == {(96, 144)}
    for place in range(3):
        bright = shown(batch, place)[2].float() > 170  # the fill is darker in blue
        rows, columns = bright.any(1).nonzero(), bright.any(0).nonzero()
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        first = batch.object_ids[place].tolist().index(100 * batch.image_ids[place])
        np.testing.assert_allclose(batch.objects.boxes[place, first].numpy(), [int(v) for v in found], atol=2.0)


LIST, RANGE = {"short": [32, 48, 64], "long": 200}, {"short": {"from": 32, "to": 96}, "long": 300}


def drawn(loader: TrainLoader, epochs: int) -> dict[tuple[int, int], int]:
    """The short side of every image in every epoch."""
    found = {}
    for batch in loader.batches(0, epochs * loader.steps_per_epoch):
        for image_id, hw in zip(batch.image_ids, batch.sizes, strict=True):
            found[batch.epoch, image_id] = min(hw)
    return found


@pytest.mark.parametrize("size", [LIST, RANGE])
def test_a_draw_depends_on_seed_epoch_and_image_alone(size) -> None:
    data = split(((64, 64), (70, 60), (60, 80), (64, 66)))
    first = drawn(TrainLoader(data, spec(size), 2, 0), 6)
    turned = DetectionData("other", "part", ("a",), data.images[::-1], lambda i: pixels_of(data.images[::-1][i]))
    others = (
        TrainLoader(data, spec(size), 4, 0, workers=3),  # other batches
        TrainLoader(data, spec(size, augment={"flip": 0.5, "zoom": 0.2, "colour": 0.2}), 1, 0),  # other draws beside it
        TrainLoader(turned, spec(size), 2, 0),  # another order of the same images
    )
    assert len(first) == 24 and all(drawn(other, 6) == first for other in others)
    assert drawn(TrainLoader(data, spec(size), 2, 1), 6) != first
    by_epoch = [[side for (epoch, _), side in first.items() if epoch == e] for e in range(6)]
    assert len({tuple(sides) for sides in by_epoch}) > 3


def test_draws_are_uniform() -> None:
    """Of 400 images, each of three sides has a third (four standard deviations), and a range its mean and its ends."""
    data = split(((64, 64),) * 400)
    several, ranged = (TrainLoader(data, spec(size), 400, 0) for size in (LIST, RANGE))
    counts = Counter(several._short(record, 0) for record in data.images)
    assert set(counts) == {32, 48, 64} and max(abs(n - 400 / 3) for n in counts.values()) < 38
    sides = [ranged._short(record, 0) for record in data.images]
    assert abs(np.mean(sides) - 64) < 4 * np.sqrt((65**2 - 1) / 12 / 400)
    assert min(sides) >= 32 and max(sides) <= 96 and len(set(sides)) > 60
    last = [ranged._short(replace(data.images[0], id=n), 0) for n in range(2000)]
    assert {32, 96} <= set(last)
    assert ranged._short(replace(data.images[0], id=-5), 0) is not None  # an id may be negative


@pytest.mark.parametrize("size", [LIST, RANGE])
def test_the_test_split_has_the_largest(size) -> None:
    (batch,) = evaluation_batches(split(((80, 80),)), [0], spec(size), 1)
    assert batch.sizes == ((max(AspectSize.model_validate(size).choices),) * 2,)


def same(a: Batch, b: Batch) -> bool:
    told = (a.image_ids, a.sizes, a.extents, a.epoch) == (b.image_ids, b.sizes, b.extents, b.epoch)
    tensors = (
        (a.images, b.images),
        (a.objects.boxes, b.objects.boxes),
        (a.object_ids, b.object_ids),
        (a.scale, b.scale),
    )
    return told and all(torch.equal(x, y) for x, y in tensors)


def test_workers_and_resuming_change_nothing_of_mixed_sizes() -> None:
    def loader(workers: int) -> TrainLoader:
        return TrainLoader(split(), spec(RANGE, augment={"flip": 0.5, "zoom": 0.2}), 2, 5, workers)

    plain = list(loader(0).batches(0, 9))
    assert len({b.images.shape for b in plain}) > 1
    assert all(same(a, b) for a, b in zip(plain, loader(3).batches(0, 9), strict=True))
    assert all(same(a, b) for a, b in zip(plain[4:], loader(2).batches(4, 9), strict=True))


def test_images_of_a_batch_of_the_test_split_have_one_extent() -> None:
    data, told = split(), spec({"short": 64, "long": 128})
    together = list(evaluation_batches(data, range(6), told, 8))
    assert all(len(set(b.extents)) == 1 and b.extents[0] == tuple(b.images.shape[2:]) for b in together)
    assert sorted(i for b in together for i in b.image_ids) == [r.id for r in data.images]
    for batch in together:
        for place, image_id in enumerate(batch.image_ids):
            (alone,) = evaluation_batches(data, [image_id - 7], told, 1)
            assert torch.equal(alone.images[0], batch.images[place])
    (stretched,) = evaluation_batches(data, [4, 0, 2], spec(64), 8)
    assert stretched.image_ids == (11, 7, 9)  # in order, where all are alike


def test_an_image_that_its_exif_turns_is_seen_upright(tmp_path) -> None:
    """60 x 40 px in the file, annotated as 40 x 60 after a quarter turn."""
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:, :30] = 200  # the left half, which is the upper one after the turn
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    record = image(7, (40, 60), [[0, 0, 40, 30]])
    data = DetectionData("mine", "part", ("a",), [record], lambda i: read_pixels(path, (40, 60)))
    (batch,) = evaluation_batches(data, [0], spec({"short": 64, "long": 128}), 1)
    assert batch.sizes == ((96, 64),) and batch.extents == ((96, 64),)
    upper, lower = batch.images[0, :, :44].float().mean(), batch.images[0, :, 52:].float().mean()
    assert upper > 180 > 20 > lower


CROWDED = image(7, (64, 64), [[0, 0, 20, 20], [5, 5, 60, 60], [3, 3, 9, 40], [4, 4, 4, 50]], [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({}, [0, 2]),
        ({"crowd": "train"}, [0, 1, 2]),  # but for a region without area
        ({"min_side": 5.9}, [0, 2]),
        ({"min_side": 6}, [0]),  # a side of 6 px is dropped
        ({"min_side": 6, "crowd": "train"}, [0, 1]),
    ],
)
def test_which_objects_are_taught(told, kept) -> None:
    data = split(images=[CROWDED])
    assert np.flatnonzero(taught(CROWDED, spec(64, **told))).tolist() == kept
    for size in (64, {"short": 48, "long": 64}):
        batch = TrainLoader(data, spec(size, **told), 1, 0).load(0)
        assert batch.object_ids[0].tolist() == [700 + k for k in kept]
        (probes,) = evaluation_batches(data, [0], spec(size, **told), 1, training=True)
        assert probes.object_ids[0].tolist() == [700 + k for k in kept]
        (judged,) = evaluation_batches(data, [0], spec(size, **told), 1)
        assert judged.object_ids[0].tolist() == [700, 702]  # the test split is judged on all but crowd regions


def test_a_range_survives_json() -> None:
    for size in (320, LIST, RANGE, {"short": 800}):
        first = spec(size)
        assert DataSpec.model_validate(first.model_dump(mode="json")) == first
        assert DataSpec.model_validate_json(first.model_dump_json()) == first
    assert isinstance(spec(RANGE).size.short, SideRange) and hash(spec(RANGE).size)
    assert Augment(ssd=True).ssd and spec(320, augment={"ssd": True}).size == 320


STUDY = """\
study: sizes
answers: nothing
cost: nothing
expect: nothing
detectors: [{detector}]
methods: [mutual_guidance]
data: {{name: shapes, {size}}}
schedule: {{steps: 4}}
"""


@pytest.mark.parametrize(
    ("detector", "size", "needed"),
    [
        ("fssd-slim", "size: {short: 64}", ("line 7: data.size", "clamped to the image", "size: 320")),
        ("mg-retinanet-slim", "size: {short: 64}", ("line 7: data.size", "clamped to the image")),
        ("retinanet-slim", "size: {short: 64}, augment: {ssd: true}", ("augment.ssd", "stretched")),
        ("retinanet-slim", "size: 64, image_size: 64", ("image_size", "older word")),
        ("retinanet-slim", "size: {short: [96, 64]}", ("size: the sides of short must rise",)),
        ("retinanet-slim", "size: {short: 64, long: 48}", ("short <= long",)),
        ("retinanet-slim", "size: {short: {from: 64, to: 64}}", ("size.short", "from < to")),
        ("retinanet-slim", "size: {short: []}", ("size.short is empty",)),
        ("retinanet-slim", "crowd: train", ("crowd has no meaning", "'shapes'")),
        ("retinanet-slim", "pixels: {std: [0, 1, 1]}", ("pixels.std.0 is 0", "nearest is 1")),
        ("retinanet-slim", "pixels: {order: grb}", ("pixels.order", "rgb, bgr")),
    ],
)
def test_plan_refuses_what_cannot_be_meant(detector, size, needed, tmp_path, capsys) -> None:
    path = tmp_path / "sizes.yaml"
    path.write_text(STUDY.format(detector=detector, size=size))
    assert main(["plan", str(path), "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert all(text in told for text in needed), told


@pytest.mark.parametrize("size", ["image_size: 64", "size: 64", "size: {short: [64, 96], long: 128}", "min_side: 8"])
def test_plan_takes_sizes(size, tmp_path) -> None:
    path = tmp_path / "sizes.yaml"
    path.write_text(STUDY.format(detector="retinanet-slim", size=size))
    assert main(["plan", str(path), "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize("above", [{"size": 64}, {"image_size": 64}])
@pytest.mark.parametrize("below", [{"size": {"short": 800}}, {"image_size": 320}, {}])
def test_the_upper_of_the_two_words_for_a_size_counts(above, below) -> None:
    merged = data_over({**below, "title": "x"}, above)
    assert merged == {"title": "x", **above}


def test_pixels_reach_the_network_as_they_are_told() -> None:
    """BGR images with a mean and a spread of their own: the backbone sees what is written by hand."""
    seen = []
    pixels = Pixels(mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 5.0), order="bgr")
    found = build_detector(resolve("retinanet-slim"), CoderConfig(), 2, None, None, pixels)
    found.backbone.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[0, 0], image[0, 1], image[0, 2] = 40, 60, 90  # red, green, blue
    with torch.no_grad():
        found.eval()(image)
    assert seen[0][0, :, 5, 5].tolist() == [80.0, 20.0, 2.0]  # (90 - 10) / 1, (60 - 20) / 2, (40 - 30) / 5
    assert pixels.fill == (30, 20, 10) and Pixels().fill == (124, 116, 104)


def test_priors_of_many_sizes_are_not_kept() -> None:
    found = build_detector(resolve("retinanet-slim"), CoderConfig(), 2)
    first = found.priors((64, 64))
    assert found.priors((64, 64)) is first
    for side in range(64, 64 + 32 * 40, 32):
        found.priors((side, 64))
    assert len(found._placed) <= 16
    assert torch.equal(found.priors((64, 64)).boxes, first.boxes)
