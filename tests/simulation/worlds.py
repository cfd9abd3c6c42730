"""Worlds and methods: what is in a test set, what makes results differ, and how a method detects. No pixels.

Everything that happens to an object in a cell hangs on a few latent numbers of unit variance. Each is the sum of what
all methods have in common (the object is hard), what suits one method in every seed again (`own`: on another draw of
images the method would do otherwise) and what is new in every cell (`luck`). The population AP of a method therefore
depends neither on `own` nor on `luck`, unless errors are skewed, and two methods of the same numbers are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from assignbench.measure.objects import described

Floats = np.ndarray
ZIPF = tuple(1 / k for k in range(1, 9))
MANY = tuple(1 / k for k in range(1, 13))
EQUAL = (1.0,) * 4
RARE = (1.0, 1.0, 1.0, 0.012, 0.012, 0.012)  # of which the last have about one object among 60 images


@dataclass(frozen=True)
class World:
    """A population of test images and trainings, and how many of each a study has.

    `classes` are the classes' shares of the objects. `even`: whether groups (by objects per image, crowdedness, aspect
    ratio) hold about as many objects, or one of them most. `seed` is the deviation of a training's quality over seeds,
    in probits. `skewed`: seeds, objects and images err with a long tail on one side. `hard`: probits by which all
    methods find less from the first to the last group along every factor. `kinds`: classes differ in their aspect
    ratio, the first is the most compact.
    """

    images: int = 50
    seeds: int = 3
    classes: tuple[float, ...] = (1.0,)
    even: bool = True
    seed: float = 0.05
    own: float = 0.4
    luck: float = 0.3
    skewed: bool = False
    hard: float = 0.0
    kinds: bool = False


@dataclass(frozen=True)
class Method:
    """How a method detects: share of objects found; `boxes` probits of better boxes; false boxes per object (below 2).

    `growing` probits more are found from the first to the last group `along` a factor. `order` is the correlation of
    score and IoU among an object's candidates; None records no candidates. `uneven` probits more or less are found of
    every class, by chance of the draw of classes. `unsteady`: how much more its trainings differ than the world's do.
    """

    recall: float = 0.7
    boxes: float = 0.0
    wrong: float = 0.8
    growing: float = 0.0
    along: str = "aspect_ratio"
    order: float | None = None
    uneven: float = 0.0
    unsteady: float = 1.0


@dataclass(frozen=True)
class Layout:
    """The objects [M] of a test set: image, class, box (x, y, width, height), where each lies among the groups of a
    factor (0 in the first, 1 in the last), and how well its class suits methods that are `uneven`.
    """

    images: int
    image: np.ndarray
    label: np.ndarray
    boxes: Floats
    position: Mapping[str, Floats] = field(default_factory=dict)
    suits: Floats | None = None

    def objects(self) -> pd.DataFrame:
        """The object table as records have it."""
        x, y, w, h = self.boxes.T
        table = pd.DataFrame({"image_id": self.image + 1, "label": self.label, "x1": x, "y1": y, "x2": x + w})
        table["y2"] = y + h
        table["object_id"] = np.arange(len(table)) + 1
        return described(table.assign(area=w * h, crowd=False, difficult=False))

    def image_table(self) -> pd.DataFrame:
        """The image table, also of images that have no object."""
        return pd.DataFrame({"image_id": np.arange(self.images) + 1})


# Objects per image from .. to, of images with few, some and many; the middle of each bin of `PER_IMAGE`.
FEWEST, MOST = np.array([2, 4, 8]), np.array([3, 7, 14])
# Shares of the three kinds of images, and of the four ranges of aspect ratio.
LOADS = {True: (0.595, 0.27, 0.135), False: (0.80, 0.12, 0.08)}
CROWDS = {True: (0.34, 0.33, 0.33), False: (0.70, 0.17, 0.13)}
SHAPES = {True: (0.25, 0.25, 0.25, 0.25), False: (0.62, 0.16, 0.12, 0.10)}
OVERLAP = np.array([[0.0, 0.0], [0.25, 0.45], [0.55, 0.75]])  # of two neighbours in sparse, medium and dense images
RATIOS = np.array([1.0, 1.5, 2.5, 4.0, 6.0])
SLOT = 400.0  # px, of an object and its neighbour, so that nothing else touches them


def layout_of(world: World, rng: np.random.Generator) -> Layout:
    """A draw of test images. Neighbours stand side by side and have one shape, so each box prefers its own object."""
    load = rng.choice(3, world.images, p=LOADS[world.even])
    crowd = rng.choice(3, world.images, p=CROWDS[world.even])
    counts = rng.integers(FEWEST[load], MOST[load] + 1)
    image = np.repeat(np.arange(world.images), counts)
    place = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
    shares = np.asarray(world.classes) / sum(world.classes)
    label = rng.choice(len(shares), len(image), p=shares) if world.kinds else None
    shape = rng.choice(4, len(image), p=SHAPES[world.even]) if label is None else 4 * label // len(shares)
    ratio = rng.uniform(RATIOS[shape], RATIOS[shape + 1])
    side = rng.uniform(30, 60, len(image))
    beside = np.flatnonzero((place % 2 == 1) & (crowd[image] > 0))
    for values in (shape, ratio, side, *(() if label is None else (label,))):
        values[beside] = values[beside - 1]
    width, height = side * ratio**0.5, side / ratio**0.5
    x, y = SLOT * (place % 4), SLOT * (place // 4)
    overlap = rng.uniform(*OVERLAP[crowd[image[beside]]].T)
    x[beside] = x[beside - 1] + width[beside] * (1 - overlap) / (1 + overlap)
    y[beside] = y[beside - 1]
    suits = None if label is None else rng.normal(size=len(shares))[label]
    if label is None:
        label = rng.choice(len(shares), len(image), p=shares)
    position = {"aspect_ratio": shape / 3, "objects_in_image": load[image] / 2, "crowdedness": crowd[image] / 2}
    return Layout(world.images, image, label, np.stack([x, y, width, height], axis=1), position, suits)
