"""What pictures of single images are drawn from: boxes, assigned priors, heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from assignbench.report.bare import Ground
from assignbench.report.style import AMBER, BLUE, GREEN, RED, WHITE, plain

Floats = npt.NDArray[np.float64]
CELLS = 64  # of a heat map each way, at most
SHARP = 256  # pixels of a grid of colours each way, about
LABEL = "label of a box"  # how a picture knows these texts from others
POINTS = 5  # of their letters
WIDE, HIGH = 0.62, 1.3  # of a letter, and of a line with its paper, in sizes of the letters
# What the colours of assigned priors say.
KINDS = (("cls and box", GREEN), ("cls alone", AMBER), ("box alone", BLUE))


def corners(boxes: Floats) -> Floats:
    """The outlines [N, 5, 2] of boxes [N, 4] xyxy, as closed lines."""
    x1, y1, x2, y2 = boxes.reshape(-1, 4).T
    lines = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    return np.stack([np.stack(point, axis=-1) for point in lines], axis=1)


def outlines(ax: Ground, boxes: Floats, edge: str, width: float = 0.8, alpha: float = 0.85, line: str = "-") -> None:
    """Outlines of boxes [N, 4] in one colour; the axes' limits stay."""
    look: dict[str, Any] = {"colors": edge, "linewidths": width, "linestyles": line, "alpha": alpha}
    ax.add_collection(LineCollection(list(corners(boxes)), **look), autolim=False)


def heat_of_boxes(boxes: Floats, weights: Floats, region: Sequence[float]) -> Floats:
    """What boxes [N, 4] of weights [N] add up to on a grid [H, W] over a region (x1, y1, x2, y2), of which each cell
    takes the boxes that its middle lies in.
    """
    x1, y1, x2, y2 = region
    longest = max(x2 - x1, y2 - y1)
    wide, high = (max(1, round(CELLS * (b - a) / longest)) for a, b in ((x1, x2), (y1, y2)))
    x = x1 + (np.arange(wide) + 0.5) * (x2 - x1) / wide
    y = y1 + (np.arange(high) + 0.5) * (y2 - y1) / high
    across = (boxes[:, None, 0] <= x) & (x < boxes[:, None, 2])
    down = (boxes[:, None, 1] <= y) & (y < boxes[:, None, 3])
    return np.asarray(np.einsum("n,nh,nw->hw", weights, down.astype(np.float64), across.astype(np.float64)))


def draw_cells(ax: Ground, shades: Floats, extent: Sequence[float]) -> None:
    """A grid of colours [H, W, 4] from 0 to 1, its first row on top, over an extent (left, right, bottom, top); the
    axes' limits are those of the extent, and the lines of their grid lie below it.

    Each cell is several pixels wide, so that no reader of PDF blurs where they meet.
    """
    often = max(1, SHARP // max(shades.shape[:2]))
    pixels = np.round(255 * shades).astype(np.uint8).repeat(often, axis=0).repeat(often, axis=1)
    left, right, bottom, top = extent
    ax.imshow(pixels, extent=(left, right, bottom, top), interpolation="none", zorder=0.9)


def draw_assignment(ax: Ground, table: pd.DataFrame) -> None:
    """Priors of a probe table: green for both tasks, amber and blue for one, a red cross on an orphan object."""
    prior = table[["prior_x1", "prior_y1", "prior_x2", "prior_y2"]].to_numpy(np.float64)
    cls, box = table.positive_cls.to_numpy(bool), table.positive_box.to_numpy(bool)
    for (_, edge), mine in reversed(list(zip(KINDS, (cls & box, cls & ~box, ~cls & box), strict=True))):
        outlines(ax, prior[mine], edge)
        ax.plot(prior[mine][:, [0, 2]].mean(axis=1), prior[mine][:, [1, 3]].mean(axis=1), ".", ms=3, color=edge)
    for _, group in table.groupby("object_id"):
        if not group.positive_cls.any() or not group.positive_box.any():
            at = group.iloc[group.iou.to_numpy().argmax()]
            ax.plot((at.prior_x1 + at.prior_x2) / 2, (at.prior_y1 + at.prior_y2) / 2, "x", ms=9, mew=2, color=RED)
    corner_text(ax, f"cls {int(cls.sum())} · box {int(box.sum())}")


def corner_text(ax: Ground, text: str) -> None:
    """Plain text in the top left corner, readable on any picture."""
    back = {"fc": "black", "alpha": 0.6, "lw": 0, "pad": 1}
    ax.text(0.02, 0.98, plain(text), transform=ax.transAxes, color="white", fontsize=6, va="top", bbox=back)


def draw_box(ax: Ground, box: Sequence[float], edge: str, text: str, style: str = "-") -> None:
    """A box with a label, plain text, above it; none without a text, nor where it would cover another box's label: of
    boxes that are drawn by their scores the highest one keeps it.
    """
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=edge, lw=1.1, ls=style))
    at = x1, max(y1, 2)
    taken = [_extent(ax, *t.get_position(), t.get_text()) for t in ax.texts if t.get_gid() == LABEL]
    if not text or any(_meet(_extent(ax, *at, plain(text)), other) for other in taken):
        return
    paper = {"fc": edge, "alpha": 0.85, "lw": 0, "pad": 0.6}
    ink = "black" if edge == WHITE else "white"
    ax.text(*at, plain(text), fontsize=POINTS, color=ink, va="bottom", bbox=paper, clip_on=True, gid=LABEL)


def _extent(ax: Ground, x: float, y: float, text: str) -> tuple[float, float, float, float]:
    """About where a label that begins at (x, y) lies, as x1, y1, x2, y2 in px of the picture: nothing is drawn for it,
    since to measure a text takes longer than to write it.
    """
    of_figure, whole = ax.get_position(), np.asarray(ax.figure.bbox.size) / ax.figure.dpi
    spans = abs(np.subtract(*ax.get_xlim())), abs(np.subtract(*ax.get_ylim()))
    # A picture keeps its shape: the tighter of the two ways.
    scale = 72 * min(side * inches / span for side, inches, span in zip(of_figure.size, whole, spans, strict=True))
    return x, y - HIGH * POINTS / scale, x + WIDE * POINTS * len(text) / scale, y


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes x1, y1, x2, y2 overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
