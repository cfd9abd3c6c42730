"""What the priors of a location became: their median detections, and the boxes of the bias alone (MuSu, Fig. 3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from assignbench.analysis import StudyRecord
from assignbench.analysis.probes import recorded
from assignbench.records import CellRecord
from assignbench.report.hues import colour
from assignbench.report.scenes import MOST_METHODS, first_seed, fold_of, frame
from assignbench.report.style import Drawn, Found, figure_of, finished, panels, place_name, places, plain, present

MOMENTS = 4
SIDES = ("x1", "y1", "x2", "y2")
SQUARES = (0.35, 0.45)  # inches to the left of a panel and below
SHADES = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#8c5a2b", "#6a3d9a", "#7f7f7f", "#b5a400")


@figure_of("anchors")
def anchors(study: StudyRecord, found: Found) -> list[Drawn]:
    """The median box of every prior of a location, and what the bias of the box layer says over training."""
    return [*_medians(study, found), *bias_strips(study)]


def _medians(study: StudyRecord, found: Found) -> list[Drawn]:
    made = []
    for _, part in places(found["anchors"]):
        methods = present(study.methods, part)
        figure, axes = panels(len(methods), columns=4, size=(2.2, 2.2))
        reach = float((part["size"] * np.sqrt(np.maximum(part.ratio, 1 / part.ratio))).max()) / 2 * 1.1
        for ax, method in zip(axes, methods, strict=True):
            for row in part[part.method == method].itertuples():
                wide, high = row.size * row.ratio**0.5, row.size / row.ratio**0.5
                frame(ax, (-wide / 2, -high / 2, wide / 2, high / 2), colour(method), 0.5 + 5 * row.share)
            _around(ax, reach)
            ax.set_title(plain(method))
        place = (str(part.data.iloc[0]), str(part.detector.iloc[0]))
        caption = (
            "Median detected box of each prior of a location, in strides around its point; a wide line has many "
            f"detections, the dashed square is one stride{place_name(study, place)}."
        )
        made.append(
            Drawn(f"anchors-{place[0]}-{place[1]}", caption, finished(figure, SQUARES), fold=fold_of(study, place))
        )
    return made


def bias_strips(study: StudyRecord) -> list[Drawn]:
    """Per data set and detector whose locations have several priors: a row per method, a column per moment."""
    made = []
    for place, cells in first_seed(study).items():
        courses = {c.config.method.name: _course(c) for c in cells}
        known = {m: t for m, t in courses.items() if len(t) > 1}
        several = {m: t for m, t in known.items() if t[0].anchor.nunique() > 1}
        drawn = dict(list(several.items())[:MOST_METHODS])
        if not drawn:
            continue
        level = next(iter(drawn.values()))[0].level.iloc[0]
        rest = list(several)[MOST_METHODS:]
        caption = (
            "Boxes that each prior of a location predicts where all features are zero, which the bias of the last box "
            f"layer alone decides, over training, in strides around its point (MuSu, Fig. 3); level {level}, a colour "
            f"per prior, the dashed square is one stride{place_name(study, place)}."
            + (f" Not drawn, for want of room: {', '.join(rest)}." if rest else "")
        )
        made.append(
            Drawn(f"anchors-bias-{place[0]}-{place[1]}", caption, _bias_figure(drawn), fold=fold_of(study, place))
        )
    return made


def _course(cell: CellRecord) -> list[pd.DataFrame]:
    """The boxes at a few visits, the first and the last among them, on the middle level."""
    tables = recorded(cell, "shapes")
    chosen = np.linspace(0, len(tables) - 1, min(MOMENTS, len(tables))).round().astype(int)
    return [t[t.level == int(t.level.max()) // 2] for t in (tables[i] for i in chosen)]


def _bias_figure(courses: dict[str, list[pd.DataFrame]]) -> Figure:
    columns = max(len(tables) for tables in courses.values())
    figure, axes = panels(len(courses) * columns, columns=columns, size=(1.9, 2.0))
    most = max(len(t) for tables in courses.values() for t in tables)
    for row, (method, tables) in enumerate(courses.items()):
        reach = 1.1 * max(float(t[list(SIDES)].abs().to_numpy().max()) for t in tables)
        for column in range(columns):
            ax = axes[row * columns + column]
            if column >= len(tables):
                ax.axis("off")
                continue
            table = tables[column]
            for box in table.to_dict("records"):
                frame(ax, [float(box[n]) for n in SIDES], SHADES[int(box["anchor"]) % len(SHADES)], 1.6, alpha=0.85)
            _around(ax, reach)
            if not row:
                ax.set_title(f"{100 * table.progress.iloc[0]:.0f} % of training", fontsize=8)
            if not column:
                ax.set_ylabel(plain(method), fontsize=8)
    handles = [Line2D([], [], color=SHADES[i % len(SHADES)], lw=2, label=f"prior {i}") for i in range(most)]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=min(6, most), fontsize=7)
    return finished(figure, SQUARES)


def _around(ax: Axes, reach: float) -> None:
    """A square panel around the prior's point, with one stride dashed."""
    frame(ax, (-0.5, -0.5, 0.5, 0.5), "black", 0.8, "--")
    ax.plot(0, 0, "+", ms=5, color="black")
    ax.set_xlim(-reach, reach)
    ax.set_ylim(reach, -reach)  # as in the image, downwards
    ax.set_aspect("equal")
    ax.tick_params(labelsize=6)
