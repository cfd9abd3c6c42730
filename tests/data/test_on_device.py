"""Images that are made on the device are those that the processor makes, within the rounding of their weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from assignbench.config.data import DataSpec
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.data.on_device import made, recipe_of
from assignbench.data.stream import Batch, TrainLoader
from tests.engine.test_waiting import watched

SIZES = ((90, 120), (120, 90), (33, 47), (64, 64), (150, 210))  # smaller and larger than what is made of them


def pictures(rng: np.random.Generator) -> DetectionData:
    """Images of several sizes, smooth and noisy, with objects anywhere."""
    pixels, records = [], []
    for number, (height, width) in enumerate(SIZES):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3)).astype(np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        pixels.append((smooth + rng.integers(-20, 20, smooth.shape)).clip(0, 255).astype(np.uint8))
        corner = rng.uniform(0, 0.5, (3, 2)) * (width, height)
        boxes = np.concatenate([corner, corner + np.array([width, height]) / 3], axis=1).astype(np.float32)
        none, ids = np.zeros(3, np.bool_), np.arange(3)
        records.append(ImageRecord(number, str(number), width, height, boxes, ids % 2, none, none, ids * 1.0, ids, {}))
    return DetectionData("made", "train", ("a", "b"), records, lambda index: pixels[index])


def both(draw: int, **augment: object) -> tuple[Batch, Batch]:
    """A batch from the processor, and one that is still to be made."""
    rng = np.random.default_rng(draw)
    size = 64 if augment.get("ssd") else [64, {"short": 48, "long": 80}, {"short": [40, 56], "long": 90}][draw % 3]
    spec = DataSpec.model_validate({"name": "made", "kind": "shapes", "size": size, "augment": augment})
    loader = TrainLoader(pictures(rng), spec, 5, draw)
    return loader.load(draw), replace(loader, late=True).load(draw)


def finished(batch: Batch) -> torch.Tensor:
    assert batch.late is not None
    return made(batch.images, recipe_of(batch.late))


def apart(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    assert one.shape == two.shape and one.dtype == two.dtype == torch.uint8
    return (one.int() - two.int()).abs()


@pytest.mark.parametrize("augment", [{"flip": 0.0}, {"flip": 0.5, "flip_vertical": 0.5, "zoom": 0.4}])
@pytest.mark.parametrize("draw", range(9))
def test_cut_resized_and_flipped(draw, augment) -> None:
    plain, late = both(draw, **augment)
    difference = apart(plain.images, finished(late))
    assert difference.max() <= 2 and (difference > 0).float().mean() < 0.1
    assert (difference > 1).float().mean() < 1e-3
    for name in ("image_ids", "sizes", "extents", "epoch"):
        assert getattr(plain, name) == getattr(late, name)
    assert torch.equal(plain.objects.boxes, late.objects.boxes) and torch.equal(plain.object_ids, late.object_ids)
    assert torch.equal(plain.scale, late.scale)


@pytest.mark.parametrize("draw", range(6))
def test_jittered(draw) -> None:
    plain, late = both(draw, flip=0.5, zoom=0.2, colour=0.3)
    difference = apart(plain.images, finished(late))
    assert difference.max() <= 4 and difference.float().mean() < 0.1


@pytest.mark.parametrize("draw", range(12))
def test_as_ssd_has_it(draw) -> None:
    """Hue is kept in whole levels, of which one can be several of a colour; that is where two levels meet."""
    plain, late = both(draw, ssd=True)
    difference = apart(plain.images, finished(late))
    assert difference.float().mean() < 0.35 and (difference > 4).float().mean() < 0.01


def test_nothing_of_it_waits_for_a_device(monkeypatch) -> None:
    """No number is read and no mask chooses; what is copied, staging.py sends."""
    _, late = both(1, ssd=True)
    assert late.late is not None
    recipe = recipe_of(late.late)
    with watched(monkeypatch):
        made(late.images, recipe)
