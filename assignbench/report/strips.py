"""One object's priors over training, a column per moment: confidences (LTM, Fig. 6), and what a rule makes of them
with the boxes that they predict (PAA, Figs. 4a, 6 and 7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.records import CellRecord
from assignbench.report.drawing import corner_text, corners, heat_of_boxes
from assignbench.report.scenes import (
    BOX,
    Box,
    Scene,
    ShownObject,
    beside,
    key,
    panel_side,
    picture_grid,
    region_of,
    scenes,
    show,
    truth,
)
from assignbench.report.style import AMBER, GREEN, RED, Drawn, place_name

MOMENTS = 5
PRIOR = [f"prior_{n}" for n in BOX]
MAP = "YlOrRd"  # darker and redder is more confident
LEAST_LINE, MOST_LINE = 0.15, 1.0  # opacity of boxes

Paint = Callable[[Axes, pd.DataFrame, Box], None]


def confidence_strips(study: StudyRecord) -> list[Drawn]:
    """Dots, boxes and a heat map of the confidence of an object's priors, per method (LTM, Fig. 6)."""
    rows: dict[str, Paint] = {"dots": _dots, "boxes": _boxes, "heat map": _heat}
    caption = (
        "Confidence (class score × IoU) of the priors of one object ({}{}) over training (LTM, Fig. 6): a dot at each "
        "prior's centre, darker and redder for more; the priors as boxes, in the same colours; and what they add up "
        "to, pixel by pixel, of the most in its panel. The dashed box is the object."
    )
    return _strips(study, "evolution-strips", caption, rows, [])


def assignment_strips(study: StudyRecord) -> list[Drawn]:
    """Positive and other priors of an object, and the boxes that they predict, per method (PAA, Figs. 4a, 6, 7)."""
    rows: dict[str, Paint] = {"priors": _labelled(PRIOR), "predicted": _labelled(BOX)}
    caption = (
        "Priors of one object ({}{}) over training and the boxes that they predict (PAA, Figs. 4a, 6 and 7): positive "
        "for both tasks, for one alone, or negative. Negative ones are the candidates that the rule judged, where it "
        "tells them, else the ten others that overlap the object most. The dashed box is the object."
    )
    known = [(GREEN, "positive"), (AMBER, "for one task alone"), (RED, "negative")]
    return _strips(study, "evolution-assignment", caption, rows, known)


def _strips(
    study: StudyRecord, name: str, caption: str, rows: dict[str, Paint], legend: Sequence[tuple[str, str]]
) -> list[Drawn]:
    """A figure per data set and detector: for each method a row per way of drawing, a column per moment."""
    made = []
    for scene in scenes(study, least=2):
        shown = scene.objects[0]
        words = caption.format(shown.title, place_name(study, scene.place)) + scene.note
        figure = _figure(scene, shown, rows)
        if legend:
            key(figure, legend)
        made.append(Drawn(f"{name}-{scene.place[0]}-{scene.place[1]}", words, figure, scene.place[0]))
    return made


def _figure(scene: Scene, shown: ShownObject, rows: dict[str, Paint]) -> Figure:
    pixels = scene.pixels(shown.image_id)
    region = region_of(shown.box, *pixels.shape[:2])
    moments = min(MOMENTS, *(len(c.probe_visits()) for c in scene.drawn))
    side = panel_side([region])
    figure, axes = picture_grid(len(scene.drawn) * len(rows), moments, (side, side))
    lines = iter(axes)
    for cell in scene.drawn:
        tables = _moments(cell, shown.object_id, moments)
        for number, (what, paint) in enumerate(rows.items()):
            line = next(lines)
            beside(line[0], *([] if number else [cell.config.method.name]), what)
            for ax, (progress, table) in zip(line, tables, strict=True):
                show(ax, pixels, region, f"{100 * progress:.0f} % of training" if line is axes[0] else "")
                paint(ax, table, region)
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


def _dots(ax: Axes, table: pd.DataFrame, region: Box) -> None:
    table = table.assign(confidence=_confidence(table)).sort_values("confidence")
    x, y = (table.prior_x1 + table.prior_x2) / 2, (table.prior_y1 + table.prior_y2) / 2
    ax.scatter(x, y, c=table.confidence, vmin=0, vmax=1, cmap=MAP, s=16, edgecolors="black", linewidths=0.25)


def _boxes(ax: Axes, table: pd.DataFrame, region: Box) -> None:
    table = table.assign(confidence=_confidence(table)).sort_values("confidence")
    lines = LineCollection(corners(table[PRIOR].to_numpy(float)), cmap=MAP, norm=Normalize(0, 1), linewidths=0.9)
    lines.set_array(table.confidence.to_numpy(float))
    lines.set_alpha(np.clip(0.2 + table.confidence.to_numpy(float), LEAST_LINE, MOST_LINE).tolist())
    ax.add_collection(lines, autolim=False)


def _heat(ax: Axes, table: pd.DataFrame, region: Box) -> None:
    heat = heat_of_boxes(table[PRIOR].to_numpy(float), _confidence(table).to_numpy(float), region)
    most = float(heat.max()) if heat.size else 0.0
    x1, y1, x2, y2 = region
    alpha = 0.75 * heat / most if most > 0 else np.zeros_like(heat)
    ax.imshow(heat, extent=(x1, x2, y2, y1), cmap=MAP, vmin=0, vmax=most or 1.0, alpha=alpha, interpolation="nearest")
    ax.set_xlim(x1, x2)
    ax.set_ylim(y2, y1)


NEGATIVES = 10  # that are drawn where a rule does not tell its candidates


def _labelled(columns: list[str]) -> Paint:
    """Boxes of the columns by their labels, negative ones below."""

    def paint(ax: Axes, table: pd.DataFrame, region: Box) -> None:
        both, one = table.positive_cls & table.positive_box, table.positive_cls ^ table.positive_box
        rest = table[~(table.positive_cls | table.positive_box)]
        judged = rest.candidate.fillna(False).astype(bool) if "candidate" in rest else pd.Series(False, rest.index)
        rest = rest[judged] if judged.any() or "candidate" in rest else rest.nlargest(NEGATIVES, "iou")
        for part, edge, width in ((rest, RED, 0.6), (table[one], AMBER, 0.9), (table[both], GREEN, 0.9)):
            lines = LineCollection(corners(part[columns].to_numpy(float)), colors=edge, linewidths=width, alpha=0.75)
            ax.add_collection(lines, autolim=False)
        corner_text(ax, f"{int(both.sum() + one.sum())} + / {len(rest)} −")

    return paint
