"""Figures of training and of single images; those of the test split are in evidence.py, of the probes in probing.py."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from assignbench.analysis import StudyRecord, Tables
from assignbench.analysis.averages import cell_averages
from assignbench.records import CellRecord
from assignbench.report.style import (
    AMBER,
    BLUE,
    GREEN,
    HATCHES,
    RED,
    WHITE,
    Drawn,
    colour,
    figure_of,
    finished,
    legend,
    picture,
    style,
)


def average_figure(cells: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    """AP, AP50 and AP75 of every seed as points around the mean, per data set and detector."""
    shown = cells[cells.metric.isin(["AP", "AP50", "AP75"])]
    if shown.empty:
        return None
    groups = list(shown.groupby(["data", "detector"], sort=False))
    figure, axes = plt.subplots(len(groups), 1, figsize=(8.4, 3.0 * len(groups)), squeeze=False)
    for ax, ((data, detector), group) in zip(axes[:, 0], groups, strict=True):
        present = [m for m in methods if m in set(group.method)]
        for place, metric in enumerate(["AP", "AP50", "AP75"]):
            for i, method in enumerate(present):
                values = 100 * group[(group.metric == metric) & (group.method == method)].value.to_numpy()
                x = place + (i - (len(present) - 1) / 2) * 0.8 / len(present)
                label = method if place == 0 else None
                look = {"color": colour(method), "alpha": 0.6, "label": label, "hatch": HATCHES[style(method)]}
                ax.bar(x, values.mean() if len(values) else 0.0, 0.7 / len(present), **look)
                ax.plot(np.full(len(values), x), values, "o", ms=3, color="black", alpha=0.7)
        ax.set_xticks(range(3), ["AP", "AP50", "AP75"])
        ax.set_ylabel("per cent")
        ax.set_title(f"{detector} on {data}")
        legend(ax)
    return finished(figure)


def curve_figure(curves: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    """One panel per loss term; thin lines are seeds, smoothed over five logged steps."""
    if curves.empty:
        return None
    terms = [t for t in ("loss", *sorted(set(curves.term) - {"loss"})) if curves[curves.term == t].value.notna().any()]
    rows = -(-len(terms) // 3)
    figure, grid = plt.subplots(rows, min(3, len(terms)), figsize=(3.4 * min(3, len(terms)), 2.8 * rows), squeeze=False)
    axes = list(grid.flatten())
    for ax in axes[len(terms) :]:
        ax.axis("off")
    for ax, term in zip(axes, terms, strict=False):
        part = curves[curves.term == term].dropna(subset="value")
        for (method, data, _, seed), group in part.groupby(["method", "data", "detector", "seed"], sort=False):
            smooth = group.value.rolling(5, min_periods=1).mean()
            first = seed == part.seed.min() and data == part.data.iloc[0]
            ax.plot(
                group.step,
                smooth,
                style(str(method)),
                color=colour(str(method)),
                lw=1.1,
                label=str(method) if first else None,
            )
        ax.set_title(term)
        ax.set_xlabel("step")
        ax.set_yscale("log")
    known: dict[str, Artist] = {}
    for ax in axes:
        known |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    shown = [m for m in methods if m in known]
    handles = [known[m] for m in shown]
    figure.legend(handles, shown, loc="upper left", bbox_to_anchor=(1.0, 0.97), frameon=False)
    return finished(figure)


def positives_figure(positives: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    """Positives per object over training, one panel per task, mean over seeds."""
    if positives.empty:
        return None
    groups = list(positives.groupby(["data", "detector"], sort=False))
    figure, axes = plt.subplots(len(groups), 2, figsize=(8.4, 2.9 * len(groups)), squeeze=False)
    for row, ((data, detector), group) in zip(axes, groups, strict=True):
        for ax, (task, name) in zip(row, (("cls", "classification"), ("box", "box")), strict=True):
            for method in methods:
                part = group[(group.task == task) & (group.method == method)]
                if len(part):
                    mean = part.groupby("progress").positives.mean()
                    line = {"ls": style(method), "color": colour(method), "marker": "o", "ms": 3, "lw": 1.3}
                    ax.plot(100 * mean.index, mean, label=method, **line)
            ax.set_title(f"{name}: {detector} on {data}")
            ax.set_xlabel("per cent of training")
            ax.set_ylabel("positives per object")
            ax.set_ylim(bottom=0)
        legend(row[-1])
    return finished(figure)


def detection_figure(cells: Sequence[CellRecord], images: int = 4) -> Figure | None:
    """Test images in columns: the objects, then each method's best detections, two more than there are objects."""
    if not cells:
        return None
    files = sorted((cells[0].folder / "examples").glob("*.png"), key=lambda p: int(p.stem))[:images]
    if not files:
        return None
    objects = cells[0].table("objects")
    classes = cells[0].environment["classes"]
    rows = [("ground truth", None), *((c.config["method"]["name"], c.table("detections")) for c in cells)]
    first = Image.open(files[0])
    size = (2.5 * len(files), 2.5 * len(rows) * (first.height / first.width + 0.1))
    figure, axes = plt.subplots(len(rows), len(files), figsize=size, squeeze=False)
    for line, (name, table) in zip(axes, rows, strict=True):
        for ax, path in zip(line, files, strict=True):
            truth = objects[objects.image_id == int(path.stem)]
            picture(ax, np.asarray(Image.open(path)), name if path == files[0] else "")
            if table is None:
                for o in truth.itertuples():
                    draw_box(ax, (o.x1, o.y1, o.x2, o.y2), WHITE, classes[int(o.label)])
                continue
            found = table[table.image_id == int(path.stem)].nlargest(len(truth) + 2, "score")
            for d in found.itertuples():
                right = _matches(d, truth)
                text = f"{classes[int(d.label)]} {d.score:.2f}"
                draw_box(ax, (d.x1, d.y1, d.x2, d.y2), GREEN if right else RED, text, "-" if right else "--")
    return finished(figure)


