"""Pictures of single images, as `assignbench show` draws them: what methods assign, and the anchors of one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.lines import Line2D

from assignbench.report.drawing import KINDS, corner_text, draw_assignment, outlines
from assignbench.report.hues import colour
from assignbench.report.kinds import save
from assignbench.report.samples import ONLY_BASELINE, PRIOR, TASKS
from assignbench.report.scenes import DPI, ENLARGED, panel_side, region_of, show
from assignbench.report.style import PICTURES, finished, panels, picture, plain

Pixels = npt.NDArray[np.uint8]
# The numbers of an anchor with the colours of the methods that read them (Mutual Guidance, Fig. 2).
NUMBERS = (
    ("prior_iou", "IoU anchor", "iou", "o"),
    ("iou", "IoU regressed", "musu", "s"),
    ("cls_score", "class score", "paa", "^"),
    ("amplified", "IoU amplified", "mutual_guidance", "D"),
)


def assignment_picture(
    tables: Mapping[str, pd.DataFrame], pixels: Pixels, boxes: Sequence[Sequence[float]], path: Path
) -> Path:
    """One panel per method and, for two methods, one per task with what only one of them chose."""
    names = list(tables)
    compared = names[:2] if len(names) > 1 else []
    columns = len(names) + 2 * bool(compared)
    wide = float(np.clip(ENLARGED * pixels.shape[1] / DPI, 2.4, 3.8))
    figure, axes = panels(columns, columns=columns, size=(wide, wide * pixels.shape[0] / pixels.shape[1] + 0.5))
    truths = np.asarray(boxes, np.float64).reshape(-1, 4)
    for ax, name in zip(axes, names, strict=False):
        picture(ax, pixels, name)
        outlines(ax, truths, "white", 1.2)
        draw_assignment(ax, tables[name])
    kinds = [(edge, text) for text, edge in KINDS]
    for ax, (task, word, edge) in zip(axes[len(names) :], TASKS, strict=False):
        first, second = (tables[n][tables[n][f"positive_{task}"]] for n in compared)
        picture(ax, pixels, word)
        outlines(ax, truths, "white", 1.2)
        lost, gained = first[~first.prior.isin(second.prior)], second[~second.prior.isin(first.prior)]
        outlines(ax, lost[PRIOR].to_numpy(float), ONLY_BASELINE)
        outlines(ax, gained[PRIOR].to_numpy(float), edge)
        corner_text(ax, f"−{len(lost)}  +{len(gained)}")
        kinds.append((edge, f"only {compared[1]}, {task}"))
    if compared:
        kinds.append((ONLY_BASELINE, f"only {compared[0]}"))
    handles = [Line2D([], [], color=edge, lw=2.5, label=plain(text)) for edge, text in kinds]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=3, fontsize=7, facecolor="0.85")
    save(finished(figure, PICTURES), path)
    return path


def anchor_picture(rows: pd.DataFrame, pixels: Pixels, box: Sequence[float], path: Path) -> Path:
    """Anchors A, B, ... around an object, and their four numbers as dots."""
    x1, y1, x2, y2 = (float(v) for v in box)
    region = region_of((x1, y1, x2, y2), pixels.shape[0], pixels.shape[1])
    side = max(3.4, panel_side([region]))
    figure, (left, right) = panels(2, columns=2, size=(side + 0.8, side))
    show(left, pixels, region)
    outlines(left, np.array([[x1, y1, x2, y2]]), "white", 1.5)
    letters = [chr(ord("A") + i) for i in range(len(rows))]
    for letter, row in zip(letters, rows.itertuples(index=False), strict=True):
        x, y = (row.prior_x1 + row.prior_x2) / 2, (row.prior_y1 + row.prior_y2) / 2
        back = {"fc": "black", "alpha": 0.55, "lw": 0, "pad": 0.8}
        left.text(
            x, y, letter, color="white", fontsize=8, ha="center", va="center", weight="bold", bbox=back, clip_on=True
        )
    for column, name, of, sign in NUMBERS:
        right.plot(range(len(rows)), rows[column], sign, ms=5, color=colour(of), label=name)
    right.set_xticks(range(len(rows)), letters)
    right.set_ylim(-0.03, 1.03)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncol=2, fontsize=7)
    save(finished(figure, PICTURES), path)
    return path
