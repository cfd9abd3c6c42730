"""Training augmentation on originals: every random number comes from the generator of (seed, epoch, image)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from assignbench.config.data import Augment
from assignbench.config.images import HW
from assignbench.data.base import Floats, Pixels

Region = tuple[float, float, float, float]
Colour = tuple[int, int, int]


def augment(
    how: Augment, pixels: Pixels, boxes: Floats, hw: HW, rng: np.random.Generator, fill: Colour
) -> tuple[Pixels, Floats, npt.NDArray[np.bool_]]:
    """Pixels [*hw, 3], all boxes [N, 4] in them, and which of the boxes are still there [N]."""
    height, width = pixels.shape[:2]
    region: Region = (0.0, 0.0, float(width), float(height))
    if how.ssd:
        region = _ssd_region(boxes, width, height, rng)
    elif how.zoom > 0:
        region = _zoomed(width, height, 1 + how.zoom * (2 * rng.random() - 1), rng)
    out, moved, kept = cut(pixels, boxes, region, hw, fill)
    if how.ssd or how.colour > 0:
        out = _ssd_colour(out, rng) if how.ssd else _jitter(out, how.colour, rng)
    if rng.random() < how.flip:
        out = out[:, ::-1]
        moved = np.stack([hw[1] - moved[:, 2], moved[:, 1], hw[1] - moved[:, 0], moved[:, 3]], axis=1)
    if rng.random() < how.flip_vertical:
        out = out[::-1]
        moved = np.stack([moved[:, 0], hw[0] - moved[:, 3], moved[:, 2], hw[0] - moved[:, 1]], axis=1)
    return np.ascontiguousarray(out), moved, kept


def cut(
    pixels: Pixels, boxes: Floats, region: Region, hw: HW, fill: Colour
) -> tuple[Pixels, Floats, npt.NDArray[np.bool_]]:
    """The region (original px, may reach beyond the image) brought to `hw` (height, width); boxes moved and clipped.

    What lies outside the image is `fill`. A box stays if its centre is in the region and both its sides keep at least
    1 px.
    """
    (height, width), (high, wide) = pixels.shape[:2], hw
    x0, y0, x1, y1 = region
    if region == (0.0, 0.0, width, height) and (width, height) == (wide, high):
        return pixels, boxes.copy(), np.ones(len(boxes), np.bool_)
    sx, sy = wide / (x1 - x0), high / (y1 - y0)
    seen = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    target = [round((seen[i] - (x0, y0)[i % 2]) * (sx, sy)[i % 2]) for i in range(4)]
    target[2], target[3] = max(target[2], target[0] + 1), max(target[3], target[1] + 1)
    part = Image.fromarray(pixels).resize(
        (target[2] - target[0], target[3] - target[1]), Image.Resampling.BILINEAR, box=seen
    )
    if part.size == (wide, high):
        out = np.asarray(part)
    else:
        canvas = Image.new("RGB", (wide, high), fill)
        canvas.paste(part, (target[0], target[1]))
        out = np.asarray(canvas)
    scale = np.array([sx, sy, sx, sy], np.float32)
    moved = (boxes - np.array([x0, y0, x0, y0], np.float32)) * scale
    centre = (moved[:, :2] + moved[:, 2:]) / 2
    moved = moved.clip(0, (wide, high, wide, high)).astype(np.float32)
    inside = ((centre > 0) & (centre < (wide, high)) & (moved[:, 2:] - moved[:, :2] >= 1)).all(axis=1)
    return out, moved, np.asarray(inside, np.bool_)


def _zoomed(width: int, height: int, factor: float, rng: np.random.Generator) -> Region:
    w, h = width / factor, height / factor
    x, y = rng.random() * (width - w), rng.random() * (height - h)
    return x, y, x + w, y + h


def _jitter(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    brightness, contrast, saturation = 1 + amount * (2 * rng.random(3) - 1)
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
    whole: Region = (0.0, 0.0, float(width), float(height))
    mode = (None, 0.1, 0.3, 0.5, 0.7, 0.9, -math.inf)[int(rng.integers(7))]
    if mode is None or not len(boxes):
        return whole
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
    return whole


def _iou_with(boxes: Floats, region: Region) -> Floats:
    low = np.maximum(boxes[:, :2], region[:2])
    high = np.minimum(boxes[:, 2:], region[2:])
    shared = (high - low).clip(0).prod(axis=1)
    own = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    ratio: Floats = shared / (own + (region[2] - region[0]) * (region[3] - region[1]) - shared)
    return ratio


def _ssd_colour(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness ±32, contrast and saturation 0.5-1.5, hue ±18°, each with chance 0.5."""
    chance, amount = rng.random(4), rng.random(4)
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
