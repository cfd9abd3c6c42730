"""Embedded scenes: shapes on textured ground, with the factors that papers argue about under control.

Everything is computed with integers and with additions, products and quotients of float64, so that a seed gives the
same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from assignbench.config.data import DataSpec, SceneFactors, Split
from assignbench.config.formats import FORMATS
from assignbench.data.base import DetectionData, ImageRecord, Pixels
from assignbench.data.readers import reads
from assignbench.records.files import write_whole

SHAPE_CLASSES = ("disc", "box", "triangle", "ring", "plus", "star", "lollipop", "hammer")
# Where a shape's telling part lies, as a share of the half side between box centre (0) and edge (1).
ACENTRICITY = {"lollipop": 0.6, "hammer": 0.7}
VERSION = FORMATS["data shapes"]  # part of the cache's name
COLUMNS = 9  # of the table of all objects: the image's number and what `render` says of an object
UNIT = 8  # positions are integers in eighths of a pixel

Grid = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
Scenes = tuple[Pixels, npt.NDArray[np.float64]]


@reads("shapes")
def read(spec: DataSpec, split: Split, root: Path, cache: Path | None) -> DetectionData:
    """A split of a study's embedded scenes; they need no folder."""
    count = {"train": spec.train_images, "val": spec.val_images, "test": spec.test_images}[split]
    return read_shapes(split, count, spec.factors, seed=spec.scenes_seed, cache=cache)


def read_shapes(
    split: str, count: int, factors: SceneFactors, *, seed: int = 0, cache: Path | None = None
) -> DetectionData:
    """`count` scenes of a split. With `cache`, a folder, they are rendered once and read back afterwards."""
    key = hashlib.sha256(json.dumps([VERSION, split, count, seed, factors.model_dump()]).encode()).hexdigest()[:16]
    stored = None if cache is None else cache / f"shapes-{key}.npz"
    found = None if stored is None else _stored(stored, count, factors.image_size)
    pixels, table = found or _rendered(split, count, factors, seed)
    if stored is not None and found is None:
        write_whole(stored, lambda partial: _save(partial, pixels, table))
    side = factors.image_size
    images = [_record(i, table[table[:, 0] == i, 1:], side) for i in range(count)]
    return DetectionData("shapes", split, SHAPE_CLASSES, images, lambda i: np.asarray(pixels[i], np.uint8))


def _rendered(split: str, count: int, factors: SceneFactors, seed: int) -> Scenes:
    """Pixels [N, S, S, 3] and, of all objects, rows of the image's number and what `render` says."""
    code = int.from_bytes(hashlib.sha256(split.encode()).digest()[:4], "big")
    scenes = [render(factors, np.random.default_rng([seed, code, i])) for i in range(count)]
    table = np.concatenate([np.insert(s[1], 0, i, axis=1) for i, s in enumerate(scenes)])
    return np.stack([s[0] for s in scenes]), table


