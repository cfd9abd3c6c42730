"""Training augmentation on originals: every random number comes from the generator of (seed, epoch, image).

What is drawn does not depend on pixels, so that the drawing, the boxes and the pixels are apart: the pixels can be
changed on a device (on_device.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from assignbench.config.data import Augment
from assignbench.config.images import HW
from assignbench.data.base import Floats, Pixels

Quad = tuple[float, float, float, float]
Region = Quad  # left, top, right, bottom
Colour = tuple[int, int, int]
Floats64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """What is done to an image, all of it drawn: the region that is cut out (px of the original, may reach beyond it),
    the size [height, width] that it gets, colours, and flips across and down.

    `jitter` are factors of brightness, contrast and saturation; `ssd` chance and amount of brightness, contrast, hue
    and saturation (SSD). None leaves the colours alone.
    """

    region: Region
    hw: HW
    jitter: tuple[float, float, float] | None = None
    ssd: tuple[Quad, Quad] | None = None
    across: bool = False
    down: bool = False


@dataclass(frozen=True)
class Window:
    """Where a region comes to lie: what is `seen` of the original (px), and its place `target` in the result, both
    (left, top, right, bottom).
    """

    seen: Region
    target: tuple[int, int, int, int]


def drawn(how: Augment, width: int, height: int, boxes: Floats, hw: HW, rng: np.random.Generator) -> Change:
    """The change of an image of that size with these boxes [N, 4]."""
    region = whole(width, height)
    if how.ssd:
        region = _ssd_region(boxes, width, height, rng)
    elif how.zoom > 0:
        region = _zoomed(width, height, 1 + how.zoom * (2 * rng.random() - 1), rng)
    jitter = ssd = None
    if how.ssd:
        ssd = _four(rng.random(4)), _four(rng.random(4))
    elif how.colour > 0:
        brightness, contrast, saturation = 1 + how.colour * (2 * rng.random(3) - 1)
        jitter = float(brightness), float(contrast), float(saturation)
    across = bool(rng.random() < how.flip)
    return Change(region, hw, jitter, ssd, across, bool(rng.random() < how.flip_vertical))


def changed(pixels: Pixels, change: Change, fill: Colour) -> Pixels:
    """The image [height, width, 3] as the change makes it; what lies outside of the original is `fill`."""
    out = cut(pixels, change.region, change.hw, fill)
    if change.ssd is not None:
        out = _ssd_colour(out, *change.ssd)
    elif change.jitter is not None:
        out = _jitter(out, *change.jitter)
    if change.across:
        out = out[:, ::-1]
    if change.down:
        out = out[::-1]
    return np.ascontiguousarray(out)


def moved(boxes: Floats, size: tuple[int, int], change: Change) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """All boxes [N, 4] of an image of (width, height) in what the change makes of it, and which are still there [N].

    Boxes are clipped. One stays if its centre is in the region and both its sides keep at least 1 px.
    """
    found, kept = _boxes_in(boxes, size, change.region, change.hw)
    if change.across:
        found = np.stack([change.hw[1] - found[:, 2], found[:, 1], change.hw[1] - found[:, 0], found[:, 3]], axis=1)
    if change.down:
        found = np.stack([found[:, 0], change.hw[0] - found[:, 3], found[:, 2], change.hw[0] - found[:, 1]], axis=1)
    return found, kept


def whole(width: int, height: int) -> Region:
    """All of an image."""
    return 0.0, 0.0, float(width), float(height)


def window(width: int, height: int, region: Region, hw: HW) -> Window:
    """Where a region of an image of that size comes to lie in a result of `hw`."""
    x0, y0, x1, y1 = region
    sx, sy = hw[1] / (x1 - x0), hw[0] / (y1 - y0)
    seen = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    left, top, right, bottom = (round((seen[i] - (x0, y0)[i % 2]) * (sx, sy)[i % 2]) for i in range(4))
    return Window(seen, (left, top, max(right, left + 1), max(bottom, top + 1)))


def cut(pixels: Pixels, region: Region, hw: HW, fill: Colour) -> Pixels:
    """The region (original px, may reach beyond the image) brought to `hw` (height, width).

    What lies outside the image is `fill`.
    """
    (height, width), (high, wide) = pixels.shape[:2], hw
    if region == whole(width, height) and (width, height) == (wide, high):
        return pixels
    place = window(width, height, region, hw)
    left, top, right, bottom = place.target
    part = Image.fromarray(pixels).resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=place.seen)
    if part.size == (wide, high):
        return np.asarray(part)
    canvas = Image.new("RGB", (wide, high), fill)
    canvas.paste(part, (left, top))
    return np.asarray(canvas)


def _boxes_in(boxes: Floats, size: tuple[int, int], region: Region, hw: HW) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Boxes [N, 4] of an image of (width, height) in a region brought to `hw`, and which are still there [N]."""
    high, wide = hw
    if region == whole(*size) and size == (wide, high):
        return boxes.copy(), np.ones(len(boxes), np.bool_)
    x0, y0, x1, y1 = region
    sx, sy = wide / (x1 - x0), high / (y1 - y0)
    scale = np.array([sx, sy, sx, sy], np.float32)
    found = (boxes - np.array([x0, y0, x0, y0], np.float32)) * scale
    centre = (found[:, :2] + found[:, 2:]) / 2
    found = found.clip(0, (wide, high, wide, high)).astype(np.float32)
    inside = ((centre > 0) & (centre < (wide, high)) & (found[:, 2:] - found[:, :2] >= 1)).all(axis=1)
    return found, np.asarray(inside, np.bool_)


