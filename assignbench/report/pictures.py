"""Pictures of single images: what methods assign, and the anchors of one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from assignbench.report.drawing import draw_assignment
from assignbench.report.style import WHITE, finished, picture, plain, save

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
# Mutual Guidance, Fig. 4: red where only the first method is positive, green (class) and yellow (box) only the second.
ONLY_FIRST, ONLY_SECOND_CLS, ONLY_SECOND_BOX = "#d7191c", "#2ca25f", "#ffd92f"


def assignment_picture(
    tables: Mapping[str, pd.DataFrame], pixels: Pixels, boxes: Sequence[Sequence[float]], path: Path
) -> Path:
    """One panel per method and, for two methods, one per task with what only one of them chose."""
    names = list(tables)
    compared = names[:2] if len(names) > 1 else []
    columns = len(names) + 2 * bool(compared)
    figure, axes = plt.subplots(1, columns, figsize=(3.6 * columns, 3.9), squeeze=False)
    for ax, name in zip(axes[0], names, strict=False):
        picture(ax, pixels, name)
        _objects(ax, boxes)
        draw_assignment(ax, tables[name])
    for ax, task, colour in zip(
        axes[0][len(names) :], ("cls", "box"), (ONLY_SECOND_CLS, ONLY_SECOND_BOX), strict=False
    ):
        first, second = (_chosen(tables[n], task) for n in compared)
        picture(ax, pixels, "")
        ax.set_title(f"{task}: red only {plain(compared[0])},\nother colour only {plain(compared[1])}")
        _objects(ax, boxes)
        _priors(ax, first[~first.prior.isin(second.prior)], ONLY_FIRST)
        _priors(ax, second[~second.prior.isin(first.prior)], colour)
    save(finished(figure), path)
    return path


def anchor_picture(rows: pd.DataFrame, pixels: Pixels, box: Sequence[float], path: Path) -> Path:
    """Anchors A, B, ... of an object on the image, and their four numbers as bars."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2))
    picture(left, pixels, "")
    _objects(left, [box])
    letters = [chr(ord("A") + i) for i in range(len(rows))]
    for letter, row in zip(letters, rows.itertuples(index=False), strict=True):
        x, y = (row.prior_x1 + row.prior_x2) / 2, (row.prior_y1 + row.prior_y2) / 2
        left.text(x, y, letter, color="white", fontsize=8, ha="center", va="center", weight="bold")
    place = np.arange(len(rows))
    named = (
        ("prior_iou", "IoU anchor"),
        ("iou", "IoU regressed"),
        ("cls_score", "class score"),
        ("amplified", "IoU amplified"),
    )
    for i, (column, name) in enumerate(named):
        right.bar(place + 0.2 * (i - 1.5), rows[column], 0.2, label=name)
    right.set_xticks(place, letters)
    right.set_ylim(0, 1)
    right.legend(ncol=2, fontsize=7)
    save(finished(figure), path)
    return path


def _chosen(table: pd.DataFrame, task: str) -> pd.DataFrame:
    return table[table[f"positive_{task}"]]


def _objects(ax: Axes, boxes: Sequence[Sequence[float]]) -> None:
    for x1, y1, x2, y2 in boxes:
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=WHITE, lw=1.2, ls="--"))


def _priors(ax: Axes, table: pd.DataFrame, colour: str) -> None:
    for p in table.itertuples(index=False):
        sides = (p.prior_x2 - p.prior_x1, p.prior_y2 - p.prior_y1)
        ax.add_patch(Rectangle((p.prior_x1, p.prior_y1), *sides, fill=False, ec=colour, lw=0.9))
