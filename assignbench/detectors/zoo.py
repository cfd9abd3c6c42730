"""Named detectors: backbone, neck, head, priors and coder put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from assignbench.coders import Coder, coder_for
from assignbench.contract import Predictions, QualityKind
from assignbench.detectors.backbones import Backbone, ResNet, Slim, SqueezeNet, load_weights
from assignbench.detectors.heads import DenseHead, Norm, RPNHead
from assignbench.detectors.necks import FPN
from assignbench.priors import Priors, anchor_grid, point_grid
from assignbench.registry import Registry

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Detector(nn.Module):
    """Pixels [B, 3, H, W] (uint8 or 0-255 floats, RGB) to (Priors, Predictions).

    A `class_agnostic` one has a single class, whatever the data's classes are.
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: FPN,
        head: DenseHead | RPNHead,
        grid: Callable[[tuple[int, int]], Priors],
        quality_kind: QualityKind | None,
        *,
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.class_agnostic = class_agnostic
        self.backbone, self.neck, self.head = backbone, neck, head
        self.quality_kind = quality_kind
        self._grid = lru_cache(maxsize=8)(grid)
        self._placed: dict[tuple[tuple[int, int], torch.device], Priors] = {}
        self.coder: Coder = coder_for(grid((64, 64)).kind)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def priors(self, image_hw: tuple[int, int], device: torch.device | str = "cpu") -> Priors:
        """The priors of an image size, kept per size and device."""
        key = (image_hw, torch.device(device))
        if key not in self._placed:
            self._placed[key] = self._grid(image_hw).to(device)
        return self._placed[key]

    def forward(self, images: Tensor) -> tuple[Priors, Predictions]:
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        x = ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)
        logits, deltas, quality = self.head(self.neck(self.backbone(x)))
        priors = self.priors((images.shape[-2], images.shape[-1]), images.device)
        with torch.autocast(images.device.type, enabled=False):
            boxes = self.coder.decode(priors, deltas)
        return priors, Predictions(logits, deltas, boxes, quality, self.quality_kind)


DETECTORS: Registry[Detector] = Registry("detector")


def _retinanet(
    backbone: Backbone,
    num_classes: int,
    quality_kind: QualityKind | None,
    *,
    fpn_width: int,
    head_width: int,
    head_depth: int,
    head_norm: Norm,
    extra_levels: int,
    extra_from: Literal["c5", "p5"],
    neck_norm: bool,
    scales: Sequence[float],
    ratios: Sequence[float],
    weights: str | None,
    level_scale: bool = False,
) -> Detector:
    if weights:
        load_weights(backbone, Path(weights))
    neck = FPN(backbone.channels, backbone.strides, fpn_width, extra_levels, extra_from, neck_norm)
    head = DenseHead(
        fpn_width,
        len(neck.strides),
        num_classes,
        len(scales) * len(ratios),
        width=head_width,
        depth=head_depth,
        norm=head_norm,
        quality=quality_kind is not None,
        level_scale=level_scale,
    )
    strides = neck.strides
    return Detector(backbone, neck, head, lambda hw: anchor_grid(hw, strides, scales, ratios), quality_kind)


def _fcos(
    backbone: Backbone,
    num_classes: int,
    quality_kind: QualityKind | None,
    *,
    width: int,
    depth: int,
    extra_levels: int,
    per_location: int,
    norm: Norm,
    weights: str | None,
) -> Detector:
    if weights:
        load_weights(backbone, Path(weights))
    neck = FPN(backbone.channels, backbone.strides, width, extra_levels, "p5", norm=True)
    head = DenseHead(
        width,
        len(neck.strides),
        num_classes,
        per_location,
        width=width,
        depth=depth,
        norm=norm,
        quality=quality_kind is not None,
        level_scale=True,
        box_shapes=per_location,
    )
    strides = neck.strides
    return Detector(backbone, neck, head, lambda hw: point_grid(hw, strides, per_location), quality_kind)


# The anchors of Mutual Guidance: 24 px and its root-two fold at stride 8 and so on, three ratios (facts, section 1.1).
MG_SCALES, MG_RATIOS = (3.0, 3.0 * 2**0.5), (1.0, 2.0, 0.5)
# RetinaNet's own: 4 x stride x 2^(k/3).
RETINA_SCALES = (4.0, 4.0 * 2 ** (1 / 3), 4.0 * 2 ** (2 / 3))


@DETECTORS.register("retinanet-slim")
def retinanet_slim(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    fpn_width: int = 48,
    head_depth: int = 1,
    scales: Sequence[float] = (2.5, 3.54),
    ratios: Sequence[float] = (1.0, 2.0, 0.5),
) -> Detector:
    """A RetinaNet of 0.3 million parameters for CPUs: strides 8 to 32, batch norm everywhere."""
    return _retinanet(
        Slim(),
        num_classes,
        quality_kind,
        fpn_width=fpn_width,
        head_width=fpn_width,
        head_depth=head_depth,
        head_norm="bn",
        extra_levels=0,
        extra_from="p5",
        neck_norm=True,
        scales=scales,
        ratios=ratios,
        weights=weights,
    )


@DETECTORS.register("retinanet-squeezenet")
def retinanet_squeezenet(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    fpn_width: int = 96,
    head_depth: int = 1,
    scales: Sequence[float] = (2.5, 3.54),
    ratios: Sequence[float] = (1.0, 2.0, 0.5),
    freeze_first: bool = True,
) -> Detector:
    """A RetinaNet on SqueezeNet 1.1, strides 8 to 64, narrow enough to train on a CPU."""
    return _retinanet(
        SqueezeNet(freeze_first),
        num_classes,
        quality_kind,
        fpn_width=fpn_width,
        head_width=fpn_width,
        head_depth=head_depth,
        head_norm="bn",
        extra_levels=2,
        extra_from="p5",
        neck_norm=True,
        scales=scales,
        ratios=ratios,
        weights=weights,
    )


