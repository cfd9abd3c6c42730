"""The detector itself: backbone, neck and head put together over priors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from assignbench.coders import coder_for
from assignbench.config.images import Pixels
from assignbench.config.method import QualityKind
from assignbench.contract import Objects, Predictions
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.heads import Head
from assignbench.detectors.necks import Neck
from assignbench.errors import InputError
from assignbench.padding import Cells, Padding, padding_of
from assignbench.priors import Priors, cells

IMAGENET = Pixels()
KEPT_SIZES = 16  # a range of sizes gives hundreds, each with some MB of priors

Grid = Callable[[tuple[int, int]], Priors]


@dataclass(frozen=True)
class Parts:
    """What a family makes of its description: a neck and a head over its levels."""

    neck: Neck
    head: Head


class Detector(nn.Module):
    """Pixels [B, 3, H, W] (uint8 or 0-255 floats, RGB) to (Priors, Predictions).

    `grid` makes the priors of an image size. `pixels` says how images are normalised, and in which order the network
    takes their channels. A `class_agnostic` one has a single class, whatever the data's classes are; one of `one_size`
    has priors that depend on the image's size, so that it takes no batch of mixed sizes.
    """

    def __init__(
        self,
        backbone: Backbone,
        parts: Parts,
        grid: Grid,
        quality_kind: QualityKind | None,
        *,
        class_agnostic: bool = False,
        one_size: bool = False,
        pixels: Pixels = IMAGENET,
    ) -> None:
        super().__init__()
        self.class_agnostic, self.one_size = class_agnostic, one_size
        self.backbone, self.neck, self.head = backbone, parts.neck, parts.head
        self.quality_kind = quality_kind
        self._grid = grid
        self._reversed = pixels.order == "bgr"
        self._placed: dict[tuple[tuple[int, int], torch.device], Priors] = {}
        self.register_buffer("mean", torch.tensor(pixels.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(pixels.std).view(1, 3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.get_buffer("mean").device

    def taught(self, objects: Objects) -> Objects:
        """The objects as it is taught them: of one class, if it is class-agnostic."""
        return objects.class_agnostic() if self.class_agnostic else objects

    def priors(self, image_hw: tuple[int, int], device: torch.device | str = "cpu") -> Priors:
        """The priors of an image size; those of the last `KEPT_SIZES` sizes are kept."""
        key = (image_hw, torch.device(device))
        if key not in self._placed:
            if len(self._placed) >= KEPT_SIZES:
                self._placed.pop(next(iter(self._placed)))
            self._placed[key] = self._grid(image_hw).to(device)
        return self._placed[key]

    def forward(self, images: Tensor, sizes: Sequence[tuple[int, int]] | None = None) -> tuple[Priors, Predictions]:
        """`sizes` are the (height, width) that the images have alone, where some of them are padded to the batch's.

        The priors' `valid` then tells which priors an image of its own size would have had.
        """
        whole = (images.shape[-2], images.shape[-1])
        if self.training and len(images) == 1:
            self._check_norms(whole)
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        images = images.flip(1) if self._reversed else images
        x = ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)
        logits, deltas, quality = self.head(self.neck(self.backbone(x)))
        priors = self.priors(whole, images.device)
        with torch.autocast(images.device.type, enabled=False):
            boxes = coder_for(priors).decode(priors, deltas)
        if sizes is not None and any(tuple(size) != whole for size in sizes):
            if self.one_size:
                raise InputError(
                    "this detector holds its anchors within the image, so images of one batch must have one size; set "
                    "data.size to a number of px, or priors.clamp of the detector to false"
                )
            padding = unpadded(priors, self.neck.strides, sizes, whole)
            priors = replace(priors, valid=padding.valid, padding=padding)
        return priors, Predictions(logits, deltas, boxes, quality, self.quality_kind)

    def _check_norms(self, whole: tuple[int, int]) -> None:
        """Raises InputError for a single image of which a level is a single cell, where a batch norm learns from it."""
        for part, strides in ((self.backbone, self.backbone.strides), (self.neck, self.neck.strides)):
            stride = max(strides)
            parts = (part, self.head) if part is self.neck else (part,)
            learning = any(isinstance(m, nn.BatchNorm2d) and m.training for p in parts for m in p.modules())
            if learning and max(whole) <= stride:
                raise InputError(
                    f"the level of stride {stride} of one image of {whole[0]} x {whole[1]} px is a single cell, of "
                    "which batch norms learn nothing; set schedule.batch_size to 2 or more, or a larger data.size"
                )


def unpadded(
    priors: Priors, strides: Sequence[int], sizes: Sequence[tuple[int, int]], whole: tuple[int, int]
) -> Padding:
    """Which priors the images of these (height, width) have themselves: a level of stride s has ceil(side / s) rows and
    columns, of the batch's `whole` size as of an image's own.
    """
    for size in sizes:
        if size[0] > whole[0] or size[1] > whole[1]:
            raise ValueError(f"an image of (height, width) {tuple(size)} does not fit into the batch's {whole}")

    def levels(size: tuple[int, int]) -> Cells:
        return tuple((cells(size[0], stride), cells(size[1], stride)) for stride in strides)

    own = [levels(size) for size in sizes]
    return padding_of(levels(whole), own, priors.anchors_per_location, priors.boxes.device)
