"""A figure as a file of every kind that is asked for; the same figure gives the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from assignbench.report.recording import recorded

# What makes a file of each kind; no date and no name of a program stands in it.
_VECTORS: Mapping[str, dict[str, Any]] = {
    ".svg": {"metadata": {"Date": None, "Creator": None}},
    ".pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
}
_JPEG: dict[str, Any] = {"format": "JPEG", "quality": 80, "optimize": True}
_PIXELS: Mapping[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "compress_level": 6},
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
}
FEW = Image.Quantize.FASTOCTREE  # of charts it finds the colours five times faster than the median cut


def save(figure: Figure, files: Path | Sequence[Path]) -> None:
    """Writes a figure as every kind that the files' endings name.

    A PNG has 256 colours (a third of the size, for the eye the same).
    """
    width, height = figure.get_size_inches()
    dpi = float(min(130.0, 2400 / width, (3e6 / (width * height)) ** 0.5))
    with _quiet(), matplotlib.rc_context({"svg.hashsalt": "assignbench", "text.hinting": "no_hinting"}):
        page = recorded(figure)
        for path in [files] if isinstance(files, Path) else files:
            path.parent.mkdir(parents=True, exist_ok=True)
            kind = path.suffix.lower()
            if kind in _VECTORS:
                page.savefig(path, dpi=dpi, **_VECTORS[kind])
            else:
                pixels = _pixels(page, dpi)
                (pixels.quantize(256, FEW) if kind == ".png" else pixels).save(path, **_PIXELS[kind])


def _pixels(page: Figure, dpi: float) -> Image.Image:
    page.dpi = dpi
    canvas = FigureCanvasAgg(page)
    canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without matplotlib's complaints to the terminal of names that its font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield
