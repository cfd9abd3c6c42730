"""Figures of the probe images: churn, confidence, scores of an object, maps, learned anchors, levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from assignbench.analysis import StudyRecord, Tables
from assignbench.analysis.probes import anchor_losses, mixture_of, visits
from assignbench.records import CellRecord
from assignbench.report.evidence import per_place
from assignbench.report.figures import first_seed
from assignbench.report.style import (
    Drawn,
    colour,
    figure_of,
    finished,
    legend,
    method_lines,
    panels,
    picture,
    places,
    present,
    style,
)


def paired_panels(table: pd.DataFrame) -> tuple[Figure, list[tuple[str, pd.DataFrame, list[Axes]]]]:
    """A figure with two panels per data set and detector: title, part of the table and the two axes of each."""
    parts = places(table)
    figure, axes = panels(2 * len(parts), columns=2, size=(4.0, 2.7))
    return figure, [(title, part, axes[2 * i : 2 * i + 2]) for i, (title, part) in enumerate(parts)]


@figure_of("churn")
def churn(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Churn over training."""
    table = tables.get("Churn over training", pd.DataFrame())
    if table.empty:
        return []
    figure, rows = paired_panels(table)
    for title, part, pair in rows:
        for ax, (task, name) in zip(pair, (("cls", "classification"), ("box", "box")), strict=True):
            mine = part[part.task == task]
            method_lines(ax, mine, present(study.methods, mine), "progress", "churn")
            ax.set_title(f"{name}: {title}")
            ax.set_xlabel("share of training")
        pair[0].set_ylabel("new positives, per cent")
        legend(pair[1])
    caption = "Share of an object's positives that it did not have at the visit before."
    return [Drawn("churn", caption, finished(figure))]


