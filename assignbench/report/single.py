"""Pictures of one image or one object, from the tables of a few cells: what `assignbench show` draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from assignbench.analysis.probes import prior_losses
from assignbench.report.drawing import draw_box
from assignbench.report.kinds import save
from assignbench.report.style import AMBER, BLUE, CHARTS, GREEN, PICTURES, RED, WHITE, finished, panels, picture, plain

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
TASK_COLOURS = {"cls": AMBER, "box": BLUE}
RING = "#00e5ff"  # around the priors that learn an object: bright on any picture, and no colour of the scale
LEAST_REACH = 12.0  # px around an object that a cut-out shows at least


@dataclass(frozen=True)
class Truth:
    """An object of a picture: its box in pixels of the picture, and what it is called."""

    box: Box
    name: str


@dataclass(frozen=True)
class Detected:
    """A detection of a picture; `right`: it has the class of an object and IoU 0.5 or more with it."""

    box: Box
    name: str
    right: bool


@dataclass(frozen=True)
class ProbeView:
    """An object of a probe image as a cell saw it at one visit: the image, where the object lies, its priors.

    `annotated`: the box is the object's own; else it is the best prediction, where the records hold nothing better.
    """

    title: str
    pixels: Pixels
    box: Box
    table: pd.DataFrame
    annotated: bool = True


def detections_picture(
    pixels: Pixels, truth: Sequence[Truth], found: Mapping[str, Sequence[Detected]], path: Path
) -> Path:
    """The image with its objects, and beside it with the detections of every cell."""
    size = (4.2, 0.35 + 4.2 * pixels.shape[0] / pixels.shape[1])
    figure, axes = panels(1 + len(found), columns=1 + len(found), size=size)
    picture(axes[0], pixels, "ground truth")
    for one in truth:
        draw_box(axes[0], one.box, WHITE, one.name)
    for ax, (name, detections) in zip(axes[1:], found.items(), strict=True):
        picture(ax, pixels, name)
        for d in detections:
            draw_box(ax, d.box, GREEN if d.right else RED, d.name, "-" if d.right else "--")
        _legend(ax, {"finds an object (IoU ≥ 0.5)": (GREEN, "-"), "finds none": (RED, "--")})
    return _saved(figure, path)


def maps_picture(views: Sequence[ProbeView], path: Path) -> Path:
    """Class score and IoU of an object's priors at their places, a row per cell."""
    figure, axes = panels(2 * len(views), columns=2, size=(3.6, 3.6))
    top = _largest(views)
    for i, view in enumerate(views):
        _dots(axes[2 * i], view, "cls_score", f"{view.title}: class score", top)
        _dots(axes[2 * i + 1], view, "iou", f"{view.title}: IoU", 1.0)
    return _saved(figure, path)


def evolution_picture(rows: Mapping[str, Sequence[ProbeView]], path: Path) -> Path:
    """Class scores of an object's priors over training: a row per cell, a column per visit."""
    columns, top = max(len(views) for views in rows.values()), _largest([v for views in rows.values() for v in views])
    figure, axes = panels(columns * len(rows), columns=columns, size=(2.3, 2.5))
    for row, views in enumerate(rows.values()):
        line = axes[row * columns : (row + 1) * columns]
        for ax, view in zip(line, views, strict=False):
            _dots(ax, view, "cls_score", view.title, top)
        for ax in line[len(views) :]:
            ax.axis("off")
    return _saved(figure, path)


def scores_picture(views: Sequence[ProbeView], path: Path) -> Path:
    """Where the object lies, and how the losses of its positives and of its other priors are spread, per cell."""
    figure, axes = panels(2 * len(views), columns=2, size=(3.8, 3.2))
    for i, view in enumerate(views):
        where, spread = axes[2 * i : 2 * i + 2]
        _cut_out(where, view, f"{view.title}: the object")
        losses, positive = prior_losses(view.table), view.table.positive_cls.to_numpy(bool)
        edges = np.linspace(float(losses.min()), float(losses.max()) + 1e-9, 21).tolist()
        spread.hist(losses[~positive], bins=edges, color="lightgrey", label=f"others ({int((~positive).sum())})")
        spread.hist(losses[positive], bins=edges, color=BLUE, alpha=0.7, label=f"positives ({int(positive.sum())})")
        spread.set_xlabel("−ln(class score × IoU)")
        spread.set_ylabel("priors")
        spread.legend(frameon=False)
        spread.set_title(plain(view.title))
    return _saved(figure, path, CHARTS)


