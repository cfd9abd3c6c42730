"""Test images to detections: every view of a batch through the network, their boxes together through NMS and voting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from assignbench.config.data import DataSpec
from assignbench.config.evaluation import Evaluation
from assignbench.config.method import MethodConfig
from assignbench.contract import Predictions
from assignbench.data.base import DetectionData
from assignbench.data.stream import Batch, evaluation_batches
from assignbench.detectors import Detector
from assignbench.engine.nms import thin_out, vote
from assignbench.engine.outcome import Diverged
from assignbench.engine.scored import Scored
from assignbench.engine.scoring import boxes_before_nms
from assignbench.engine.stopwatch import Stopwatch
from assignbench.priors import Priors


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


def views_of(data: DetectionData, spec: DataSpec, evaluation: Evaluation) -> Iterator[list[View]]:
    """The test images in batches, each with all its views; the first is the batch itself.

    Images that share a padded size at the first test size need not do so at the others: there they come in as many
    views as they have sizes.
    """
    first, *others = (spec.model_copy(update={"size": size}) for size in evaluation.sizes(spec.size))
    place = {image.id: index for index, image in enumerate(data.images)}
    for batch in evaluation_batches(data, range(len(data)), first, evaluation.batch):
        members = [place[number] for number in batch.image_ids]
        seen = [batch]
        for other in others:
            seen += evaluation_batches(data, members, other, evaluation.batch)
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
    images = batch.images.to(detector.device)
    priors, predictions = detector(_mirrored(images, batch.sizes) if view.mirrored else images, batch.extents)
    watch.mark()
    _check(predictions, batch.image_ids)
    if view.mirrored:
        predictions = replace(predictions, boxes=_mirrored_back(predictions.boxes, batch.sizes))
    boxes = boxes_before_nms(predictions, priors, method, evaluation, batch.sizes, batch.scale)
    watch.mark()
    return priors, predictions, boxes


def _check(predictions: Predictions, image_ids: Sequence[int]) -> None:
    """Raises Diverged for test images of which the network says what is no number: they would just have no boxes."""
    outputs = {"class": predictions.cls_logits, "quality": predictions.quality_logits, "box": predictions.boxes}
    for name, values in outputs.items():
        if values is not None:
            lost = values.flatten(1).amax(dim=1).isnan()  # amax hands a NaN on
            if bool(lost.any()):
                place = int(lost.byte().argmax())
                raise Diverged(
                    f"test image {image_ids[place]}: the network's {name} outputs are not numbers; lower schedule.lr, "
                    "or raise schedule.warmup, for the whole study"
                )


def _mirrored(images: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Images [B, 3, H, W] left to right, each within its own (height, width); the padding stays where it is."""
    turned = images.clone()
    for image, (_, width) in zip(turned, sizes, strict=True):
        image[..., :width] = image[..., :width].flip(-1)
    return turned


def _mirrored_back(boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Boxes [B, A, 4] on mirrored images as boxes on the images, of these (height, width)."""
    width = torch.tensor([[float(w)] for _, w in sizes], device=boxes.device)
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([width - right, top, width - left, bottom], dim=-1)


def _together(found: Sequence[tuple[tuple[int, ...], Scored]]) -> Scored:
    """The boxes that all views gave of each image of the first one, best first; ties go to the earlier view."""
    of_image: dict[int, list[Scored]] = {number: [] for number in found[0][0]}
    for ids, boxes in found:
        for place, number in enumerate(ids):
            of_image[number].append(boxes.image(place))
    return Scored.pad([Scored.joined(parts) for parts in of_image.values()])
