"""Figures of the test split: where methods differ, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord, Tables
from assignbench.analysis.divergence import density_sample
from assignbench.analysis.errors import KINDS
from assignbench.analysis.formulas import amplified_curves, mean_max_surface
from assignbench.measure.groups import CROWDING, ELONGATION, PER_IMAGE
from assignbench.analysis.nms import THRESHOLDS
from assignbench.report.style import (
    Drawn,
    colour,
    figure_of,
    finished,
    legend,
    method_bars,
    method_lines,
    panels,
    places,
    present,
    style,
)

Panel = Callable[[Axes, pd.DataFrame, list[str]], None]


def per_place(
    table: pd.DataFrame, methods: Sequence[str], draw: Panel, *, size: tuple[float, float] = (6.6, 2.8)
) -> Figure | None:
    """One panel per data set and detector, drawn by `draw(ax, part, methods)`, each with its legend."""
    if table.empty:
        return None
    parts = places(table)
    figure, axes = panels(len(parts), columns=1, size=size)
    for ax, (title, part) in zip(axes, parts, strict=True):
        draw(ax, part, present(methods, part))
        ax.set_title(title)
        legend(ax)
    return finished(figure)


@figure_of("differences")
def differences(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Forest plot of the differences in AP."""
    table = tables.get("Paired differences over seeds", pd.DataFrame())
    images = tables.get("One trained pair, test images resampled", pd.DataFrame())
    if table.empty:
        return []
    shown = table[table.metric == "AP"]

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for y, method in enumerate(methods):
            row = part[part.method == method].iloc[0]
            ax.errorbar(
                100 * row.difference, y, xerr=None if np.isnan(row.half) else 100 * row.half, fmt="o", ms=5,
                color=colour(method), capsize=3, label="seeds, 95 % t" if y == 0 else None,
            )  # fmt: skip
            pair = images[(images.method == method) & (images.data == row.data) & (images.detector == row.detector)]
            for p in pair.itertuples():
                look: dict[str, Any] = {
                    "color": "grey",
                    "lw": 4,
                    "alpha": 0.35,
                    "label": "one pair, images" if y == 0 else None,
                }
                ax.plot([100 * p.low, 100 * p.high], [y - 0.2, y - 0.2], **look)
        ax.axvline(0, color="black", lw=0.8)
        ax.set_yticks(range(len(methods)), methods)
        ax.set_ylim(-0.6, len(methods) - 0.4)
        ax.set_xlabel("difference in AP to the baseline, points")

    caption = (
        "Differences in AP to the first method: points with the 95 % t-interval over seeds (verdicts rest on it); in "
        "grey the interval of one trained pair when test images are resampled (no verdict rests on it)."
    )
    return [Drawn("differences", caption, per_place(shown, study.methods, draw))]


def gain_bars(groups: Sequence[str], label: str) -> Panel:
    """Bars of the gain per group."""

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        known = [g for g in groups if g in set(part.group)]
        gained = [m for m in methods if part[part.method == m].gain.notna().any()]
        if known and gained:
            method_bars(ax, part, known, gained, "gain")
        ax.set_ylabel("gain in AP, points")
        ax.set_xlabel(label)

    return draw


def gain_figure(table: pd.DataFrame, study: StudyRecord, groups: Sequence[str], label: str) -> Figure | None:
    """Gains by group, if anything gained."""
    if table.empty or "gain" not in table or table.gain.isna().all():
        return None
    kept = table.groupby(["data", "detector"])["gain"].transform(lambda g: g.notna().any())
    return per_place(table[kept.astype(bool)], study.methods, gain_bars(groups, label))


