"""What the benchmarks of training compare: our learners and torchvision's detectors, on the same images."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from assignbench.config.cell import CellConfig
from assignbench.config.data import DataSpec
from assignbench.config.detector import DETECTORS, DetectorConfig, resolve as resolve_detector
from assignbench.config.recipe import Schedule
from assignbench.data.base import DetectionData, ImageRecord
from assignbench.data.stream import Batch
from assignbench.engine.cell import seeded_detector
from assignbench.engine.detect import detect, views_of
from assignbench.engine.evaluate import image_table, object_table
from assignbench.engine.learner import Learner
from assignbench.errors import InputError
from assignbench.measure.coco import coco_summary
from assignbench.measure.matching import overlaps_of
from assignbench.methods import PRESETS, build, check, resolve

CLASSES, IMAGES, WIDTH, HEIGHT = 80, 256, 500, 375
NEVER = 10**6
LR, CLIP = 1e-3, 10.0
# As torchvision's detectors are: batch norm is frozen, and every layer learns.
FROZEN = {"frozen_norm": "all", "frozen_stages": 0}


def photos(images: int = IMAGES) -> DetectionData:
    """JPEG images in memory, smooth enough to be as large as photos, with seven objects on average."""
    rng, files, records = np.random.default_rng(0), [], []
    for number in range(images):
        coarse = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
        count = 1 + int(rng.poisson(6))
        sides = np.exp(rng.uniform(np.log(20), np.log(300), (count, 2)))
        corner = rng.uniform(0, 1, (count, 2)) * (np.array([WIDTH, HEIGHT]) - sides)
        boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
        none, ids = np.zeros(count, np.bool_), np.arange(count)
        label = rng.integers(0, CLASSES, count)
        records.append(
            ImageRecord(number, f"{number}.jpg", WIDTH, HEIGHT, boxes, label, none, none, sides.prod(1), ids, {})
        )
    names = tuple(f"class{c}" for c in range(CLASSES))

    def read(index: int) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(files[index])).convert("RGB"))

    return DetectionData("photos", "train", names, records, read)


def config_of(method: str, detector: DetectorConfig, side: int, batch: int) -> CellConfig:
    """A cell that never logs, on images of `side` px."""
    spec = {"name": "photos", "kind": "coco", "root": ".", "train": [("-", "-")], "test": [("-", "-")], "size": side}
    schedule = {"steps": NEVER, "batch_size": batch, "lr": LR, "optimizer": "sgd", "log_every": NEVER}
    return CellConfig(
        seed=0,
        detector=detector,
        method=resolve(method),
        data=DataSpec.model_validate({**spec, "augment": {"flip": 0.5, "zoom": 0.2, "colour": 0.2}}),
        schedule=Schedule.model_validate({**schedule, "clip_grad": CLIP}),
    )


def learner_of(config: CellConfig, device: torch.device, amp: str = "none") -> Learner:
    """What the cell trains, on the device and with random weights."""
    detector = seeded_detector(config, CLASSES).to(device=device, memory_format=torch.channels_last)
    method = build(config.method)
    method.criterion.to(device)
    schedule = config.schedule.model_copy(update={"amp": amp})
    learner = Learner(config.method.name, detector, method, schedule, 0, NEVER, NEVER)
    learner.detector.train()
    return learner


def summary_of(learner: Learner, config: CellConfig, data: DetectionData) -> dict[str, Any]:
    """COCO's numbers of what a learner's detector finds on a split, by a cell's method and evaluation."""
    learner.detector.eval()
    parts = []
    for views in views_of(data, config.data, config.evaluation):
        found = detect(learner.detector, config.method, views, config.evaluation)
        parts.append(found.after.rows(views[0].batch.image_ids, "score"))
    overlaps = overlaps_of(image_table(data), object_table(data), pd.concat(parts), len(data.classes))
    return coco_summary(overlaps, data.classes, config.evaluation.max_detections)


def detector_on(name: str, backbone: str) -> DetectorConfig:
    """A detector of ours on another backbone, whose batch norm is frozen."""
    return DetectorConfig(
        name=name, label=name, spec=resolve_detector(name, {"backbone": {"name": backbone, **FROZEN}})
    )


def first_fit(method: str, candidates: Iterable[DetectorConfig]) -> DetectorConfig:
    """The first detector that the method works on, of these and then of slim ones. Raises InputError if none suits."""
    slim = [DetectorConfig(name=n, label=n, spec=DETECTORS[n]) for n in ("fcos-slim", "rpn-slim", "retinanet1-slim")]
    for detector in (*candidates, *slim):
        try:
            check(PRESETS[method].method, detector.spec)
        except InputError:
            continue
        return detector
    raise InputError(f"no detector here suits {method}")


THEIRS: Mapping[str, Callable[..., nn.Module]] = {"retinanet": RetinaNet, "fcos": FCOS}


def theirs(
    kind: str, backbone: str, side: int, batches: Sequence[Batch], device: torch.device, dtype: torch.dtype | None
) -> Callable[[int], None]:
    """Steps of torchvision's RetinaNet or FCOS on the same batches, as its own recipe trains it."""
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    extra = LastLevelP6P7(256, 256)
    levels: dict[str, Any] = {"trainable_layers": 5, "returned_layers": [2, 3, 4], "extra_blocks": extra}
    body = resnet_fpn_backbone(backbone_name=backbone, weights=None, **levels)
    network = THEIRS[kind](body, CLASSES, min_size=side, max_size=side).to(device=device, memory_format=layout).train()
    weights = list(network.parameters())
    optimiser = torch.optim.SGD(weights, lr=LR, momentum=0.9, fused=device.type == "cuda")
    images = [[image for image in batch.images.to(device).float() / 255] for batch in batches]
    targets = [
        [
            {"boxes": boxes[valid].to(device), "labels": labels[valid].to(device)}
            for boxes, labels, valid in zip(b.objects.boxes, b.objects.labels, b.objects.valid, strict=True)
        ]
        for b in batches
    ]

    def steps(count: int) -> None:
        for number in range(count):
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                losses = network(images[number % len(images)], targets[number % len(images)])
            optimiser.zero_grad(set_to_none=True)
            sum(losses.values()).backward()
            torch.nn.utils.clip_grad_norm_(weights, CLIP)
            optimiser.step()

    return steps
