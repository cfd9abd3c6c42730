"""One object's priors over training, a column per moment: confidences (LTM, Fig. 6), and what a rule makes of them
with the boxes that they predict (PAA, Figs. 4a, 6 and 7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.records import CellRecord
from assignbench.report.bare import Bare
from assignbench.report.drawing import corner_text, corners, draw_cells, heat_of_boxes
from assignbench.report.scenes import (
    BOX,
    Box,
    Pixels,
    ShownObject,
    beside,
    fold_of,
    key,
    panel_side,
    picture_grid,
    region_of,
    scenes,
    show,
    truth,
)
from assignbench.report.style import AMBER, GREEN, RED, Drawn, place_name

MOMENTS = 4
PRIOR = [f"prior_{n}" for n in BOX]
MAP = "YlOrRd"  # darker and redder is more confident
FAINT = 0.08  # opacity of a box of no confidence

# Draws an object's priors in a region; the number is the largest confidence of the figure.
Paint = Callable[[Bare, pd.DataFrame, Box, float], None]


def confidence_strips(study: StudyRecord) -> list[Drawn]:
    """Dots, boxes and a heat map of the confidence of an object's priors, per method (LTM, Fig. 6)."""
    rows: dict[str, Paint] = {"dots": _dots, "boxes": _boxes, "heat map": _heat}
    caption = (
        "Confidence (class score × IoU) of the priors of one object ({}{}) over training, {} (LTM, Fig. 6): a dot at "
        "each prior's centre, darker and redder for more, up to the largest of the figure; the priors as boxes, in the "
        "same colours; and what they add up to, pixel by pixel, of the most in the panel.{}"
    )
    return _strips(study, "evolution-strips", caption, rows, [])


def assignment_strips(study: StudyRecord) -> list[Drawn]:
    """Positive and other priors of an object, and the boxes that they predict, per method (PAA, Figs. 4a, 6, 7)."""
    rows: dict[str, Paint] = {"priors": _labelled(PRIOR), "predicted": _labelled(BOX)}
    caption = (
        "Priors of one object ({}{}) over training and the boxes that they predict, {} (PAA, Figs. 4a, 6 and 7): "
        "positive for both tasks, for one alone, or negative. Negative ones are the candidates that the rule judged, "
        "where it tells them, else the ten others that overlap the object most.{}"
    )
    known = [(GREEN, "positive"), (AMBER, "for one task alone"), (RED, "negative")]
    return _strips(study, "evolution-assignment", caption, rows, known)


def _strips(
    study: StudyRecord, name: str, caption: str, rows: dict[str, Paint], legend: Sequence[tuple[str, str]]
) -> list[Drawn]:
    """A figure per data set, detector and method: a row per way of drawing, a column per moment. The first one says
    what is drawn.
    """
    made: list[Drawn] = []
    for scene in scenes(study, least=2):
        shown = scene.objects[0]
        for cell in scene.drawn:
            method, rest = cell.config.method.name, scene.note if cell is scene.drawn[-1] else ""
            where = place_name(study, scene.place)
            words = (
                caption.format(shown.title, where, method, scene.boxes) if not made else _short(method, where, shown)
            )
            figure = _figure(scene.pixels(shown.image_id), cell, shown, rows)
            if legend:
                key(figure, legend)
            stem = f"{name}-{method}-{scene.place[0]}-{scene.place[1]}"
            fold = fold_of(study, scene.place)
            made.append(Drawn(stem, words + rest, figure, scene.place[0], fold=fold))
    return made


def _short(method: str, where: str, shown: ShownObject) -> str:
    """The caption of a figure that is drawn as the first of its kind."""
    return f"The same for {method}{where} ({shown.title})."