def assignment_figure(cells: Sequence[CellRecord], images: int = 2) -> Figure | None:
    """Probe images before training and at the end, a row per method: priors positive for both tasks or one, orphans."""
    with_probes = [c for c in cells if c.probe_visits()]
    if not with_probes:
        return None
    files = sorted((with_probes[0].folder / "probes").glob("*.png"), key=lambda p: int(p.stem))[:images]
    columns = [(path, when) for path in files for when in (0, -1)]
    size = (2.7 * len(columns), 2.95 * len(with_probes))
    figure, axes = plt.subplots(len(with_probes), len(columns), figsize=size, squeeze=False)
    for line, cell in zip(axes, with_probes, strict=True):
        visits = cell.probe_visits()
        for ax, (path, when) in zip(line, columns, strict=True):
            table = pd.read_parquet(visits[when])
            title = f"{cell.config['method']['name']}, {'at the end' if when else 'before training'}"
            picture(ax, np.asarray(Image.open(path)), title)
            draw_assignment(ax, table[table.image_id == int(path.stem)])
    return finished(figure)


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


def _matches(detection: object, truth: pd.DataFrame) -> bool:
    d = np.array([getattr(detection, n) for n in ("x1", "y1", "x2", "y2")], float)
    same = truth[truth.label == getattr(detection, "label")]  # noqa: B009 (a row's type has no fields)
    boxes = same[["x1", "y1", "x2", "y2"]].to_numpy(float)
    if not len(boxes):
        return False
    shared = (np.minimum(boxes[:, 2:], d[2:]) - np.maximum(boxes[:, :2], d[:2])).clip(0).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (d[2:] - d[:2]).prod() - shared
    return bool((shared / union).max() >= 0.5)


def draw_box(ax: Axes, box: Sequence[float], edge: str, text: str, style: str = "-") -> None:
    """A box with a label above it."""
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=edge, lw=1.1, ls=style))
    paper = {"fc": edge, "alpha": 0.85, "lw": 0, "pad": 0.6}
    ink = "black" if edge == WHITE else "white"
    ax.text(x1, max(y1, 2), text, fontsize=4.5, color=ink, va="bottom", bbox=paper, clip_on=True)


@figure_of("averages")
def draw_averages(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """AP of every seed around the mean."""
    caption = "AP, AP50 and AP75: bars are means, points are seeds."
    return [Drawn("averages", caption, average_figure(cell_averages(study), study.methods))]


@figure_of("curves")
def draw_curves(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Loss terms over training."""
    caption = "Loss terms over training, smoothed over five logged steps."
    return [Drawn("curves", caption, curve_figure(next(iter(tables.values())), study.methods))]


@figure_of("positives")
def draw_positives(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Positives per object over training."""
    caption = "Positives per object over training, by task."
    return [Drawn("positives", caption, positives_figure(next(iter(tables.values())), study.methods))]


def first_seed(study: StudyRecord) -> dict[tuple[str, str], list[CellRecord]]:
    """The finished cells of the smallest seed, by data set and detector."""
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    least = min((c.config["seed"] for c in study.done), default=0)
    for cell in study.done:
        config = cell.config
        if config["seed"] == least:
            groups.setdefault((config["data"]["name"], config["detector"]["label"]), []).append(cell)
    return groups


def detection_pictures(study: StudyRecord) -> list[Drawn]:
    """What each method detects on a few test images."""
    caption = (
        "Each method's best detections, two more than there are objects, {}: green where one of the right class has "
        "IoU ≥ 0.5 with an object, dashed red where not."
    )
    return [
        Drawn(
            f"detections-{data}-{detector}",
            caption.format(f"{detector} on {data}"),
            detection_figure(cells),
            photo_of=data,
        )
        for (data, detector), cells in first_seed(study).items()
    ]


def assignment_pictures(study: StudyRecord) -> list[Drawn]:
    """What each method assigns on the probe images."""
    caption = (
        "Priors that learn an object of a probe image, {}: green for both tasks, amber for classification only, blue "
        "for the box only; a red cross marks an object without one for a task."
    )
    return [
        Drawn(
            f"assignment-{data}-{detector}",
            caption.format(f"{detector} on {data}"),
            assignment_figure(cells),
            photo_of=data,
        )
        for (data, detector), cells in first_seed(study).items()
    ]