def _retinanet_resnet(
    depth: int,
    num_classes: int,
    quality_kind: QualityKind | None,
    weights: str | None,
    head_width: int,
    head_depth: int,
    head_norm: Norm,
    extra_from: Literal["c5", "p5"],
    scales: Sequence[float],
    ratios: Sequence[float],
) -> Detector:
    return _retinanet(
        ResNet(depth),
        num_classes,
        quality_kind,
        fpn_width=256,
        head_width=head_width,
        head_depth=head_depth,
        head_norm=head_norm,
        extra_levels=2,
        extra_from=extra_from,
        neck_norm=False,
        scales=scales,
        ratios=ratios,
        weights=weights,
    )


@DETECTORS.register("retinanet-resnet18")
def retinanet_resnet18(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    head_width: int = 256,
    head_depth: int = 4,
    head_norm: Norm = "none",
    extra_from: Literal["c5", "p5"] = "p5",
    scales: Sequence[float] = MG_SCALES,
    ratios: Sequence[float] = MG_RATIOS,
) -> Detector:
    """RetinaNet on ResNet-18 with standard shared heads, strides 8 to 128, Mutual Guidance's anchors."""
    return _retinanet_resnet(
        18, num_classes, quality_kind, weights, head_width, head_depth, head_norm, extra_from, scales, ratios
    )


@DETECTORS.register("retinanet-resnet50")
def retinanet_resnet50(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    head_width: int = 256,
    head_depth: int = 4,
    head_norm: Norm = "none",
    extra_from: Literal["c5", "p5"] = "c5",
    scales: Sequence[float] = RETINA_SCALES,
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
) -> Detector:
    """RetinaNet on ResNet-50 with standard shared heads, strides 8 to 128, nine anchors (Lin et al., ICCV 2017)."""
    return _retinanet_resnet(
        50, num_classes, quality_kind, weights, head_width, head_depth, head_norm, extra_from, scales, ratios
    )


@DETECTORS.register("fcos-slim")
def fcos_slim(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    width: int = 48,
    depth: int = 1,
    per_location: int = 1,
    norm: Norm = "bn",
) -> Detector:
    """FCOS for CPUs: points, distances to the sides, strides 8 to 64; the quality head on the box tower."""
    return _fcos(
        Slim(),
        num_classes,
        quality_kind,
        width=width,
        depth=depth,
        extra_levels=1,
        per_location=per_location,
        norm=norm,
        weights=weights,
    )


@DETECTORS.register("fcos-squeezenet")
def fcos_squeezenet(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    width: int = 96,
    depth: int = 1,
    per_location: int = 1,
    norm: Norm = "bn",
    freeze_first: bool = True,
) -> Detector:
    """FCOS on SqueezeNet 1.1, strides 8 to 64."""
    return _fcos(
        SqueezeNet(freeze_first),
        num_classes,
        quality_kind,
        width=width,
        depth=depth,
        extra_levels=2,
        per_location=per_location,
        norm=norm,
        weights=weights,
    )


@DETECTORS.register("retinanet1-slim")
def retinanet1_slim(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    fpn_width: int = 48,
    head_depth: int = 2,
    head_norm: Norm = "gn",
    scale: float = 4.0,
) -> Detector:
    """One square anchor per location, group-norm towers, a learned factor per level (the network of ATSS and PAA)."""
    return _retinanet(
        Slim(),
        num_classes,
        quality_kind,
        fpn_width=fpn_width,
        head_width=fpn_width,
        head_depth=head_depth,
        head_norm=head_norm,
        extra_levels=0,
        extra_from="p5",
        neck_norm=True,
        scales=(scale,),
        ratios=(1.0,),
        weights=weights,
        level_scale=True,
    )


def _rpn(
    backbone: Backbone,
    quality_kind: QualityKind | None,
    width: int,
    extra_levels: int,
    scales: Sequence[float],
    ratios: Sequence[float],
    weights: str | None,
) -> Detector:
    if weights:
        load_weights(backbone, Path(weights))
    neck = FPN(backbone.channels, backbone.strides, width, extra_levels, "p5", norm=True)
    head = RPNHead(width, len(scales) * len(ratios), quality=quality_kind is not None)
    strides = neck.strides
    return Detector(
        backbone, neck, head, lambda hw: anchor_grid(hw, strides, scales, ratios), quality_kind, class_agnostic=True
    )


@DETECTORS.register("rpn-slim")
def rpn_slim(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    width: int = 48,
    scales: Sequence[float] = (2.5, 3.54),
    ratios: Sequence[float] = (1.0, 2.0, 0.5),
) -> Detector:
    """A region proposal network for CPUs: one class, whatever `num_classes` says; strides 8 to 32."""
    return _rpn(Slim(), quality_kind, width, 0, scales, ratios, weights)


@DETECTORS.register("rpn-squeezenet")
def rpn_squeezenet(
    num_classes: int,
    *,
    quality_kind: QualityKind | None = None,
    weights: str | None = None,
    width: int = 96,
    scales: Sequence[float] = (2.5, 3.54),
    ratios: Sequence[float] = (1.0, 2.0, 0.5),
    freeze_first: bool = True,
) -> Detector:
    """A region proposal network on SqueezeNet 1.1, strides 8 to 64."""
    return _rpn(SqueezeNet(freeze_first), quality_kind, width, 2, scales, ratios, weights)
