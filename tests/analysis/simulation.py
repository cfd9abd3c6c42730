"""Simulated test sets whose truth is known, for error rates of verdicts: detections and objects, no pixels.

Every cell (study x seed x method) is one class of a single table of overlaps, so that matching, average precision and
everything behind them is the package's own code, run on hundreds of studies at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from assignbench.measure.matching import Matches, Overlaps, match

IMAGES = 60
THRESHOLDS = (0.5, 0.7, 0.9)


@dataclass(frozen=True)
class Detector:
    """How a method detects: `recall` is the chance of an object of mean difficulty, `boxes` is added to the IoU of
    what it finds, `wrong` is the number of false positives per object.
    """

    recall: float = 0.65
    boxes: float = 0.0
    wrong: float = 1.0


PLAIN = Detector()
# What a method may do better everywhere, without any trend over groups.
UNIFORM = {
    "nothing": PLAIN,
    "fewer false positives": replace(PLAIN, wrong=0.5),
    "better boxes": replace(PLAIN, boxes=0.08),
    "more found": replace(PLAIN, recall=0.75),
}


@dataclass(frozen=True)
class Design:
    """Objects per group; seeds; `own` is the deviation (in probits) of how well an object suits one method or the other
    in every seed again, which is what a fixed test set does to a comparison. 0: all noise is new with every seed.
    """

    sizes: tuple[int, ...]
    seeds: int = 3
    own: float = 0.0


def groups_of(design: Design) -> np.ndarray:
    """The group of every object."""
    return np.repeat(np.arange(len(design.sizes)), design.sizes)


def studies(
    rng: np.random.Generator, count: int, design: Design, methods: list[Detector], *, growing: float = 0.0
) -> Matches:
    """Matches of `count` studies; class number ((study x seeds) + seed) x methods + method.

    With `growing`, the last method finds more and more, by so many probits from the first group to the last.
    """
    objects, groups = sum(design.sizes), groups_of(design)
    slope = growing * groups / max(1, groups.max())
    home = np.arange(objects) % IMAGES
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    levels = [float(stats.norm.ppf(m.recall)) * 2**0.5 for m in methods]
    number = 0
    for _ in range(count):
        difficulty = rng.normal(0, 1, objects)
        suits = rng.normal(0, design.own, (len(methods), objects))
        for _ in range(design.seeds):
            for m, method in enumerate(methods):
                level = levels[m] + (slope if m == len(methods) - 1 else 0)
                hit = rng.normal(0, 1, objects) + difficulty + suits[m] < level
                iou = np.clip(0.5 + 0.45 * rng.beta(4, 3, objects) + method.boxes, 0, 1)[hit]
                wrong = rng.poisson(method.wrong * objects)
                score = np.r_[0.6 * rng.beta(4, 3, len(iou)) + 0.4 * iou, rng.beta(2, 4, wrong)]
                columns[0].append(np.full(len(score), number))
                columns[1].append(np.r_[home[hit], rng.integers(0, IMAGES, wrong)])
                columns[2].append(score)
                columns[3].append(np.r_[np.flatnonzero(hit) + number * objects, np.full(wrong, -1)])
                columns[4].append(np.r_[iou, np.zeros(wrong)])
                number += 1
    return match(_overlaps(*(np.concatenate(c) for c in columns), home, number), thresholds=THRESHOLDS)


def _overlaps(
    label: np.ndarray,
    image: np.ndarray,
    score: np.ndarray,
    target: np.ndarray,
    iou: np.ndarray,
    home: np.ndarray,
    cells: int,
) -> Overlaps:
    order = np.lexsort((-score, label))
    label, image, score, target, iou = (v[order] for v in (label, image, score, target, iou))
    near = np.flatnonzero(target >= 0)
    count = len(home) * cells
    return Overlaps(
        images=np.arange(IMAGES),
        row=np.arange(len(label)),
        label=label,
        image=image,
        rank=np.zeros(len(label), int),  # far below any limit
        score=score,
        area=np.ones(len(label)),
        object_label=np.repeat(np.arange(cells), len(home)),
        object_image=np.tile(home, cells),
        object_area=np.ones(count),
        crowd=np.zeros(count, bool),
        left_out=np.zeros(count, bool),
        pair_detection=near,
        pair_object=target[near],
        pair_iou=iou[near],
        classes=cells,
    )
