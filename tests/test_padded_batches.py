"""Through the loader and the detectors: a batch of mixed sizes gives what each of its images gives alone.

A convolution at the border of an image sees zeros where the image is alone, and activations of the padding where it is
not; so do group norms. Here the networks are made pointwise, so that nothing but the code decides.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from assignbench.assigners import ASSIGNERS
from assignbench.assigners.criteria import CRITERIA
from assignbench.coders import coder_for
from assignbench.config.data import DataSpec
from assignbench.config.detector import resolve
from assignbench.config.method import CoderConfig
from assignbench.conformance import ConformanceError, expect, fits, fitting, same
from assignbench.contract import Assignment, Context, Predictions, Targets, Term, one_or_each, summed, total
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.data.stream import Batch, TrainLoader
from assignbench.detectors import Detector, build_detector
from assignbench.errors import InputError
from assignbench.methods import PRESETS, Built, build, check, resolve as resolve_method
from assignbench.priors import Priors

CLASSES = 4
SHAPES = ((90, 60), (60, 90), (64, 64), (124, 62), (61, 58), (64, 96))  # width, height
SPEC = DataSpec.model_validate(
    {"name": "mixed", "kind": "coco", "size": {"short": 64, "long": 128}, "augment": {"flip": 0.5, "zoom": 0.1}}
)
KINDS = {"anchor": "retinanet-slim", "point": "fcos-slim"}
# Each with changes of its description: several boxes per point, anchors that are not held within the image.
DETECTORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("retinanet-slim", {}),
    ("retinanet1-slim", {}),
    ("fcos-slim", {}),
    ("fcos-slim", {"priors": {"per_location": 3}}),
    ("rpn-slim", {}),
    ("mg-retinanet-slim", {"priors": {"clamp": False}}),
)


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
    return pointwise(build_detector(resolve(name), CoderConfig(), CLASSES, quality))


def pointwise(found: Detector) -> Detector:
    """The detector in evaluation mode, its convolutions without all but their middle."""
    found.eval()
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


@pytest.mark.parametrize("progress", [0.1, 0.7])
@pytest.mark.parametrize("name", list(PRESETS))
def test_a_padded_batch_teaches_what_its_images_teach(name, progress) -> None:
    """Every preset on every small detector of images of any size: losses, and the gradient of all that is predicted."""
    method = resolve_method(name)
    built, tried = build(method), 0
    for told, spec in DETECTORS:
        try:
            check(method, resolve(told, spec))
        except InputError:
            continue
        tried += 1
        network = pointwise(build_detector(resolve(told, spec), method.coder, CLASSES, method.quality))
        whole, parts, given = _taught_together_and_alone(built, network, progress)
        apart = summed(parts)
        for key, term in whole.items():
            torch.testing.assert_close(term.value(), apart[key].value(), rtol=1e-5, atol=1e-6)
        leaves = [value for value in given if value.requires_grad]
        found, wanted = (
            torch.autograd.grad(total(terms), leaves, allow_unused=True, retain_graph=True) for terms in (whole, apart)
        )
        assert [g is None for g in found] == [g is None for g in wanted]
        for ours, theirs in zip(found, wanted, strict=True):
            if ours is not None:
                assert float((ours - theirs).abs().max()) <= 1e-5 * max(1e-6, float(theirs.abs().max())), told
    assert tried


def _taught_together_and_alone(
    built: Built, network: Detector, progress: float
) -> tuple[dict[str, Term], list[dict[str, Term]], list[torch.Tensor]]:
    """The terms of the batch, those of each image, and what of the predictions [B, A, ...] both depend on."""
    whole, random = batch(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        priors, seen = network(whole.images, whole.extents)
    assert priors.valid is not None

    def leaf(value: torch.Tensor, spread: float) -> torch.Tensor:
        return (value + spread * torch.randn(value.shape, generator=random)).requires_grad_()

    raw = Predictions(
        leaf(seen.cls_logits, 1.0),
        leaf(seen.deltas, 0.3),
        seen.boxes,
        None if seen.quality_logits is None else leaf(seen.quality_logits, 1.0),
        seen.quality_kind,
    )

    def terms(of: Batch, own: Priors, given: Predictions) -> dict[str, Term]:
        given = replace(given, boxes=coder_for(own).decode(own, given.deltas))
        told = replace(context(of), progress=progress, epoch=int(10 * progress))
        objects = network.taught(of.objects)
        return built.criterion(own, given, objects, built.assigner(own, given, objects, told), told)

    together, parts = terms(whole, priors, raw), []
    for place in range(len(SHAPES)):
        one, keep = alone(whole, place), priors.valid[place].nonzero().squeeze(1)
        inner = raw.images(place, place + 1).map(lambda t, keep=keep: t[:, keep])
        parts.append(terms(one, network.priors(one.extents[0]), inner))
    given = [value for value in (raw.cls_logits, raw.deltas, raw.quality_logits) if value is not None]
    return together, parts, given