@figure_of("size")
def size(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Gain by area."""
    table = tables["By area of the object"]
    groups = list(dict.fromkeys(table.group)) if len(table) else []
    caption = "Gain in AP over the baseline by area of the object, mean over seeds with the 95 % t-interval."
    return [Drawn("size", caption, gain_figure(table, study, groups, "area of the object"))]


@figure_of("crowdedness")
def crowdedness(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Gain by crowdedness of the object and by objects per image."""
    first, second = tables["By crowdedness of the object"], tables["By objects per image"]
    caption = "Gain in AP over the baseline by {}, mean over seeds with the 95 % t-interval."
    by_object = gain_figure(first, study, CROWDING.names, "largest IoU with another object")
    by_count = gain_figure(second, study, PER_IMAGE.names, "objects per image")
    return [
        Drawn("crowdedness", caption.format("crowdedness of the object (LTM, Table 2)"), by_object),
        Drawn("crowdedness-count", caption.format("objects per image (LTM, Fig. 5)"), by_count),
    ]


@figure_of("aspect_ratio")
def aspect_ratio(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Gain by aspect ratio of objects and of categories, and by category."""
    categories, lines = tables["By category"], tables["Lines through the categories"]
    by_object = gain_figure(
        tables["By aspect ratio of the object"], study, ELONGATION.names, "aspect ratio of the object"
    )
    caption = "Gain in AP over the baseline by aspect ratio of the object, mean over seeds with the 95 % t-interval."
    made = [Drawn("aspect_ratio", caption, by_object)]
    if len(categories):  # a line needs three categories
        several = categories.groupby(["data", "detector"]).category.transform("nunique") > 2
        categories = categories[several]
    if len(categories):
        caption = "Gain in AP of every category against its mean aspect ratio, with the fitted line (LTM, Fig. 7)."
        made.append(Drawn("aspect_ratio-categories", caption, _category_lines(categories, lines, study.methods)))
        caption = "Gain in AP by category, the most slender one first (LTM, Fig. 8)."
        made.append(Drawn("aspect_ratio-bars", caption, _category_bars(categories, study.methods)))
    return made


def _category_lines(categories: pd.DataFrame, lines: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    def draw(ax: Axes, part: pd.DataFrame, names: list[str]) -> None:
        for method in names:
            mine = part[part.method == method]
            ax.plot(mine.aspect_ratio, 100 * mine.gain, "o", ms=3.5, color=colour(method), alpha=0.7)
            chosen = lines[(lines.method == method) & (lines.data == part.data.iloc[0])]
            for line in chosen[chosen.detector == part.detector.iloc[0]].itertuples():
                x = np.array([part.aspect_ratio.min(), part.aspect_ratio.max()])
                half = "n/a" if np.isnan(line.slope_half) else f"{100 * line.slope_half:.1f}"
                label = f"{method}: {100 * line.slope:+.1f} ± {half} per unit"
                y = 100 * (line.intercept + line.slope * x)
                ax.plot(x, y, style(method), color=colour(method), lw=1.2, label=label)
        ax.axhline(0, color="black", lw=0.6)
        ax.set_xlabel("mean aspect ratio of the category")
        ax.set_ylabel("gain in AP, points")

    return per_place(categories, methods, draw)


def _category_bars(categories: pd.DataFrame, methods: Sequence[str]) -> Figure | None:
    def draw(ax: Axes, part: pd.DataFrame, names: list[str]) -> None:
        order = part.groupby("category").aspect_ratio.mean().sort_values(ascending=False).index.tolist()[:24]
        method_bars(ax, part.rename(columns={"category": "group"}), order, names, "gain")
        ax.tick_params(axis="x", rotation=60 if len(order) > 10 else 0, labelsize=7)
        ax.set_ylabel("gain in AP, points")

    return per_place(categories, methods, draw)


@figure_of("factors")
def factors(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Gain over each factor."""
    table = tables.get("Gain by group", pd.DataFrame())
    made = []
    for (data, detector), part in table.groupby(["data", "detector"], sort=False) if len(table) else []:
        names = list(dict.fromkeys(part.factor))
        figure, axes = panels(len(names), columns=3, size=(3.3, 2.7))
        for ax, factor in zip(axes, names, strict=True):
            mine = part[part.factor == factor]
            method_lines(ax, mine, present(study.methods, mine), "middle", "gain")
            ax.axhline(0, color="black", lw=0.6)
            ax.set_xlabel(factor.replace("_", " "))
        axes[0].set_ylabel("gain in AP, points")
        legend(axes[min(len(axes), 3) - 1])
        caption = f"Gain in AP over the baseline by factor, groups of equal size, {detector} on {data}."
        made.append(Drawn(f"factors-{data}-{detector}", caption, finished(figure)))
    return made


@figure_of("errors")
def errors(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """What each kind of error costs."""
    table = next(iter(tables.values()))
    if table.empty:
        return []
    keys = ["data", "detector", "method"]
    long = table.melt(id_vars=keys, value_vars=list(KINDS), var_name="group", value_name="cost")
    half = table.melt(id_vars=keys, value_vars=[f"{k}_half" for k in KINDS], value_name="cost_half")
    long["cost_half"] = half.cost_half

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        method_bars(ax, part, KINDS, methods, "cost")
        ax.tick_params(axis="x", labelsize=7)
        ax.set_ylabel("AP50 lost, points")

    caption = "AP at IoU 0.5 that mending one kind of error alone would add."
    return [Drawn("errors", caption, per_place(long, study.methods, draw))]


@figure_of("divergence")
def divergence(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Score-IoU density of every method, and divergence against AP."""
    cells = tables.get("Divergence and AP of every cell", pd.DataFrame())
    made = []
    if len(cells) and cells.spearman.notna().any():

        def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
            for method in methods:
                mine = part[part.method == method]
                ax.plot(mine.spearman, 100 * mine.AP.astype(float), "o", ms=5, color=colour(method), label=method)
            ax.set_xlabel("Spearman of score and IoU, mean over objects (J_k)")
            ax.set_ylabel("AP")

        caption = "Divergence against AP, a point per cell: does the one predict the other (MLC, Table 1)?"
        made.append(Drawn("divergence", caption, per_place(cells, study.methods, draw)))
    return [*made, *_densities(study)]


def _densities(study: StudyRecord) -> list[Drawn]:
    cells = study.data()
    least = min((c.keys["seed"] for c in cells), default=0)
    made = []
    for place in dict.fromkeys((c.keys["data"], c.keys["detector"]) for c in cells):
        mine = [c for c in cells if (c.keys["data"], c.keys["detector"], c.keys["seed"]) == (*place, least)]
        figure, axes = panels(len(mine), columns=4, size=(2.2, 2.2))
        for ax, cell in zip(axes, mine, strict=True):
            sample = density_sample(cell)
            ax.hist2d(
                sample.iou,
                sample.cls_score,
                bins=40,
                range=np.array([[0.1, 1.0], [0.0, 1.0]]),
                cmap="cividis",
                norm="log",
                cmin=1,
            )
            ax.set_title(cell.keys["method"])
            ax.set_xlabel("IoU")
        axes[0].set_ylabel("score of the true class")
        caption = f"Score and IoU of the predictions with IoU ≥ 0.1, log density, first seed, {place[1]} on {place[0]}."
        made.append(Drawn(f"divergence-density-{place[0]}-{place[1]}", caption, finished(figure)))
    return made


@figure_of("nms")
def nms(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """NMS recall over IoU."""
    table = tables.get("NMS recall", pd.DataFrame())
    if table.empty:
        return []
    names = [f"NR{round(100 * t)}" for t in THRESHOLDS]
    keys = ["data", "detector", "method", "reading"]
    long = table.melt(id_vars=keys, value_vars=names, var_name="tau", value_name="recall")
    long["tau"] = long.tau.str[2:].astype(float) / 100

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        method_lines(ax, part[part.reading == "coverage"], methods, "tau", "recall")
        ax.set_xlabel("IoU τ")
        ax.set_ylabel("NMS recall, per cent")

    caption = "NMS recall (coverage reading) over IoU τ, mean over seeds."
    return [Drawn("nms", caption, per_place(long, study.methods, draw))]


@figure_of("quality")
def quality(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Reliability of the predicted IoU."""
    table = tables["Reliability"]
    if table.empty:
        return []

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for method in methods:
            mine = part[part.method == method].sort_values("predicted")
            ax.plot(mine.predicted, mine.true, style(method), marker="o", ms=3, color=colour(method), label=method)
        ax.plot([0, 1], [0, 1], color="grey", lw=0.8, ls=":")
        ax.set_xlabel("predicted IoU")
        ax.set_ylabel("mean true IoU")

    caption = "Reliability of the predicted IoU over the boxes before NMS; on the dotted line it is exact on average."
    return [Drawn("quality", caption, per_place(table, study.methods, draw))]


@figure_of("cost")
def cost(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """AP against training time."""
    table = next(iter(tables.values()))
    if table.empty:
        return []

    def draw(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
        for method in methods:
            row = part[part.method == method].iloc[0]
            edge: dict[str, Any] = {"mec": "black", "mew": 1.2} if row.pareto else {}
            ax.plot(row.train_s, 100 * row.AP, "o", ms=7, color=colour(method), label=method, **edge)
        front = part[part.pareto == "yes"].sort_values("train_s")
        ax.step(front.train_s, 100 * front.AP, where="post", color="grey", lw=0.8, zorder=0)
        ax.set_xlabel("training seconds of a cell")
        ax.set_ylabel("AP")

    caption = "AP against training time; outlined methods are dominated by no other."
    return [Drawn("cost", caption, per_place(table, study.methods, draw))]


@figure_of("formulas")
def formulas(study: StudyRecord, tables: Tables) -> list[Drawn]:
    """Amplified IoU curves and mean-max surfaces."""
    figure, axes = panels(3, columns=3, size=(3.5, 3.0))
    for score, part in amplified_curves().groupby("score"):
        axes[0].plot(part.iou, part.amplified, label=f"p = {score:g}", lw=1.3)
    axes[0].set_xlabel("IoU")
    axes[0].set_ylabel("amplified IoU")
    axes[0].legend(frameon=False)
    surface = mean_max_surface()
    for ax, name, title in ((axes[1], "plus", "M₊"), (axes[2], "minus", "M₋")):
        wide = surface.pivot(index="phi2", columns="phi1", values=name)
        drawn = ax.contourf(wide.columns, wide.index, wide.to_numpy(), levels=20, cmap="cividis", vmin=0, vmax=1)
        ax.set_xlabel("φ₁")
        ax.set_ylabel("φ₂")
        ax.set_title(f"{title} of two anchors")
        figure.colorbar(drawn, ax=ax)
    caption = "Mutual Guidance's amplified IoU (its Fig. 3) and LTM's mean-max functions (its Fig. 2)."
    return [Drawn("formulas", caption, finished(figure))]
