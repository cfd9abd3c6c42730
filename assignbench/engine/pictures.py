"""Pictures that a report needs, beside the records."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from assignbench.data.base import Pixels
from assignbench.records import write_whole


def save_picture(path: Path, pixels: Pixels) -> None:
    """A PNG of pixels [H, W, 3], written whole or not at all."""
    write_whole(path, lambda partial: Image.fromarray(pixels).save(partial, format="PNG"))