def _stored(path: Path, count: int, side: int) -> Scenes | None:
    """What `_save` wrote; None where it is missing or damaged: it is rendered anew, which costs seconds."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            pixels, table = arrays["pixels"], arrays["table"]
    except Exception:  # what numpy's and zip's readers raise for a file that is broken is no closed list
        return None
    whole = pixels.shape == (count, side, side, 3) and pixels.dtype == np.uint8
    rows = table.ndim == 2 and table.shape[1] == COLUMNS and table.dtype == np.float64
    return (pixels, table) if whole and rows else None


def _save(path: Path, pixels: Pixels, table: npt.NDArray[np.float64]) -> None:
    with path.open("wb") as file:  # else numpy gives the file another name
        np.savez(file, pixels=pixels, table=table)


def _record(image_id: int, rows: npt.NDArray[np.float64], side: int) -> ImageRecord:
    boxes = rows[:, 1:5].astype(np.float32)
    size = boxes[:, 2:] - boxes[:, :2]
    return ImageRecord(
        id=image_id,
        name=f"scene{image_id:05d}",
        width=side,
        height=side,
        boxes=boxes,
        labels=rows[:, 0].astype(np.int64),
        crowd=np.zeros(len(rows), np.bool_),
        difficult=np.zeros(len(rows), np.bool_),
        areas=size[:, 0] * size[:, 1],
        ids=np.arange(len(rows), dtype=np.int64) + image_id * 1000 + 1,
        attributes={
            "acentricity": rows[:, 5].astype(np.float32),
            "occlusion": rows[:, 6].astype(np.float32),
            "contrast": rows[:, 7].astype(np.float32),
        },
    )


def render(factors: SceneFactors, rng: np.random.Generator) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """One scene: pixels [S, S, 3] uint8 and rows (label, x1, y1, x2, y2, acentricity, occlusion, contrast)."""
    side = factors.image_size
    canvas = _ground(side, rng)
    wanted = int(rng.integers(factors.min_objects, factors.max_objects + 1))
    owner = np.full((side, side), -1)
    placed: list[tuple[int, int, int, int]] = []
    rows: list[list[float]] = []
    covers: list[Grid] = []
    for _ in range(wanted):
        label, box = _place(factors, placed, rng)
        if box is None:
            continue
        cover = coverage(SHAPE_CLASSES[label], box, side, int(rng.integers(2)))
        hidden = owner.copy()
        hidden[cover >= 8] = len(placed)
        if any(np.count_nonzero(hidden == i) < 0.45 * np.count_nonzero(c >= 8) for i, c in enumerate(covers)):
            continue
        owner = hidden
        distance = _paint(canvas, cover, factors.contrast, rng)
        placed.append(box)
        covers.append(cover)
        acentricity = ACENTRICITY.get(SHAPE_CLASSES[label], 0.0)
        rows.append([label, *(v / UNIT for v in box), acentricity, 0.0, distance])
    for _ in range(int(rng.integers(factors.occluders + 1))):
        _occlude(canvas, owner, covers, rng)
    for i, cover in enumerate(covers):
        total = np.count_nonzero(cover >= 8)
        rows[i][6] = 1.0 - np.count_nonzero(owner == i) / total if total else 0.0
    noise = rng.integers(-7, 8, canvas.shape)
    return np.clip(canvas + noise, 0, 255).astype(np.uint8), np.asarray(rows, np.float64).reshape(-1, 8)


def coverage(shape: str, box: tuple[int, int, int, int], side: int, flip: int) -> Grid:
    """Sixteenths of every pixel [side, side] that a shape covers; the box is in eighths of a pixel.

    Every shape touches all four sides of its box. `flip` turns shapes with a direction to the other end.
    """
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    left, top = x1 // UNIT, y1 // UNIT
    right, bottom = -(-x2 // UNIT), -(-y2 // UNIT)
    u = 2 * (np.arange(left * 4, right * 4) * 2 + 1 - x1)[None, :] - w
    v = 2 * (np.arange(top * 4, bottom * 4) * 2 + 1 - y1)[:, None] - h
    # Directed shapes lie along the longer side.
    mask = _shape(shape, u, v if flip else -v, w, h) if h >= w else _shape(shape, v, u if flip else -u, h, w)
    mask = mask & (abs(u) <= w) & (abs(v) <= h)
    blocks = mask.reshape(bottom - top, 4, right - left, 4).sum(axis=(1, 3))
    full = np.zeros((side, side), np.int64)
    full[top:bottom, left:right] = blocks
    return full


def _shape(shape: str, u: Grid, v: Grid, w: int, h: int) -> npt.NDArray[np.bool_]:  # noqa: PLR0911 (a case each)
    """The inside of a shape at integer positions u in [-w, w], v in [-h, h]; head of directed shapes at v = -h."""
    if shape == "disc":
        return u * u * (h * h) + v * v * (w * w) <= w * w * h * h
    if shape == "box":
        return (abs(u) <= w) & (abs(v) <= h)
    if shape == "triangle":
        return abs(u) * 2 * h <= w * (v + h)
    if shape == "ring":
        r = u * u * (h * h) + v * v * (w * w)
        return (r <= w * w * h * h) & (r * 100 >= 36 * w * w * h * h)
    if shape == "plus":
        return (abs(u) * 10 <= 3 * w) | (abs(v) * 10 <= 3 * h)
    if shape == "star":
        broad = abs(u) * h * 3 + abs(v) * w * 10 <= w * h * 3
        return broad | (abs(u) * h * 10 + abs(v) * w * 3 <= w * h * 3)
    stick = abs(u) * 6 <= w
    if shape == "lollipop":  # the head is an ellipse over the upper 40 %
        head = v * 10 + 6 * h
        return stick & (v * 10 >= -4 * h) | (u * u * (16 * h * h) + head * head * (w * w) <= 16 * w * w * h * h)
    return stick | (v * 10 <= -4 * h)  # hammer: a bar over the upper 30 %


def _place(
    factors: SceneFactors, placed: list[tuple[int, int, int, int]], rng: np.random.Generator
) -> tuple[int, tuple[int, int, int, int] | None]:
    """A class and a free box in eighths of a pixel, or None after 30 attempts."""
    acentric = rng.random() < factors.acentric
    label = int(rng.integers(6, 8)) if acentric else int(rng.integers(6))
    side = factors.image_size * UNIT
    crowd = bool(placed) and rng.random() < factors.crowding
    partner = placed[int(rng.integers(len(placed)))] if crowd else None
    for _ in range(30):
        if partner is None:
            w, h = _size(factors, rng)
        else:
            w, h = (int((partner[i + 2] - partner[i]) * (0.8 + 0.4 * rng.random())) // 2 * 2 for i in (0, 1))
        limit = int(factors.max_size * UNIT) // 2 * 2
        w, h = min(w, limit), min(h, limit)
        if partner is None:
            x, y = (int(rng.integers(side - s + 1)) // 2 * 2 for s in (w, h))
        else:
            x, y = (partner[i] + int((1.3 * rng.random() - 0.65) * s) // 2 * 2 for i, s in ((0, w), (1, h)))
        box = (x, y, x + w, y + h)
        if x < 0 or y < 0 or x + w > side or y + h > side or max(w, h) < factors.min_size * UNIT:
            continue
        overlaps = [_iou(box, other) for other in placed]
        most = max(overlaps, default=0.0)
        if (partner is None and most < 0.1) or (partner is not None and _iou(box, partner) >= 0.25 and most <= 0.55):
            return label, box
    return label, None


def _size(factors: SceneFactors, rng: np.random.Generator) -> tuple[int, int]:
    r = rng.random()
    low, high = factors.min_size, factors.max_size
    long = low + (high - low) * r * (0.4 + 0.6 * r)
    if rng.random() < factors.elongated:
        long = max(long, min(2.4 * low, high))
        short = long / (3.0 + 1.5 * rng.random())
    else:
        short = long / (1.0 + rng.random())
    sides = [max(int(s * UNIT) // 2 * 2, 7 * UNIT) for s in (long, short)]
    if rng.random() < 0.5:
        sides.reverse()
    return sides[0], sides[1]


def _iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _ground(side: int, rng: np.random.Generator) -> Grid:
    """Three octaves of bilinear value noise around a random colour, [side, side, 3]."""
    canvas: Grid = np.zeros((side, side, 3), np.int64) + rng.integers(50, 206, 3)
    for cells, amplitude in ((3, 36), (9, 18), (31, 8)):
        knots: Small = rng.integers(-amplitude, amplitude + 1, (cells + 1, cells + 1, 3)).astype(np.int32)
        low, part = _between(side, cells)
        rows: Small = knots[low] * (64 - part)[:, None, None] + knots[low + 1] * part[:, None, None]
        across = np.ascontiguousarray(rows.transpose(1, 0, 2))  # [cells + 1, side, 3]: what is picked lies together
        blend: Small = across[low] * (64 - part)[:, None, None] + across[low + 1] * part[:, None, None]
        canvas += (blend >> 12).transpose(1, 0, 2)
    return canvas


@lru_cache
def _between(side: int, cells: int) -> tuple[Small, Small]:
    """For each pixel the knot before it, and how far it lies behind that in 64ths."""
    at = (np.arange(side) * cells * 64 // side).astype(np.int32)
    return at >> 6, at & 63


def _paint(canvas: Grid, cover: Grid, contrast: int, rng: np.random.Generator) -> float:
    """Blends a shape in with a striped colour that differs from its ground; returns the colour distance."""
    inside = canvas[cover > 0]
    ground = inside.mean(axis=0).astype(np.int64) if len(inside) else np.zeros(3, np.int64)
    colour = rng.integers(20, 236, 3)
    for _ in range(20):
        if abs(colour - ground).max() >= contrast:
            break
        colour = rng.integers(20, 236, 3)
    side = len(canvas)
    period, axis = int(rng.integers(4, 12)), int(rng.integers(2))
    stripes = (np.arange(side) // period % 2 * 2 - 1) * int(rng.integers(0, 22))
    part = _held(cover)
    paint = colour + (stripes[part[0], None, None] if axis else stripes[None, part[1], None])
    share = cover[part][:, :, None]
    canvas[part] = (canvas[part] * (16 - share) + paint * share + 8) >> 4
    return float(abs(colour - ground).max())


def _held(cover: Grid) -> tuple[slice, slice]:
    """The rows and columns from the first to the last one that a shape covers."""
    ends = [np.flatnonzero(cover.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(int(e[0]), int(e[-1]) + 1) if len(e) else slice(0, 0) for e in ends)
    return rows, columns


def _occlude(canvas: Grid, owner: npt.NDArray[np.int64], covers: list[Grid], rng: np.random.Generator) -> None:
    """Draws a bar of random colour across the scene unless it would hide most of an object."""
    side = len(canvas)
    start, width = int(rng.integers(side)), int(rng.integers(3, 9))
    stripe = np.zeros((side, side), np.bool_)
    stripe[start : start + width] = True
    if rng.integers(2):
        stripe = stripe.T
    for i, cover in enumerate(covers):
        if np.count_nonzero((owner == i) & ~stripe) < 0.45 * np.count_nonzero(cover >= 8):
            return
    canvas[stripe] = rng.integers(20, 236, 3)
    owner[stripe] = -1
