"""What pictures of single images are drawn from: boxes, assigned priors, priors coloured by a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from assignbench.records import CellRecord
from assignbench.report.style import AMBER, BLUE, GREEN, RED, WHITE, picture, plain


def draw_assignment(ax: Axes, table: pd.DataFrame) -> None:
    """Priors of a probe table: green for both tasks, amber and blue for one, a red cross on an orphan object."""
    for kind, in_cls, in_box in ((AMBER, True, False), (BLUE, False, True), (GREEN, True, True)):
        part = table[(table.positive_cls == in_cls) & (table.positive_box == in_box)]
        for p in part.itertuples():
            corner = (p.prior_x1, p.prior_y1)
            sides = (p.prior_x2 - p.prior_x1, p.prior_y2 - p.prior_y1)
            ax.add_patch(Rectangle(corner, *sides, fill=False, ec=kind, lw=0.7, alpha=0.8))
            ax.plot((p.prior_x1 + p.prior_x2) / 2, (p.prior_y1 + p.prior_y2) / 2, ".", ms=3, color=kind)
    for _, group in table.groupby("object_id"):
        cls, box = int(group.positive_cls.sum()), int(group.positive_box.sum())
        at = group.iloc[group.iou.to_numpy().argmax()]
        if cls == 0 or box == 0:
            ax.plot((at.prior_x1 + at.prior_x2) / 2, (at.prior_y1 + at.prior_y2) / 2, "x", ms=9, mew=2, color=RED)
    ax.text(
        2,
        4,
        f"cls {int(table.positive_cls.sum())} · box {int(table.positive_box.sum())}",
        color="white",
        fontsize=6,
        va="top",
        bbox={"fc": "black", "alpha": 0.6, "lw": 0, "pad": 1},
    )


def draw_box(ax: Axes, box: Sequence[float], edge: str, text: str, style: str = "-") -> None:
    """A box with a label, plain text, above it."""
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=edge, lw=1.1, ls=style))
    paper = {"fc": edge, "alpha": 0.85, "lw": 0, "pad": 0.6}
    ink = "black" if edge == WHITE else "white"
    ax.text(x1, max(y1, 2), plain(text), fontsize=4.5, color=ink, va="bottom", bbox=paper, clip_on=True)


def draw_priors(ax: Axes, cell: CellRecord, table: pd.DataFrame, value: str, title: str) -> None:
    """The probe image around an object with a dot per prior, coloured by a column."""
    if table.empty:
        ax.axis("off")
        return
    picture(ax, np.asarray(Image.open(cell.folder / "probes" / f"{int(table.image_id.iloc[0])}.png")), title)
    table = table.sort_values(value)
    x, y = (table.prior_x1 + table.prior_x2) / 2, (table.prior_y1 + table.prior_y2) / 2
    ax.scatter(x, y, c=table[value], vmin=0, vmax=1, cmap="cividis", s=14, edgecolors="white", linewidths=0.3)
    best = table.loc[table.iou.idxmax()]
    middle_x, middle_y = float(best.x1 + best.x2) / 2, float(best.y1 + best.y2) / 2
    reach = 12 + 0.6 * max(float(best.x2 - best.x1), float(best.y2 - best.y1))
    ax.set_xlim(max(0, middle_x - reach), min(ax.get_xlim()[1], middle_x + reach))
    ax.set_ylim(min(ax.get_ylim()[0], middle_y + reach), max(0, middle_y - reach))
