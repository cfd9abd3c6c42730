"""The picture sheet of `assignbench compare`: ground truth and both cells' best detections, image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from assignbench.analysis import CellData
from assignbench.measure.matching import match
from assignbench.report.bare import Bare
from assignbench.report.drawing import draw_box
from assignbench.report.kinds import save
from assignbench.report.scenes import DPI, ENLARGED
from assignbench.report.style import GREEN, PICTURES, RED, WHITE, picture, picture_panels, plain


def difference_sheet(
    first: CellData,
    second: CellData,
    images: pd.DataFrame,
    pixels: Callable[[int], npt.NDArray[np.uint8]],
    path: Path,
) -> Path:
    """One row per image (columns image_id, name, first, second, difference): objects, then each cell's n best
    detections for n objects.

    Green: matched at IoU 0.5; dashed red: not; what is found of an image is a mean over IoU thresholds. Small images
    are enlarged.
    """
    shown = [
        Compared(first, second, int(i.image_id), str(i.name), i.first, i.second) for i in images.itertuples(index=False)
    ]
    save(difference_figure(shown, pixels), path)
    return path


@dataclass(frozen=True)
class Compared:
    """An image of two cells, and what each of them finds of it, as a share of its objects."""

    first: CellData
    second: CellData
    image_id: int
    name: str
    found_first: float
    found_second: float


def difference_figure(shown: Sequence[Compared], pixels: Callable[[int], npt.NDArray[np.uint8]]) -> Figure:
    """The figure of `difference_sheet`: a row per image, of the same two cells or of others."""
    shape = pd.concat([one.first.images[one.first.images.image_id == one.image_id] for one in shown])
    wide = float(np.clip(ENLARGED * shape.width.min() / DPI, 3.0, 4.5))
    size = (wide, 0.55 + wide * float((shape.height / shape.width).max()))
    figure, axes = picture_panels(len(shown), 3, size, (PICTURES[0], 0.55))
    for (truth, *line), about in zip(axes, shown, strict=True):
        canvas = pixels(about.image_id)
        first = about.first
        objects = first.objects[(first.objects.image_id == about.image_id) & ~first.objects.crowd]
        more = f"{100 * (about.found_second - about.found_first):+.0f}".replace("-", "\u2212")
        picture(truth, canvas, f"{about.name} ({more} %)")
        for o in objects.itertuples():
            draw_box(truth, (o.x1, o.y1, o.x2, o.y2), WHITE, first.classes[int(o.label)])
        cells = ((first, about.found_first), (about.second, about.found_second))
        for ax, (cell, score) in zip(line, cells, strict=True):
            picture(ax, canvas, "")  # the title has two lines: a method's name may be long
            ax.set_title(f"{plain(cell.keys['method'])}\n{100 * score:.0f} % found (IoU .50-.95)")
            _detections(ax, cell, about.image_id, len(objects))
    kinds = ((GREEN, "-", "right at IoU 0.5"), (RED, "--", "matches no object at IoU 0.5"))
    handles = [Line2D([], [], color=edge, ls=line, lw=2, label=text) for edge, line, text in kinds]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=len(kinds), fontsize=10)
    return figure


def _detections(ax: Bare, cell: CellData, image_id: int, count: int) -> None:
    o = cell.overlaps
    place = int(np.searchsorted(o.images, image_id))
    mine = np.flatnonzero(o.image == place)
    found = match(o).found[:, 0]
    for row in mine[np.argsort(-o.score[mine], kind="stable")][:count]:
        d = cell.detections.iloc[int(o.row[row])]
        right = bool(found[row] >= 0)
        text = f"{cell.classes[int(d.label)]} {d.score:.2f}"
        draw_box(ax, (d.x1, d.y1, d.x2, d.y2), GREEN if right else RED, text, "-" if right else "--")
