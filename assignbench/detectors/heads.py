"""The dense head: towers shared over levels, one prediction per prior."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assignbench.config.detector import DetectorSpec, HeadSpec, Norm


class Tower(nn.Module):
    """`depth` 3x3 convolutions shared over levels; batch norms ("bn") are kept per level, group norms shared."""

    def __init__(self, inputs: int, width: int, depth: int, levels: int, norm: Norm) -> None:
        super().__init__()
        widths = [inputs] + [width] * depth
        convs = [nn.Conv2d(widths[i], width, 3, 1, 1, bias=norm == "none") for i in range(depth)]
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


class DenseHead(nn.Module):
    """Class logits [B, A, C], deltas [B, A, 4] and, if asked for, one quality logit per prior [B, A].

    Priors are ordered level, row, column, prior of the location. The quality layer sits on the box tower.
    `box_shapes` > 1: the priors of a location start as boxes of drawn scale and ratio (several anchors per point).
    """

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
        self.cls_tower = Tower(inputs, spec.width, spec.depth, levels, spec.norm)
        self.box_tower = Tower(inputs, spec.width, spec.depth, levels, spec.norm)
        last = spec.width if spec.depth else inputs
        self.cls = nn.Conv2d(last, per_location * num_classes, 3, 1, 1)
        self.box = nn.Conv2d(last, per_location * 4, 3, 1, 1)
        self.quality = nn.Conv2d(last, per_location, 3, 1, 1) if quality else None
        self.scales = nn.Parameter(torch.ones(levels)) if spec.level_scale else None
        self.num_classes = num_classes
        self.box_shapes = box_shapes

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        logits, deltas, quality = [], [], []
        for level, feature in enumerate(maps):
            cls = self.cls_tower(feature, level)
            box = self.box_tower(feature, level)
            logits.append(_flat(self.cls(cls), self.num_classes))
            delta = _flat(self.box(box), 4)
            deltas.append(delta if self.scales is None else delta * self.scales[level])
            if self.quality is not None:
                quality.append(_flat(self.quality(box), 1))
        scores = torch.cat(quality, dim=1).squeeze(-1).float() if quality else None
        return torch.cat(logits, dim=1).float(), torch.cat(deltas, dim=1).float(), scores


class RPNHead(nn.Module):
    """One 3x3 convolution shared by both tasks, then 1x1 layers (Faster R-CNN): as DenseHead with a single class."""

    box_shapes = 1

    def __init__(self, inputs: int, per_location: int, *, quality: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.cls = nn.Conv2d(inputs, per_location, 1)
        self.box = nn.Conv2d(inputs, per_location * 4, 1)
        self.quality = nn.Conv2d(inputs, per_location, 1) if quality else None

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        shared = [torch.relu(self.conv(feature)) for feature in maps]
        logits = torch.cat([_flat(self.cls(x), 1) for x in shared], dim=1).float()
        deltas = torch.cat([_flat(self.box(x), 4) for x in shared], dim=1).float()
        if self.quality is None:
            return logits, deltas, None
        return logits, deltas, torch.cat([_flat(self.quality(x), 1) for x in shared], dim=1).squeeze(-1).float()


def dense_head(spec: DetectorSpec, levels: int, num_classes: int, *, quality: bool, box_shapes: int = 1) -> DenseHead:
    """The head of a description over `levels` maps of its neck."""
    if spec.head is None:
        raise ValueError(f"family '{spec.family}' needs a head")
    return DenseHead(
        spec.neck.width, levels, num_classes, spec.priors.count, spec.head, quality=quality, box_shapes=box_shapes
    )


def _flat(x: Tensor, values: int) -> Tensor:
    """[B, P * values, h, w] to [B, h * w * P, values]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)
