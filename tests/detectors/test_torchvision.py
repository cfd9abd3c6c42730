"""`retinanet-resnet50` and `fcos-resnet50` give what torchvision's networks give, with their weights copied."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torchvision.models.detection import fcos_resnet50_fpn, retinanet_resnet50_fpn
from torchvision.models.detection.image_list import ImageList

from assignbench.config.detector import resolve
from assignbench.config.method import CoderConfig
from assignbench.detectors import build_detector
from assignbench.detectors.base import IMAGENET
from assignbench.priors import Priors, cells

CLASSES = 3
# torchvision's names, without what is called the same, to ours. A tower's layer is a convolution of a block (RetinaNet)
# or one of three: convolution, norm, ReLU (FCOS).
NAMES = (
    (r"^backbone\.body\.conv1\.", "backbone.stem.0."),
    (r"^backbone\.body\.bn1\.", "backbone.stem.1."),
    (r"^backbone\.body\.", "backbone."),
    (r"^backbone\.fpn\.inner_blocks\.(\d)\.0\.", r"neck.lateral.\1."),
    (r"^backbone\.fpn\.layer_blocks\.(\d)\.0\.", r"neck.output.\1."),
    (r"^backbone\.fpn\.extra_blocks\.p6\.", "neck.extra.0."),
    (r"^backbone\.fpn\.extra_blocks\.p7\.", "neck.extra.1."),
    (r"^head\.classification_head\.cls_logits\.", "head.cls."),
    (r"^head\.regression_head\.bbox_reg\.", "head.box."),
    (r"^head\.regression_head\.bbox_ctrness\.", "head.quality."),
    (r"^head\.classification_head\.conv\.(\d)\.0\.", r"head.cls_tower.convs.\1."),
    (r"^head\.regression_head\.conv\.(\d)\.0\.", r"head.box_tower.convs.\1."),
)
TOWERS = {"classification": "cls", "regression": "box"}


def ours(name: str) -> str:
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    found = re.match(r"^head\.(\w+)_head\.conv\.(\d+)\.(weight|bias)$", name)
    if found:
        tower, place, kind = TOWERS[found[1]], int(found[2]), ("convs", "norms")[int(found[2]) % 3]
        return f"head.{tower}_tower.{kind}.{place // 3}.{found[3]}"
    return name


# What their networks differ in from the papers' and so from our presets, in our words.
RETINANET: dict[str, Any] = {
    "neck": {"extra_from": "p5"},
    "priors": {"order": "ratio", "ratios": [2.0, 1.0, 0.5], "rounding": "torchvision", "offset": 0.0},
}
FCOS: dict[str, Any] = {"head": {"bias": True, "level_scale": False}, "priors": {"offset": 0.0}}


SIZES = ((64, 128), (96, 160), (160, 96), (32, 416), (75, 101))


@pytest.mark.parametrize(
    ("name", "make", "spec", "coder", "quality"),
    [
        ("retinanet-resnet50", retinanet_resnet50_fpn, RETINANET, CoderConfig(stds=(1.0, 1.0)), None),
        ("fcos-resnet50", fcos_resnet50_fpn, FCOS, CoderConfig(distance="relu"), "centerness"),
    ],
)
def test_raw_outputs_and_boxes(name, make, spec, coder, quality) -> None:
    """Torchvision spreads a level over the image, a step being side // cells: that is the stride where it divides the
    side, and less elsewhere. So every output is theirs, and every box is theirs but for that shift of its anchor.
    """
    torch.manual_seed(0)
    theirs = make(weights=None, weights_backbone=None, num_classes=CLASSES).eval()
    state = theirs.state_dict()
    for key, value in state.items():  # biases and statistics that do something
        if key.endswith(("bias", "running_mean")):
            value.copy_(0.05 * torch.randn(value.shape))
    detector = build_detector(resolve(name, spec), coder, CLASSES, quality).eval()
    detector.load_state_dict({ours(key): value for key, value in state.items()})
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
    for hw in SIZES:
        pixels = torch.randint(0, 256, (2, 3, *hw), dtype=torch.uint8)
        own = [hw, (32, 32)]  # the second image is padded: outputs are those of the whole batch, some do not count
        with torch.no_grad():
            priors, predictions = detector(pixels, own)
            features = list(theirs.backbone((pixels.float() - mean) / std).values())
            raw = theirs.head(features)
            anchors = theirs.anchor_generator(ImageList(pixels.float(), own), features)
            decode = getattr(theirs.box_coder, "decode", None) if quality else theirs.box_coder.decode_single
            boxes = torch.stack([decode(raw["bbox_regression"][i], anchors[i]) for i in (0, 1)])
        deltas = predictions.deltas.relu() if quality else predictions.deltas  # theirs are rectified already
        torch.testing.assert_close(predictions.cls_logits, raw["cls_logits"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(deltas, raw["bbox_regression"], rtol=1e-5, atol=1e-5)
        if quality:
            torch.testing.assert_close(predictions.quality_logits, raw["bbox_ctrness"][..., 0], rtol=1e-5, atol=1e-5)
        shift = steps_of_torchvision(priors, hw, detector.neck.strides)
        torch.testing.assert_close(predictions.boxes + shift, boxes, rtol=1e-5, atol=1e-3)
        if not quality:
            torch.testing.assert_close(priors.boxes + shift, anchors[0])
        aligned = sum(size for size, s in zip(priors.level_sizes, detector.neck.strides, strict=True) if divides(s, hw))
        assert not shift[:aligned].any() and (aligned > 0 or hw == (75, 101))


def divides(stride: int, hw: tuple[int, int]) -> bool:
    return all(side % stride == 0 for side in hw)


def steps_of_torchvision(priors: Priors, hw: tuple[int, int], strides: tuple[int, ...]) -> torch.Tensor:
    """How far its anchors [A, 4] lie from ours."""
    shifts = []
    for stride, points in zip(strides, priors.points.split(list(priors.level_sizes)), strict=True):
        steps = torch.tensor([float(hw[side] // cells(hw[side], stride)) for side in (1, 0)])
        shifts.append((points / stride * (steps - stride)).repeat(1, 2))
    return torch.cat(shifts)
