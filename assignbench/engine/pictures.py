"""Pictures that a report needs, beside the records."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from assignbench.data.base import Pixels


def save_picture(path: Path, pixels: Pixels) -> None:
    """A PNG of pixels [H, W, 3], written whole or not at all; one that is there stays."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    Image.fromarray(pixels).save(partial, format="PNG")
    partial.replace(path)
