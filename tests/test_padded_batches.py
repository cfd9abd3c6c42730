"""Through the loader and the detectors: a batch of mixed sizes gives what each of its images gives alone.

A convolution at the border of an image sees zeros where the image is alone, and activations of the padding where it is
not; so do group norms. Here the networks are made pointwise, so that nothing but the code decides.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from assignbench.assigners import ASSIGNERS
from assignbench.assigners.criteria import CRITERIA
from assignbench.config.data import DataSpec
from assignbench.config.detector import resolve
from assignbench.config.method import CoderConfig
from assignbench.conformance import ConformanceError, expect, fits, fitting, same
from assignbench.contract import Assignment, Context, Targets, Term, one_or_each
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.data.stream import Batch, TrainLoader
from assignbench.detectors import Detector, build_detector

CLASSES = 4
SHAPES = ((90, 60), (60, 90), (64, 64), (124, 62), (61, 58), (64, 96))  # width, height
SPEC = DataSpec.model_validate(
    {"name": "mixed", "kind": "coco", "size": {"short": 64, "long": 128}, "augment": {"flip": 0.5, "zoom": 0.1}}
)
KINDS = {"anchor": "retinanet-slim", "point": "fcos-slim"}


@cache
def data() -> DetectionData:
    """Images of noise with up to four objects each, one of them without any."""
    rng = np.random.default_rng(4)
    images, pixels = [], []
    for number, (width, height) in enumerate(SHAPES):
        count = (3, 2, 4, 0, 1, 2)[number]
        corner = rng.uniform(0, 0.5, (count, 2)) * (width, height)
        side = rng.uniform(0.2, 0.5, (count, 2)) * (width, height)
        none = np.zeros(count, np.bool_)
        images.append(
            ImageRecord(
                id=number,
                name=f"{number}.png",
                width=width,
                height=height,
                boxes=np.concatenate([corner, corner + side], axis=1).astype(np.float32),
                labels=rng.integers(0, CLASSES, count),
                crowd=none,
                difficult=none,
                areas=np.ones(count, np.float32),
                ids=10 * number + np.arange(count),
            )
        )
        pixels.append(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
    return DetectionData("mixed", "train", tuple("abcd"), images, lambda i: pixels[i])


@cache
def batch() -> Batch:
    """All images in one batch, of five extents."""
    found = TrainLoader(data(), SPEC, len(SHAPES), 0).load(0)
    assert len(set(found.extents)) >= 4 and set(found.extents) != {tuple(found.images.shape[2:])}
    return found


def alone(whole: Batch, place: int) -> Batch:
    """One image of a batch as a batch of its own: cut to its extent, with room for its own objects alone."""
    high, wide = whole.extents[place]
    count = int(whole.objects.valid[place].sum())
    objects = whole.objects.images(place, place + 1)
    return Batch(
        whole.images[place : place + 1, :, :high, :wide],
        replace(
            objects, boxes=objects.boxes[:, :count], labels=objects.labels[:, :count], valid=objects.valid[:, :count]
        ),
        whole.image_ids[place : place + 1],
        whole.object_ids[place : place + 1, :count],
        whole.epoch,
        whole.scale[place : place + 1],
        whole.sizes[place : place + 1],
        whole.extents[place : place + 1],
    )


@cache
def detector(name: str, quality: str | None) -> Detector:
    """A detector in evaluation mode whose convolutions see one cell."""
    torch.manual_seed(0)
    found = build_detector(resolve(name), CoderConfig(), CLASSES, quality).eval()
    for layer in found.modules():
        if isinstance(layer, nn.Conv2d):
            centre = tuple(k // 2 for k in layer.kernel_size)
            taps = torch.zeros_like(layer.weight)
            taps[:, :, centre[0], centre[1]] = 1.0
            layer.weight.data *= taps * 3.0
    return found


def context(of: Batch) -> Context:
    return Context(image_ids=of.image_ids, image_hw=one_or_each(of.sizes), progress=0.7, epoch=3)


@pytest.mark.parametrize("name", ["fcos-slim", "retinanet-slim", "rpn-slim"])
@pytest.mark.parametrize("quality", [None, "iou"])
def test_an_image_has_the_priors_and_predictions_that_it_has_alone(name, quality) -> None:
    whole, network = batch(), detector(name, quality)
    with torch.no_grad():
        priors, found = network(whole.images, whole.extents)
        assert priors.valid is not None
        for place in range(len(SHAPES)):
            one = alone(whole, place)
            own, theirs = network(one.images, one.extents)
            assert own.valid is None
            keep = priors.valid[place].nonzero().squeeze(1)
            assert torch.equal(priors.boxes[keep], own.boxes) and torch.equal(priors.strides[keep], own.strides)
            per_level = [int(v.sum()) for v in torch.split(priors.valid[place], list(priors.level_sizes))]
            assert tuple(per_level) == own.level_sizes
            torch.testing.assert_close(found.cls_logits[place, keep], theirs.cls_logits[0], rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(found.boxes[place, keep], theirs.boxes[0], rtol=1e-5, atol=1e-4)
            assert found.cls_logits[place, keep].std() > 1e-4  # the image is seen at all


def test_a_batch_of_one_extent_masks_nothing() -> None:
    loader = TrainLoader(data(), SPEC.model_copy(update={"size": 64}), 4, 0)
    whole = loader.load(0)
    priors, _ = detector("retinanet-slim", None)(whole.images, whole.extents)
    assert priors.valid is None and whole.sizes == ((64, 64),) * 4


@pytest.mark.parametrize("name", list(ASSIGNERS))
def test_a_padded_batch_costs_what_its_images_cost(name) -> None:
    """Every registered assigner with every criterion that it goes with, on every kind of priors and of quality head."""
    rule = ASSIGNERS.build(name)
    tried, problems = 0, []
    for other in CRITERIA:
        criterion = CRITERIA.build(other)
        if not fits(rule, criterion):
            continue
        for kind, quality in fitting(rule, criterion):
            tried += 1
            try:
                _costs_the_same(rule, criterion, KINDS[kind], quality)
            except ConformanceError as problem:
                problems.append(f"{other} on {kind}s with {quality}: {problem}")
    assert tried and not problems, "\n".join(problems)


def _costs_the_same(rule, criterion, name: str, quality: str | None) -> None:
    whole, network = batch(), detector(name, quality)
    with torch.no_grad():
        priors, predictions = network(whole.images, whole.extents)
        given = rule(priors, predictions, whole.objects, context(whole))
        terms = criterion(priors, predictions, whole.objects, given, context(whole))
        parts: list[dict[str, Term]] = []
        for place in range(len(SHAPES)):
            one, keep = alone(whole, place), priors.valid[place].nonzero().squeeze(1)
            own = network.priors(one.extents[0])
            inner = predictions.images(place, place + 1).map(lambda t, keep=keep: t[:, keep])
            expected = rule(own, inner, one.objects, context(one))
            cut = Assignment(_at(given.cls, place, keep), _at(given.box, place, keep))
            same(cut, expected, f"image {place} in the batch and alone")
            parts.append(criterion(own, inner, one.objects, expected, context(one)))
    for key in terms:
        summed = sum((p[key] for p in parts[1:]), parts[0][key])
        ours, theirs = float(terms[key].value()), float(summed.value())
        expect(
            abs(ours - theirs) <= 1e-6 * max(1.0, abs(ours)), f"{key} is {ours} in the batch, {theirs} image by image"
        )


def _at(targets: Targets, place: int, keep: torch.Tensor) -> Targets:
    return Targets(*(getattr(targets, n)[place : place + 1, keep] for n in ("index", "weight", "quality")))
