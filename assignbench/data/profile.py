"""What a split of a data set is like, at the size at which a network sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assignbench.config.images import AspectSize, network_hw, shown_size
from assignbench.data.base import DetectionData
from assignbench.measure.boxes import aspect_ratio
from assignbench.measure.crowding import crowdedness

SMALL = 8.0  # px at network size: the stride of the finest level of most detectors
CROWDED = 0.2  # IoU with another object from which an object is not sparse (LTM, Table 2)
SLENDER = 3.0  # ratio of the sides


@dataclass(frozen=True)
class Profile:
    """Counts, and shares of the objects that are no crowd regions; sides and ratios in px at network size."""

    images: int
    objects: int
    empty_images: int
    crowd_regions: int
    difficult: int
    size: int | AspectSize
    median_side: float
    small: float
    crowded: float
    median_ratio: float
    slender: float
    objects_per_image: float
    per_class: dict[str, int]

    def lines(self) -> list[str]:
        """The profile in words."""
        counts = f"{self.images} images, {self.objects} objects, {self.empty_images} images without one"
        if self.crowd_regions:
            counts += f", {self.crowd_regions} crowd regions"
        if self.difficult:
            counts += f", {self.difficult} difficult objects"
        if not self.objects:
            return [counts]
        order = sorted(self.per_class.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {count}" for name, count in order[:12])
        absent = [name for name, count in order if not count]
        more = f", and {len(order) - 12} more classes down to {order[-1][1]}" if len(order) > 12 else ""
        lines = [
            counts,
            f"at {shown_size(self.size)}: median side {self.median_side:.1f} px, {self.small:.1%} of the objects below "
            f"{SMALL:g} px",
            f"crowded (IoU {CROWDED:g} and more with another): {self.crowded:.1%}; {self.objects_per_image:.1f} "
            f"objects per image with any; median ratio of the sides {self.median_ratio:.2f}, {self.slender:.1%} from "
            f"{SLENDER:g} on",
            f"classes: {shown}{more}",
        ]
        if absent:
            lines.append(f"classes without an object: {', '.join(absent)}")
        return lines


def profile(data: DetectionData, size: int | AspectSize) -> Profile:
    """The profile of a split whose images are brought to a size, where it is drawn to that of the test split."""
    counts = [int((~i.crowd).sum()) for i in data.images]
    used = [~i.crowd for i in data.images]
    boxes = np.concatenate([np.zeros((0, 4)), *(i.boxes[u] for i, u in zip(data.images, used, strict=True))])
    labels = np.concatenate([np.zeros(0, int), *(i.labels[u] for i, u in zip(data.images, used, strict=True))])
    owner = np.repeat(np.arange(len(counts)), counts)
    seen = [network_hw(size, i.width, i.height)[::-1] for i in data.images]
    original = [(i.width, i.height) for i in data.images]
    scale = np.asarray(seen, np.float64).reshape(-1, 2) / np.asarray(original, np.float64).reshape(-1, 2)
    scaled = boxes * np.tile(scale, 2)[owner]
    sides = np.sqrt(np.prod(scaled[:, 2:] - scaled[:, :2], axis=1))
    shortest = np.minimum(scaled[:, 2] - scaled[:, 0], scaled[:, 3] - scaled[:, 1])
    ratios = aspect_ratio(scaled)
    per_class = np.bincount(labels, minlength=len(data.classes)).tolist()
    some = len(boxes) > 0
    return Profile(
        images=len(data),
        objects=len(boxes),
        empty_images=counts.count(0),
        crowd_regions=int(sum(i.crowd.sum() for i in data.images)),
        difficult=int(sum(i.difficult.sum() for i in data.images)),
        size=size,
        median_side=float(np.median(sides)) if some else 0.0,
        small=float(np.mean(shortest < SMALL)) if some else 0.0,
        crowded=float(np.mean(crowdedness(owner, boxes) >= CROWDED)) if some else 0.0,
        median_ratio=float(np.median(ratios)) if some else 1.0,
        slender=float(np.mean(ratios >= SLENDER)) if some else 0.0,
        objects_per_image=len(boxes) / max(1, sum(c > 0 for c in counts)),
        per_class=dict(zip(data.classes, per_class, strict=True)),
    )