def _four(values: Floats64) -> Quad:
    first, second, third, fourth = (float(v) for v in values)
    return first, second, third, fourth


def _zoomed(width: int, height: int, factor: float, rng: np.random.Generator) -> Region:
    w, h = width / factor, height / factor
    x, y = rng.random() * (width - w), rng.random() * (height - h)
    return x, y, x + w, y + h


def _jitter(pixels: Pixels, brightness: float, contrast: float, saturation: float) -> Pixels:
    values = pixels.astype(np.float32) * np.float32(brightness)
    mean = values.mean(dtype=np.float32)
    values = (values - mean) * np.float32(contrast) + mean
    grey = values.mean(axis=2, keepdims=True)
    values = (values - grey) * np.float32(saturation) + grey
    return np.asarray(values.clip(0, 255), np.uint8)


def _ssd_region(boxes: Floats, width: int, height: int, rng: np.random.Generator) -> Region:
    """A random crop that every box overlaps by a drawn least IoU, then with chance 0.6 an expanded canvas."""
    x0, y0, x1, y1 = _ssd_crop(boxes, width, height, rng)
    if rng.random() < 0.6:
        scale = 1 + 3 * rng.random()
        w, h = (x1 - x0) * scale, (y1 - y0) * scale
        left, top = rng.random() * (w - (x1 - x0)), rng.random() * (h - (y1 - y0))
        return x0 - left, y0 - top, x0 - left + w, y0 - top + h
    return x0, y0, x1, y1


def _ssd_crop(boxes: Floats, width: int, height: int, rng: np.random.Generator) -> Region:
    mode = (None, 0.1, 0.3, 0.5, 0.7, 0.9, -math.inf)[int(rng.integers(7))]
    if mode is None or not len(boxes):
        return whole(width, height)
    for _ in range(50):
        scale = 0.3 + 0.7 * rng.random()
        low, high = max(0.5, scale * scale), min(2.0, 1 / (scale * scale))
        ratio = math.sqrt(low + (high - low) * rng.random())
        w, h = int(scale * ratio * width), int(scale / ratio * height)
        if not (0 < w <= width and 0 < h <= height):
            continue
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((centre > (x, y)) & (centre < (x + w, y + h))).all(axis=1)
        if inside.any() and _iou_with(boxes, (x, y, x + w, y + h)).min() >= mode:
            return float(x), float(y), float(x + w), float(y + h)
    return whole(width, height)


def _iou_with(boxes: Floats, region: Region) -> Floats:
    low = np.maximum(boxes[:, :2], region[:2])
    high = np.minimum(boxes[:, 2:], region[2:])
    shared = (high - low).clip(0).prod(axis=1)
    own = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    ratio: Floats = shared / (own + (region[2] - region[0]) * (region[3] - region[1]) - shared)
    return ratio


def _ssd_colour(pixels: Pixels, chance: Quad, amount: Quad) -> Pixels:
    """Brightness ±32, contrast and saturation 0.5-1.5, hue ±18°, each with chance 0.5."""
    values = pixels.astype(np.float32)
    if chance[0] < 0.5:
        values += np.float32(64 * amount[0] - 32)
    if chance[1] < 0.5:
        values *= np.float32(0.5 + amount[1])
    out = values.clip(0, 255).astype(np.uint8)
    if chance[2] < 0.5 or chance[3] < 0.5:
        hsv = np.asarray(Image.fromarray(out).convert("HSV")).astype(np.float32)
        if chance[2] < 0.5:
            hsv[..., 0] = (hsv[..., 0] + np.float32((36 * amount[2] - 18) * 256 / 360)) % 256
        if chance[3] < 0.5:
            hsv[..., 1] = (hsv[..., 1] * np.float32(0.5 + amount[3])).clip(0, 255)
        out = np.asarray(Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB"))
    return out
