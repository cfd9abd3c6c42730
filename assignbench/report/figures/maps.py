"""Ranking score and IoU of one object's priors over the grid of its level (MuSu, Figs. 1 and 4)."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.analysis.probes import last_recorded
from assignbench.config.method import Ranking
from assignbench.measure.ranking import ranking_score
from assignbench.records import CellRecord
from assignbench.report.bare import Bare
from assignbench.report.drawing import corner_text, draw_cells
from assignbench.report.scenes import (
    MOST_OBJECTS,
    WIDEST,
    Box,
    Scene,
    beside,
    fold_of,
    frame,
    panel_side,
    region_of,
    scenes,
    show,
    truth,
)
from assignbench.report.style import LINES, Drawn, Found, figure_of, place_name

MAP = "magma"
VALUES = (("ranking score", "rank"), ("IoU", "iou"))


@figure_of("maps")
def maps(study: StudyRecord, found: Found) -> list[Drawn]:
    """Where score and IoU of an object's priors are high at the end of training, a row per method."""
    made: list[Drawn] = []
    for scene in scenes(study):
        grids = {c.id: _grid(c) for c in scene.drawn}
        place = place_name(study, scene.place)
        name, fold = f"maps-{scene.place[0]}-{scene.place[1]}", fold_of(study, scene.place)
        if all(g.empty for g in grids.values()):
            told = f"No picture of ranking score and IoU{place}: these records hold no grid of an object's level."
            made.append(Drawn(name, "", None, scene.place[0], told, fold=fold))
            continue
        caption = (
            f"Ranking score, by which NMS sorts, and IoU of every prior of the level on which an object is learned"
            f"{place}, at the end of training (MuSu, Figs. 1 and 4): the best of each location, brighter for more, up "
            "to the largest in the panel, which is written in it. A cross marks the best one inside the object; where "
            f"the two crosses of a pair lie apart, the box that NMS keeps is not the best one.{scene.boxes}{scene.note}"
        )
        if any(one.figure is not None for one in made):
            caption = f"The same{place}.{scene.note}"
        made.append(Drawn(name, caption, _figure(scene, grids), scene.place[0], fold=fold))
    return made


def _grid(cell: CellRecord) -> pd.DataFrame:
    """The recorded grids of the cell's shown objects with the score that its NMS sorts by."""
    table, method = last_recorded(cell, "grid"), cell.config.method
    if table is None:
        return pd.DataFrame()
    ranking: Ranking = "quality" if method.nms.kind == "iou_guided" else method.ranking
    scores = (table[c].to_numpy(np.float64) for c in ("cls_score", "quality_score"))
    return table.assign(rank=ranking_score(ranking, *scores))


def _figure(scene: Scene, grids: dict[str, pd.DataFrame]) -> Figure:
    """The objects on top, below them two panels per object for every method."""
    regions = [region_of(o.box, *scene.pixels(o.image_id).shape[:2]) for o in scene.objects]
    count, rows = len(regions), 1 + len(scene.drawn)
    top, side = panel_side(regions, count), WIDEST / (2 * MOST_OBJECTS)
    figure = Figure(figsize=(2 * side * count, side * (rows - 1) + top))
    room = {"wspace": 0.04, "hspace": 0.04, "left": 0.0, "right": 1.0, "bottom": 0.0, "top": 1.0}
    grid = figure.add_gridspec(rows, 2 * count, height_ratios=[top, *[side] * (rows - 1)], **room)
    for place, (shown, region) in enumerate(zip(scene.objects, regions, strict=True)):
        above = Bare(figure, grid[0, 2 * place : 2 * place + 2].get_position(figure))
        show(above, scene.pixels(shown.image_id), region, shown.title)
        truth(above, shown)
        for row, cell in enumerate(scene.drawn, start=1):
            table = grids[cell.id]
            mine = table[table.object_id == shown.object_id] if len(table) else table
            for column, (name, value) in enumerate(VALUES):
                ax = Bare(figure, grid[row, 2 * place + column].get_position(figure))
                _heat(ax, mine, value, region, shown.box)
                if shown.annotated:
                    frame(ax, shown.box, "white", 1.0, "--")
                if cell is scene.drawn[-1]:
                    ax.set_xlabel(name, fontsize=7)
                if not place and not column:
                    beside(ax, cell.config.method.name)
    return figure


def _heat(ax: Bare, table: pd.DataFrame, value: str, region: Box, box: Box) -> None:
    """The best prior of every location, as cells of the level's stride; a cross on the best one inside the object."""
    x1, y1, x2, y2 = region
    ax.ground("black", LINES)
    ax.set_xlim(x1, x2)
    ax.set_ylim(y2, y1)
    if len(table):
        best = table.pivot_table(index="y", columns="x", values=value, aggfunc="max")
        half = float(table.stride.iloc[0]) / 2
        across, down = best.columns.to_numpy(float), best.index.to_numpy(float)
        seen, inside = (_within(table, of) for of in (region, box))
        most = float((seen if len(seen) else table)[value].max())
        extent = (across[0] - half, across[-1] + half, down[-1] + half, down[0] - half)
        shades = matplotlib.colormaps[MAP](np.ma.masked_invalid(best.to_numpy() / (most or 1.0)))
        draw_cells(ax, shades, extent)
        if len(inside):
            peak = inside.loc[inside[value].idxmax()]
            ax.plot(peak.x, peak.y, "+", ms=8, mew=1.6, color="#00e5ff")
        corner_text(ax, f"max {most:.2f}, stride {2 * half:g}")


def _within(table: pd.DataFrame, box: Box) -> pd.DataFrame:
    """The priors whose point lies in a box."""
    x1, y1, x2, y2 = box
    return table[table.x.between(x1, x2) & table.y.between(y1, y2)]
