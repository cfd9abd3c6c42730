"""Checks of annotations and image files: everything wrong is found before training, with file and object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from assignbench.data.base import Pixels
from assignbench.errors import InputError

# A box may stick out by this much (rounding of annotation tools); it is clipped. More is a problem.
TOLERANCE = 1.0


def box_problem(box: tuple[float, float, float, float], width: int, height: int) -> str | None:
    """What is wrong with an xyxy box in an image of that size, or None."""
    x1, y1, x2, y2 = box
    shown = f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if not np.isfinite(box).all():
        return f"{shown} is not finite"
    if x2 < x1 or y2 < y1:
        return f"{shown} is inverted"
    if x2 - x1 <= 0 or y2 - y1 <= 0:
        return f"{shown} has no area"
    if x1 < -TOLERANCE or y1 < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE:
        return f"{shown} lies outside the image of {width}x{height}"
    return None


def image_problem(path: Path, size: tuple[int, int] | None) -> str | None:
    """What is wrong with an image file, or None: missing, unreadable, truncated, not of the annotated size.

    Only the header and the end marker are read; where the marker is missing, the file is decoded to decide.
    """
    if not path.is_file():
        return "image file is missing"
    try:
        with Image.open(path) as image:
            found, kind = image.size, image.format
        if size is not None and found != size:
            return f"image is {found[0]}x{found[1]}, its annotation says {size[0]}x{size[1]}"
        if kind == "JPEG" and not _ends_with(path, b"\xff\xd9"):
            read_pixels(path)
    except (OSError, SyntaxError, UnidentifiedImageError, InputError) as problem:
        return f"image cannot be read: {_short(problem)}"
    return None


def read_pixels(path: Path) -> Pixels:
    """RGB pixels [H, W, 3]. Raises InputError naming the file if it cannot be decoded whole."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError) as problem:
        raise InputError(f"{path}: image cannot be decoded ({_short(problem)}); replace the file") from problem


def missing_root(root: Path, what: str, obtain: str = "") -> InputError:
    """The error for a data folder that is not there."""
    return InputError(
        f"{what}: no folder {root}\n{obtain + chr(10) if obtain else ''}"
        "Put the data there, name another folder with --set data.root=DIR, or point the environment variable "
        "ASSIGNBENCH_DATA at the folder that holds it."
    )


def _ends_with(path: Path, marker: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 256))
        return marker in file.read()


def _short(problem: Exception) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