def draw_positives(ax: Axes, pixels: Pixels, boxes: Sequence[Sequence[float]], table: pd.DataFrame, task: str) -> None:
    """The image, its objects in white, and the priors that learn one of them for a task ("cls" or "box").

    A point is drawn at its place, an anchor with its box. `table` has the columns of a probe table.
    """
    picture(ax, pixels, "")
    for x1, y1, x2, y2 in boxes:
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=WHITE, lw=1.6, ls="--"))
    colour = TASK_COLOURS[task]
    for p in table[table[f"positive_{task}"]].itertuples():
        sides = (p.prior_x2 - p.prior_x1, p.prior_y2 - p.prior_y1)
        ax.add_patch(Rectangle((p.prior_x1, p.prior_y1), *sides, fill=False, ec=colour, lw=0.7, alpha=0.7))
        ax.plot((p.prior_x1 + p.prior_x2) / 2, (p.prior_y1 + p.prior_y2) / 2, ".", ms=4, color=colour)


def _largest(views: Sequence[ProbeView]) -> float:
    """The class score that is drawn brightest: the largest one of all panels, so that they can be compared."""
    return max(float(view.table.cls_score.max()) for view in views)


def _dots(ax: Axes, view: ProbeView, value: str, title: str, top: float) -> None:
    """The cut-out with a dot per prior, coloured by a column from 0 to `top`; a ring marks the priors that learn it."""
    _cut_out(ax, view, title)
    table = view.table.sort_values(value)
    x, y = (table.prior_x1 + table.prior_x2) / 2, (table.prior_y1 + table.prior_y2) / 2
    positive = table.positive_cls.to_numpy(bool)
    ax.scatter(x, y, c=table[value], vmin=0, vmax=top, cmap="inferno", s=26, edgecolors="white", linewidths=0.5)
    ax.scatter(x[positive], y[positive], s=70, facecolors="none", edgecolors=RING, linewidths=1.6)
    _note(ax, f"black 0, yellow {top:.2f}, here up to {table[value].max():.2f}; rings: {int(positive.sum())} learn it")


def _cut_out(ax: Axes, view: ProbeView, title: str) -> None:
    """The image around an object, with the object's box."""
    picture(ax, view.pixels, title)
    x1, y1, x2, y2 = view.box
    line = "--" if view.annotated else ":"
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=WHITE, lw=1.4, ls=line))
    if not view.annotated:
        _note(ax, "dotted: best prediction", top=True)
    reach = max(LEAST_REACH, 0.6 * max(x2 - x1, y2 - y1))
    height, width = view.pixels.shape[:2]
    ax.set_xlim(max(0.0, x1 - reach), min(float(width), x2 + reach))
    ax.set_ylim(min(float(height), y2 + reach), max(0.0, y1 - reach))


def _legend(ax: Axes, entries: Mapping[str, tuple[str, str]]) -> None:
    lines = [Line2D([], [], color=colour, ls=style, label=name) for name, (colour, style) in entries.items()]
    ax.legend(handles=lines, loc="lower left", fontsize=6, framealpha=0.8)


def _note(ax: Axes, text: str, *, top: bool = False) -> None:
    paper = {"fc": "black", "alpha": 0.65, "lw": 0, "pad": 1.5}
    place, side = (0.98, "top") if top else (0.02, "bottom")
    ax.text(0.02, place, text, transform=ax.transAxes, color="white", fontsize=5.5, va=side, bbox=paper)


def _saved(figure: Figure, path: Path, between: tuple[float, float] = PICTURES) -> Path:
    save(finished(figure, between), path)
    return path
