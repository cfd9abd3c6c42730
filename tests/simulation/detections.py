"""What a method finds on a draw of test images: latent numbers, and the boxes and scores that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr, ndtri

from tests.simulation.worlds import Floats, Layout, Method, World

FALSE_BOXES = 2  # that could appear beside each object
# Of each object: found, box, score, and appearance and score of its false boxes.
LATENTS = 3 + 2 * FALSE_BOXES
CANDIDATES = 8  # per object


def drawn(world: World, rng: np.random.Generator, size: int) -> Floats:
    """Errors of mean 0 and variance 1, normal or with a long tail on one side."""
    return rng.exponential(size=size) - 1 if world.skewed else rng.normal(size=size)


def latents(world: World, layout: Layout, rng: np.random.Generator) -> Floats:
    """One number [LATENTS x M] for everything that happens to an object, half of it common to its image."""
    images = (np.arange(LATENTS)[:, None] * layout.images + layout.image).ravel()
    of_image = drawn(world, rng, LATENTS * layout.images)[images]
    return 0.5**0.5 * (of_image + drawn(world, rng, LATENTS * len(layout.image)))


def mixed(world: World, common: Floats, suits: Floats, luck: Floats) -> Floats:
    """The latent numbers of a cell from what all share, what suits its method and what is its own."""
    rest = (1 - world.own**2 - world.luck**2) ** 0.5
    return rest * common + world.own * suits + world.luck * luck


@dataclass(frozen=True)
class Found:
    """A cell's boxes: those near an object, with object and IoU, and false ones, with the object whose place and class
    they have; scores of both.
    """

    target: np.ndarray
    iou: Floats
    score: Floats
    beside: np.ndarray
    false_score: Floats


def found_by(method: Method, world: World, layout: Layout, latent: Floats, quality: float) -> Found:
    """What a training of a method finds; `quality` is how well it went, in deviations over seeds.

    A good training finds more, has better boxes and fewer false ones.
    """
    count, push = len(layout.image), world.seed * method.unsteady * quality
    hit, box, score, false, false_score = np.split(latent, np.cumsum([count, count, count, FALSE_BOXES * count]))
    level = ndtri(method.recall) + push
    if method.growing:
        level = level + method.growing * layout.position[method.along]
    if method.uneven and layout.suits is not None:
        level = level + method.uneven * layout.suits
    if world.hard:
        level = level - world.hard * sum(layout.position.values())
    target = np.flatnonzero(hit < level)
    iou = 0.5 + 0.49 * ndtr(box[target] + method.boxes + push)
    wrong = np.flatnonzero(false < ndtri(method.wrong / FALSE_BOXES) - push)
    certain = expit(0.5 + 0.9 * score[target] + 2 * (iou - 0.75))
    return Found(target, iou, certain, wrong % count, expit(0.9 * false_score[wrong] - 0.8))


def detections(found: Found, layout: Layout) -> pd.DataFrame:
    """The detection table: a found object's box is shifted down until it has its IoU; false boxes touch nothing."""
    own, false = layout.boxes[found.target], layout.boxes[found.beside]
    x, y, w, h = np.concatenate([own, false]).T
    down = np.concatenate([own[:, 3] * (1 - found.iou) / (1 + found.iou), np.full(len(false), 1e5)])
    owner = np.concatenate([found.target, found.beside])
    score = np.concatenate([found.score, found.false_score])
    columns = {"image_id": layout.image[owner] + 1, "label": layout.label[owner], "x1": x, "y1": y + down, "x2": x + w}
    return pd.DataFrame({**columns, "y2": y + h + down, "score": score, "cls_score": score})


def candidates(order: float, world: World, layout: Layout, quality: float, rng: np.random.Generator) -> pd.DataFrame:
    """The candidate table: predictions around each object whose score and IoU agree by `order`, a correlation.

    Trainings differ in it as they differ in all else.
    """
    agreement = np.tanh(np.arctanh(order) + world.seed * quality)
    box = rng.normal(size=(len(layout.image), CANDIDATES))
    score = agreement * box + (1 - agreement**2) ** 0.5 * rng.normal(size=box.shape)
    objects = np.repeat(np.arange(len(layout.image)) + 1, CANDIDATES)
    columns = {"object_id": objects, "iou": ndtr(box).ravel(), "ranking_score": expit(score).ravel()}
    return pd.DataFrame({**columns, "cls_score": expit(score).ravel(), "in_jk": True})
