"""Heads: towers shared over levels, an RPN's single convolution, or one layer per level and task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assignbench.config.network import DetectorSpec, HeadSpec
from assignbench.detectors.deform import DeformConv

Outputs = tuple[Tensor, Tensor, Tensor | None]


class Head(nn.Module):
    """Maps of the levels to class logits [B, A, C], deltas [B, A, 4] and, if asked for, quality logits [B, A].

    Priors are ordered level, row, column, prior of the location. `cls_layers`, `box_layers` and `quality_layers` are
    the last layers, which start as a method says. `box_shapes` > 1: the priors of a location start as boxes of drawn
    scale and ratio (several anchors per point).
    """

    box_shapes = 1

    @property
    def cls_layers(self) -> Sequence[nn.Conv2d]:
        """The layers that end in class logits."""
        return _layers(self.cls)

    @property
    def box_layers(self) -> Sequence[nn.Conv2d]:
        """The layers that end in deltas."""
        return _layers(self.box)

    @property
    def quality_layers(self) -> Sequence[nn.Conv2d]:
        """The layers that end in quality logits; none without a quality head."""
        return _layers(self.quality)


def _layers(found: object) -> Sequence[nn.Conv2d]:
    """One layer, or those of all levels."""
    several = found if isinstance(found, nn.ModuleList) else [found]
    return [layer for layer in several if isinstance(layer, nn.Conv2d)]


class Tower(nn.Module):
    """The `depth` 3x3 convolutions of a description, shared over levels; batch norms ("bn") are kept per level, group
    norms shared.
    """

    def __init__(self, inputs: int, levels: int, spec: HeadSpec) -> None:
        super().__init__()
        width, depth, norm = spec.width, spec.depth, spec.norm
        widths = [inputs] + [width] * depth
        bias = norm == "none" or spec.bias
        convs: list[nn.Module] = [nn.Conv2d(widths[i], width, 3, 1, 1, bias=bias) for i in range(depth)]
        if spec.dcn:
            convs[-1] = DeformConv(widths[-2], width, bias=bias, masks=spec.dcn_masks)
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList()
        self.per_level = norm == "bn"
        if norm == "bn":
            self.norms.extend(nn.ModuleList([nn.BatchNorm2d(width) for _ in range(levels)]) for _ in range(depth))
        elif norm == "gn":
            groups = next(g for g in (32, 16, 8, 4, 2, 1) if width % g == 0)
            self.norms.extend(nn.GroupNorm(groups, width) for _ in range(depth))

    def forward(self, x: Tensor, level: int) -> Tensor:
        for place, conv in enumerate(self.convs):
            x = conv(x)
            if len(self.norms):
                norm = self.norms[place]
                x = norm[level](x) if isinstance(norm, nn.ModuleList) else norm(x)
            x = torch.relu(x)
        return x


class DenseHead(Head):
    """Towers shared over levels. The quality layer sits on the box tower, or on the class tower (`quality_on`)."""

    def __init__(
        self,
        inputs: int,
        levels: int,
        num_classes: int,
        per_location: int,
        spec: HeadSpec,
        *,
        quality: bool = False,
        box_shapes: int = 1,
    ) -> None:
        super().__init__()
        self.cls_tower = Tower(inputs, levels, spec)
        self.box_tower = Tower(inputs, levels, spec)
        last = spec.width if spec.depth else inputs
        self.cls = nn.Conv2d(last, per_location * num_classes, 3, 1, 1)
        self.box = nn.Conv2d(last, per_location * 4, 3, 1, 1)
        self.quality = nn.Conv2d(last, per_location, 3, 1, 1) if quality else None
        self.scales = nn.Parameter(torch.ones(levels)) if spec.level_scale else None
        self.quality_on = spec.quality_on
        self.num_classes = num_classes
        self.box_shapes = box_shapes

    def forward(self, maps: Sequence[Tensor]) -> Outputs:
        logits, deltas, quality = [], [], []
        for level, feature in enumerate(maps):
            towers = {"cls": self.cls_tower(feature, level), "box": self.box_tower(feature, level)}
            logits.append(_flat(self.cls(towers["cls"]), self.num_classes))
            delta = _flat(self.box(towers["box"]), 4)
            deltas.append(delta if self.scales is None else delta * self.scales[level])
            if self.quality is not None:
                quality.append(_flat(self.quality(towers[self.quality_on]), 1))
        return _joined(logits, deltas, quality)


class LevelHead(Head):
    """One 3x3 convolution per level and task, nothing shared: the head of SSD and of Mutual Guidance's detectors."""

    def __init__(self, channels: Sequence[int], num_classes: int, per_location: int, *, quality: bool = False) -> None:
        super().__init__()

        def layers(values: int) -> nn.ModuleList:
            return nn.ModuleList([nn.Conv2d(c, per_location * values, 3, 1, 1) for c in channels])

        self.cls, self.box = layers(num_classes), layers(4)
        self.quality = layers(1) if quality else None
        self.num_classes = num_classes

    def forward(self, maps: Sequence[Tensor]) -> Outputs:
        logits = [_flat(layer(x), self.num_classes) for layer, x in zip(self.cls, maps, strict=True)]
        deltas = [_flat(layer(x), 4) for layer, x in zip(self.box, maps, strict=True)]
        if self.quality is None:
            return _joined(logits, deltas, [])
        return _joined(logits, deltas, [_flat(layer(x), 1) for layer, x in zip(self.quality, maps, strict=True)])


class RPNHead(Head):
    """One 3x3 convolution shared by both tasks, then 1x1 layers (Faster R-CNN): as DenseHead with a single class."""

    def __init__(self, inputs: int, per_location: int, *, quality: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.cls = nn.Conv2d(inputs, per_location, 1)
        self.box = nn.Conv2d(inputs, per_location * 4, 1)
        self.quality = nn.Conv2d(inputs, per_location, 1) if quality else None

    def forward(self, maps: Sequence[Tensor]) -> Outputs:
        shared = [torch.relu(self.conv(feature)) for feature in maps]
        quality = [] if self.quality is None else [_flat(self.quality(x), 1) for x in shared]
        return _joined([_flat(self.cls(x), 1) for x in shared], [_flat(self.box(x), 4) for x in shared], quality)


def dense_head(spec: DetectorSpec, levels: int, num_classes: int, *, quality: bool, box_shapes: int = 1) -> DenseHead:
    """The head of a description over `levels` maps of its neck."""
    if spec.head is None:
        raise ValueError(f"family '{spec.family}' needs a head")
    return DenseHead(
        spec.neck.width, levels, num_classes, spec.priors.count, spec.head, quality=quality, box_shapes=box_shapes
    )


def _joined(logits: list[Tensor], deltas: list[Tensor], quality: list[Tensor]) -> Outputs:
    """The levels one after the other, in float32."""
    scores = torch.cat(quality, dim=1).squeeze(-1).float() if quality else None
    return torch.cat(logits, dim=1).float(), torch.cat(deltas, dim=1).float(), scores


def _flat(x: Tensor, values: int) -> Tensor:
    """[B, P * values, h, w] to [B, h * w * P, values]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)
