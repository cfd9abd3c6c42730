"""Test images to detections: every view of a batch through the network, their boxes together through NMS and voting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import torch
from torch import Tensor

from assignbench.config.data import DataSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.contract import Predictions
from assignbench.data.ahead import made_ahead
from assignbench.data.base import DetectionData
from assignbench.data.stream import Batch, evaluation_batch, evaluation_parts
from assignbench.detectors import Detector
from assignbench.engine.nms import thin_out, vote
from assignbench.engine.scored import Scored
from assignbench.engine.scoring import boxes_before_nms
from assignbench.engine.staging import staged
from assignbench.engine.stopwatch import Stopwatch
from assignbench.priors import Priors
from assignbench.sending import sent

HOST = torch.device("cpu")


@dataclass(frozen=True)
class View:
    """Some or all images of a batch at one of the test sizes, `mirrored` left to right or as they are."""

    batch: Batch
    mirrored: bool = False


@dataclass(frozen=True)
class Detected:
    """What a batch gave: boxes before and after NMS in px of the original images, on the device.

    `predictions` and `priors` are those of the first view. `watch` has two laps for each view, network and selection
    of what enters NMS, and one for NMS and voting.
    """

    before: Scored
    after: Scored
    predictions: Predictions
    priors: Priors
    watch: Stopwatch


def views_of(
    data: DetectionData, spec: DataSpec, evaluation: Evaluation, workers: int = 0, device: torch.device = HOST
) -> Iterator[list[View]]:
    """The test images in batches, each with all its views; the first is the batch itself.

    Images that share a padded size at the first test size need not do so at the others: there they come in as many
    views as they have sizes. `workers` threads read ahead (0: none), and a GPU is sent batches while it works.
    """
    first, *others = (spec.model_copy(update={"size": size}) for size in evaluation.sizes(spec.size))
    asked = []
    for places in evaluation_parts(data, range(len(data)), first, evaluation.batch):
        again = [(part, other) for other in others for part in evaluation_parts(data, places, other, evaluation.batch)]
        asked.append([(places, first), *again])
    made = made_ahead(lambda one: evaluation_batch(data, *one), chain.from_iterable(asked), workers)
    batches = staged(made, device)
    for parts in asked:
        seen = islice(batches, len(parts))
        yield [View(one, mirrored) for one in seen for mirrored in (False, True)[: 1 + evaluation.test_flip]]


def detect(detector: Detector, method: MethodConfig, views: Sequence[View], evaluation: Evaluation) -> Detected:
    """The detections of a batch from its views: network, ranking, floor and limits, NMS, voting.

    The first view has all images. Everything is computed on the detector's device, and without gradient; the caller
    has set evaluation mode.
    """
    watch = Stopwatch(detector.device)
    with torch.no_grad():
        priors, predictions, before = _seen(detector, method, views[0], evaluation, watch)
        if len(views) > 1:
            found = [(views[0].batch.image_ids, before)]
            for view in views[1:]:
                found.append((view.batch.image_ids, _seen(detector, method, view, evaluation, watch)[2]))
            before = _together(found)
        after = thin_out(before, method.nms, evaluation.max_detections)
        voting = evaluation.voting(method.voting)
        if voting is not None:
            after = vote(after, before, voting)
        watch.mark()
    return Detected(before, after, predictions, priors, watch)


def _seen(
    detector: Detector, method: MethodConfig, view: View, evaluation: Evaluation, watch: Stopwatch
) -> tuple[Priors, Predictions, Scored]:
    """What the network makes of a view, its boxes mirrored back, and those that enter NMS."""
    batch = view.batch
    images = sent(batch.images, detector.device)
    priors, predictions = detector(_mirrored(images, batch.sizes) if view.mirrored else images, batch.extents)
    watch.mark()
    if view.mirrored:
        predictions = replace(predictions, boxes=_mirrored_back(predictions.boxes, batch.sizes))
    boxes = boxes_before_nms(
        predictions, priors, method, evaluation, batch.sizes, batch.scale, image_ids=batch.image_ids
    )
    watch.mark()
    return priors, predictions, boxes


def _mirrored(images: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Images [B, 3, H, W] left to right, each within its own (height, width); the padding stays where it is."""
    turned = images.clone()
    for image, (_, width) in zip(turned, sizes, strict=True):
        image[..., :width] = image[..., :width].flip(-1)
    return turned


def _mirrored_back(boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Boxes [B, A, 4] on mirrored images as boxes on the images, of these (height, width)."""
    width = sent(torch.tensor([[float(w)] for _, w in sizes]), boxes.device)
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([width - right, top, width - left, bottom], dim=-1)


def _together(found: Sequence[tuple[tuple[int, ...], Scored]]) -> Scored:
    """The boxes that all views gave of each image of the first one, best first; ties go to the earlier view."""
    of_image: dict[int, list[Scored]] = {number: [] for number in found[0][0]}
    for ids, boxes in found:
        for place, number in enumerate(ids):
            of_image[number].append(boxes.row(place))
    whole = Scored.pad([Scored.joined(parts) for parts in of_image.values()])
    return whole.kept(whole.valid)