@figure_of("evolution")
def evolution(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Score and IoU of positives and of other priors, and strips of an object's confidences."""
    table = tables.get("Confidence over training", pd.DataFrame())
    if table.empty:
        return []
    figure, rows = paired_panels(table)
    for title, part, pair in rows:
        for ax, value in zip(pair, ("score", "iou"), strict=True):
            for method in present(study.methods, part):
                for kind, alpha in (("positive", 1.0), ("other", 0.4)):
                    mine = part[(part.method == method) & (part.priors == kind)].groupby("progress")[value].mean()
                    label = method if kind == "positive" else None
                    look: dict[str, Any] = {
                        "color": colour(method),
                        "ls": style(method),
                        "alpha": alpha,
                        "lw": 1.2,
                        "label": label,
                    }
                    ax.plot(mine.index, mine, **look)
            ax.set_title(f"{value}: {title}")
            ax.set_xlabel("share of training")
        legend(pair[1])
    caption = "Mean score and IoU of the positives (full colour) and of the other priors (pale) of the probe objects."
    return [Drawn("evolution", caption, finished(figure)), *_strips(study)]


def _strips(study: StudyRecord, moments: int = 5) -> list[Drawn]:
    """Confidence of one object's priors at a few visits, a row per method (LTM, Fig. 6)."""
    made = []
    for (data, detector), cells in first_seed(study).items():
        usable = [c for c in cells if len(c.probe_visits()) >= 2]
        chosen = probe_object(usable)
        if chosen is None:
            continue
        figure, axes = panels(len(usable) * moments, columns=moments, size=(1.9, 2.1))
        for row, cell in enumerate(usable):
            paths = cell.probe_visits()
            for column, at in enumerate(np.linspace(0, len(paths) - 1, moments).round().astype(int)):
                table = pd.read_parquet(paths[at])
                ax = axes[row * moments + column]
                name = cell.config["method"]["name"]
                title = f"{name}, {100 * table.progress.iloc[0]:.0f} %" if len(table) else name
                draw_priors(ax, cell, table[table.object_id == chosen], "score", title)
        caption = (
            f"Scores of one probe object's priors over training, {detector} on {data}: a dot per prior at its centre, "
            "yellow is 1, dark blue 0."
        )
        made.append(Drawn(f"evolution-strips-{data}-{detector}", caption, finished(figure), data))
    return made


def probe_object(cells: Sequence[CellRecord]) -> int | None:
    """The largest probe object, by the first cell's best predictions at its last visit; the same for all methods."""
    if not cells:
        return None
    last = visits(cells[0])[-1]
    if last.empty:
        return None
    best = last.loc[last.groupby("object_id").iou.idxmax()]
    return int(best.object_id.iloc[int(((best.x2 - best.x1) * (best.y2 - best.y1)).to_numpy().argmax())])


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


@figure_of("scores")
def scores(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Histogram of an object's anchor scores with the fitted mixture (PAA, Fig. 1)."""
    made = []
    for (data, detector), cells in first_seed(study).items():
        usable = [c for c in cells if c.probe_visits()]
        chosen = probe_object(usable)
        if chosen is None:
            continue
        figure, axes = panels(len(usable), columns=4, size=(2.4, 2.1))
        for ax, cell in zip(axes, usable, strict=True):
            table = visits(cell)[-1]
            _mixture_panel(ax, anchor_losses(table[table.object_id == chosen]))
            ax.set_title(cell.config["method"]["name"])
        caption = (
            f"−ln(score × IoU) of the priors of one probe object at the end of training, {detector} on {data}, with "
            "the two-component mixture that PAA would fit (solid: the better component)."
        )
        made.append(Drawn(f"scores-{data}-{detector}", caption, finished(figure)))
    return made


def _mixture_panel(ax: Axes, losses: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    if len(losses) < 2:
        ax.axis("off")
        return
    ax.hist(losses, bins=20, density=True, color="lightgrey")
    mixture = mixture_of(losses)
    x = np.linspace(losses.min(), losses.max(), 200)
    for k, line in ((0, "-"), (1, "--")):
        mean, variance, weight = (float(v[0, k]) for v in (mixture.means, mixture.variances, mixture.weights))
        density = weight * np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        ax.plot(x, density, line, color="#0072b2", lw=1.2)


@figure_of("maps")
def maps(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Score and IoU of one object's priors in place (MuSu, Fig. 1)."""
    made = []
    for (data, detector), cells in first_seed(study).items():
        usable = [c for c in cells if c.probe_visits()]
        chosen = probe_object(usable)
        if chosen is None:
            continue
        figure, axes = panels(2 * len(usable), columns=4, size=(2.1, 2.3))
        for i, cell in enumerate(usable):
            table = visits(cell)[-1]
            for ax, value in zip(axes[2 * i :], ("score", "iou"), strict=False):
                title = f"{cell.config['method']['name']}: {value}"
                draw_priors(ax, cell, table[table.object_id == chosen], value, title)
        caption = f"Where one probe object's priors score high and lie well at the end, {detector} on {data}."
        made.append(Drawn(f"maps-{data}-{detector}", caption, finished(figure), data))
    return made


@figure_of("anchors")
def anchors(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """The median box of every prior of a location (MuSu, Fig. 3)."""
    table = next(iter(tables.values()))
    if table.empty:
        return []
    made = []
    for title, part in places(table):
        methods = present(study.methods, part)
        figure, axes = panels(len(methods), columns=4, size=(2.2, 2.2))
        reach = float((part["size"] * np.sqrt(np.maximum(part.ratio, 1 / part.ratio))).max()) / 2 * 1.1
        for ax, method in zip(axes, methods, strict=True):
            for row in part[part.method == method].itertuples():
                wide, high = row.size * row.ratio**0.5, row.size / row.ratio**0.5
                box = Rectangle(
                    (-wide / 2, -high / 2), wide, high, fill=False, ec=colour(method), lw=0.5 + 5 * row.share
                )
                ax.add_patch(box)
            ax.set_xlim(-reach, reach)
            ax.set_ylim(-reach, reach)
            ax.set_aspect("equal")
            ax.set_title(method)
        caption = f"Median box of each prior of a location, in strides; a wide line has many detections. {title}."
        made.append(Drawn(f"anchors-{part.data.iloc[0]}-{part.detector.iloc[0]}", caption, finished(figure)))
    return made


@figure_of("levels")
def levels(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Shares of the levels, stacked, by size of the object."""
    table = next(iter(tables.values()))
    if table.empty:
        return []
    names = [c for c in table.columns if c.startswith("level ")]

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        sizes = list(dict.fromkeys(part["size"]))
        for s, size in enumerate(sizes):
            for m, method in enumerate(methods):
                mine = part[(part["size"] == size) & (part.method == method)]
                if mine.empty:
                    continue
                at, bottom = s * (len(methods) + 1) + m, 0.0
                for k, name in enumerate(names):
                    share = float(np.nan_to_num(mine[name].iloc[0]))
                    shade = str(0.9 - 0.75 * k / max(1, len(names) - 1))
                    ax.bar(at, 100 * share, 0.85, bottom=bottom, color=shade, edgecolor=colour(method), lw=0.6,
                           label=name if s == 0 and m == 0 else None)  # fmt: skip
                    bottom += 100 * share
                ax.text(at, -2, method, rotation=90, ha="center", va="top", fontsize=5)
        middle = [s * (len(methods) + 1) + (len(methods) - 1) / 2 for s in range(len(sizes))]
        ax.set_xticks(middle, sizes)
        ax.tick_params(axis="x", pad=36)
        ax.set_ylabel("positives, per cent")

    figure: Figure | None = per_place(table, study.methods, draw, size=(8.0, 3.0))
    caption = "Levels on which the classification positives of an object lie, by size of the object."
    return [Drawn("levels", caption, figure)]
