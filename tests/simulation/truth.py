"""The population's AP of a method: what a study of endless seeds and images would measure."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from assignbench.measure.matching import COCO_THRESHOLDS
from assignbench.measure.precision import interpolated
from tests.simulation.detections import CANDIDATES, Found, found_by, latents, mixed
from tests.simulation.worlds import Floats, Layout, Method, World, layout_of

MEASURES = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}


def precision(found: Found, objects: int) -> Floats:
    """AP [T] of one class at COCO's thresholds. A found object is right where its IoU reaches the threshold: boxes are
    made so that none prefers another object, and nothing needs to be matched.
    """
    score = np.concatenate([found.score, found.false_score])
    order = np.argsort(-score, kind="stable")
    iou = np.concatenate([found.iou, np.zeros(len(found.false_score))])[order]
    seen = np.arange(1, len(iou) + 1)
    values = []
    for threshold in COCO_THRESHOLDS:
        places = np.flatnonzero(iou >= threshold)
        right = np.arange(1, len(places) + 1)
        values.append(interpolated((right / objects)[None], (right / seen[places])[None], "coco")[0])
    return np.array(values)


TRAININGS, IMAGES = 24, 1500  # on each of so many draws of so many images


@lru_cache(maxsize=2)
def _draws(world: World) -> tuple[tuple[Layout, Floats, float], ...]:
    """Test images, latent numbers and quality of trainings: qualities are evenly spaced over their distribution."""
    shares = (np.arange(TRAININGS) + 0.5) / TRAININGS
    qualities = -np.log1p(-shares) - 1 if world.skewed else ndtri(shares)
    qualities = (qualities - qualities.mean()) / qualities.std()
    found = []
    for number, quality in enumerate(qualities):
        rng = np.random.default_rng([23, number])
        layout = layout_of(world, rng)
        latent = mixed(world, *(latents(world, layout, rng) for _ in range(3)))
        found.append((layout, latent, float(quality)))
    return tuple(found)


@lru_cache(maxsize=500)
def population(world: World, method: Method) -> dict[str, float]:
    """AP, AP50 and AP75 of a method: the mean over trainings, each on other images.

    All methods get the same draws, so that the difference of two is known to some hundredths of a point. Classes differ
    in their size alone, so one stands for all.
    """
    large = replace(world, images=IMAGES, seeds=1, classes=(1.0,))
    values = [
        precision(found_by(method, large, layout, latent, quality), len(layout.image))
        for layout, latent, quality in _draws(large)
    ]
    mean = np.mean(values, axis=0)
    return {name: float(mean[part].mean()) for name, part in MEASURES.items()}


def gain(world: World, method: Method, baseline: Method, measure: str = "AP") -> float:
    """The true difference of two methods."""
    return population(world, method)[measure] - population(world, baseline)[measure]


@lru_cache(maxsize=50)
def reaching(world: World, precision: float) -> Method:
    """A method that finds so little that its AP is this one."""
    return Method(recall=float(brentq(lambda r: population(world, Method(recall=r))["AP"] - precision, 1e-3, 0.7)))


@lru_cache(maxsize=50)
def gaining(world: World, points: float) -> Method:
    """The plain method with the boxes that give it a gain in AP."""

    def short(boxes: float) -> float:
        return gain(world, Method(boxes=boxes), Method()) - points

    return Method(boxes=float(brentq(short, 0.0, 1.5, xtol=2e-4)))


@lru_cache(maxsize=50)
def gaining_alike(world: World, recall: float) -> Method:
    """A method that finds more, with the boxes that make its gain in AP50 the one in AP75."""

    def apart(boxes: float) -> float:
        changed = Method(recall=recall, boxes=boxes)
        return gain(world, changed, Method(), "AP75") - gain(world, changed, Method(), "AP50")

    return Method(recall=recall, boxes=float(brentq(apart, 0.0, 1.5, xtol=2e-4)))


@lru_cache(maxsize=50)
def rank_agreement(world: World, order: float, objects: int = 400_000) -> float:
    """The population's Spearman of a method: mean over trainings and objects of so many candidates each."""
    rng = np.random.default_rng(31)
    quality = rng.exponential(size=(objects, 1)) - 1 if world.skewed else rng.normal(size=(objects, 1))
    agreement = np.tanh(np.arctanh(order) + world.seed * quality)
    box, own = rng.normal(size=(2, objects, CANDIDATES))
    ranks = [v.argsort(axis=1).argsort(axis=1) for v in (box, agreement * box + (1 - agreement**2) ** 0.5 * own)]
    squares = ((ranks[0] - ranks[1]) ** 2).sum(axis=1).mean()
    return float(1 - 6 * squares / (CANDIDATES * (CANDIDATES**2 - 1)))