def _figure(pixels: Pixels, cell: CellRecord, shown: ShownObject, rows: dict[str, Paint]) -> Figure:
    region = region_of(shown.box, *pixels.shape[:2])
    moments = _moments(cell, shown.object_id, min(MOMENTS, len(cell.probe_visits())))
    most = max((float(_confidence(table).max()) for _, table in moments if len(table)), default=0.0)
    side = panel_side([region], len(moments))
    figure, axes = picture_grid(len(rows), [side] * len(moments), side)
    for line, (what, paint) in zip(axes, rows.items(), strict=True):
        beside(line[0], what)
        for ax, (progress, table) in zip(line, moments, strict=True):
            show(ax, pixels, region, f"{100 * progress:.0f} % of training" if line is axes[0] else "")
            paint(ax, table, region, most)
            truth(ax, shown)
    return figure


def _moments(cell: CellRecord, object_id: int, count: int) -> list[tuple[float, pd.DataFrame]]:
    """The progress and the object's priors of so many visits, the first and the last among them."""
    paths = cell.probe_visits()
    found = []
    for at in np.linspace(0, len(paths) - 1, count).round().astype(int):
        table = pd.read_parquet(paths[at])
        progress = float(table.progress.iloc[0]) if len(table) else float("nan")
        found.append((progress, table[table.object_id == object_id]))
    return found


def _confidence(table: pd.DataFrame) -> pd.Series:
    return table.cls_score * table.iou


def _dots(ax: Bare, table: pd.DataFrame, region: Box, most: float) -> None:
    table = table.assign(confidence=_confidence(table)).sort_values("confidence")
    x, y = (table.prior_x1 + table.prior_x2) / 2, (table.prior_y1 + table.prior_y2) / 2
    shades = matplotlib.colormaps[MAP](table.confidence.to_numpy(float) / (most or 1.0))
    ax.scatter(x, y, s=22, facecolors=shades, edgecolors="black", linewidths=0.3)
    corner_text(ax, f"max {table.confidence.max():.2f} of {len(table)}" if len(table) else "none")


def _boxes(ax: Bare, table: pd.DataFrame, region: Box, most: float) -> None:
    table = table.assign(confidence=_confidence(table)).sort_values("confidence")
    share = np.clip(table.confidence.to_numpy(float) / (most or 1.0), 0, 1)
    edges = matplotlib.colormaps[MAP](share)
    edges[:, 3] = FAINT + (1 - FAINT) * share
    ax.add_collection(LineCollection(list(corners(table[PRIOR].to_numpy(float))), colors=edges, linewidths=1.0), False)


def _heat(ax: Bare, table: pd.DataFrame, region: Box, most: float) -> None:
    heat = heat_of_boxes(table[PRIOR].to_numpy(float), _confidence(table).to_numpy(float), region)
    top = float(heat.max()) or 1.0
    x1, y1, x2, y2 = region
    shades = matplotlib.colormaps[MAP](heat / top)
    shades[..., 3] = 0.75 * heat / top
    draw_cells(ax, shades, (x1, x2, y2, y1))


NEGATIVES = 10  # that are drawn where a rule does not tell its candidates


def _labelled(columns: list[str]) -> Paint:
    """Boxes of the columns by their labels, negative ones below."""

    def paint(ax: Bare, table: pd.DataFrame, region: Box, most: float) -> None:
        both, one = table.positive_cls & table.positive_box, table.positive_cls ^ table.positive_box
        rest = table[~(table.positive_cls | table.positive_box)]
        judged = rest.candidate.fillna(False).astype(bool) if "candidate" in rest else pd.Series(False, rest.index)
        rest = rest[judged] if judged.any() or "candidate" in rest else rest.nlargest(NEGATIVES, "iou")
        for part, edge, width in ((rest, RED, 0.6), (table[one], AMBER, 0.9), (table[both], GREEN, 0.9)):
            lines = LineCollection(
                list(corners(part[columns].to_numpy(float))), colors=edge, linewidths=width, alpha=0.75
            )
            ax.add_collection(lines, autolim=False)
        corner_text(ax, f"{int(both.sum() + one.sum())} + / {len(rest)} −")

    return paint
