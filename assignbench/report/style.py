"""How figures look, and how they are saved; which colour a method has stands in `hues`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assignbench.analysis import StudyRecord
from assignbench.report.bare import Bare, Ground, bare_grid
from assignbench.report.hues import colour, marker, marker_size, style

GREEN, BLUE, AMBER, RED, WHITE = "#2ca25f", "#0072b2", "#e69f00", "#d7191c", "#ffffff"

INK, LINES = ".15", ".8"  # of texts, and of axes and grids
matplotlib.rcParams.update(
    {
        **{"font.family": "DejaVu Sans", "font.size": 9.6, "text.color": INK, "figure.dpi": 72},
        **{"axes.axisbelow": True, "axes.grid": True, "axes.edgecolor": LINES, "axes.linewidth": 1.0},
        **{"axes.labelcolor": INK, "axes.labelsize": 9.6, "axes.titlesize": 10, "legend.fontsize": 8},
        "axes.titley": 1.0,  # where the axes end: nothing of ours is above, and to look for it takes a third of drawing
        **{"grid.color": LINES, "lines.linewidth": 1.2, "lines.markersize": 4.8, "lines.solid_capstyle": "round"},
        **{"patch.edgecolor": "w", "patch.force_edgecolor": True, "patch.linewidth": 0.8},
        **{"xtick.bottom": False, "xtick.color": INK, "xtick.labelsize": 8.8, "xtick.major.size": 4.8},
        **{"ytick.left": False, "ytick.color": INK, "ytick.labelsize": 8.8, "ytick.major.size": 4.8},
    }
)

# Inches to the left of panels and below: charts with numbers and labels, those whose inner sides are bare, pictures.
CHARTS, NARROW, PICTURES = (0.7, 0.75), (0.25, 0.75), (0.12, 0.35)


@dataclass(frozen=True)
class Drawn:
    """A figure with its file name and caption; None where the records hold nothing to draw.

    `told`: a sentence in place of a figure that would show nothing, such as groups without objects; "" for none.
    `changed_by`: the method whose lost and gained assignments it shows; "" for any other figure. `fold`: what it is
    folded under, together with others, such as its detector; "" for one that everybody sees.
    """

    name: str
    caption: str
    figure: Figure | None
    photo_of: str = ""  # the data set whose images it shows; saved as JPEG, a PNG of photographs would be large
    told: str = ""
    changed_by: str = ""
    fold: str = ""


Found = Mapping[str, pd.DataFrame]  # an analysis' tables by the key of their Result
Draw = Callable[[StudyRecord, Found], list[Drawn]]
FIGURES: dict[str, Draw] = {}


def figure_of(key: str) -> Callable[[Draw], Draw]:
    """Decorator: what the report draws where an analysis gives a Result of this key that holds rows.

    The function gets all tables of that analysis by key, never their captions.
    """

    def enter(draw: Draw) -> Draw:
        FIGURES[key] = draw
        return draw

    return enter


LONGEST = 60  # characters of a name in a figure; a longer one would push everything else out of it


def plain(text: object) -> str:
    """A name as matplotlib draws it letter by letter: one line, cut to 60 characters, `$` never opens a formula.

    Everything in a figure that a study, a data set or a record may have named goes through here, once. A space before
    a leading underscore keeps the name in legends, which leave out what begins with one.
    """
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(text).split()))
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return (" " if line.startswith("_") else "") + line.replace("$", r"\$")


def picture(ax: Ground, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], title: str) -> None:
    """An image without axes, whose pixels begin at 0; the title is plain text."""
    high, wide = pixels.shape[:2]
    ax.imshow(pixels, extent=(0, wide, high, 0), interpolation="none")
    ax.set_xlim(0, wide)
    ax.set_ylim(high, 0)
    ax.axis("off")
    if title:
        ax.set_title(plain(title))


def panels(count: int, *, columns: int = 2, size: tuple[float, float] = (4.2, 2.9)) -> tuple[Figure, list[Axes]]:
    """A figure with so many axes, row by row; places that are left over stay blank."""
    wide = min(columns, max(count, 1))
    rows = -(-max(count, 1) // wide)
    figure = Figure(figsize=(size[0] * wide, size[1] * rows))
    axes = list(figure.subplots(rows, wide, squeeze=False).flatten())
    for ax in axes[count:]:
        ax.axis("off")
    return figure, axes[:count]


def places(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The parts of a table by data set and detector, each with a title to draw; none where there is one place only."""
    found = list(table.groupby(["data", "detector"], sort=False, observed=True))
    return [(plain(f"{detector} on {data}") if len(found) > 1 else "", group) for (data, detector), group in found]


def place_name(study: StudyRecord, place: tuple[str, str]) -> str:
    """ ", detector on data" for a caption; nothing in a study that has one place only."""
    return f", {place[1]} on {place[0]}" if len(study.places) > 1 else ""


def present(methods: Iterable[str], table: pd.DataFrame) -> list[str]:
    """The methods of a table in the study's order."""
    there = set(table.method)
    return [m for m in methods if m in there]


def method_lines(ax: Axes, table: pd.DataFrame, methods: Sequence[str], x: str, y: str, scale: float = 100.0) -> None:
    """Lines of y over x, mean over seeds, with intervals in `y`_half where there are any."""
    for method in methods:
        mine = table[table.method == method].groupby(x, sort=True, as_index=False).mean(numeric_only=True)
        look: dict[str, Any] = {
            "color": colour(method),
            "ls": style(method),
            "lw": 1.3,
            "marker": marker(method),
            "ms": marker_size(method, 5),
            "mec": "white",
            "mew": 0.4,
            "label": plain(method),
        }
        half = mine.get(f"{y}_half")
        error = None if half is None or half.isna().all() else scale * half
        ax.errorbar(mine[x], scale * mine[y], yerr=error, elinewidth=0.7, **look)


def legend(ax: Axes, of: Axes | None = None) -> None:
    """The legend to the right of the axes, if anything is labelled in them (or in the axes `of` beside them)."""
    handles, labels = (of or ax).get_legend_handles_labels()
    if handles:
        ax.legend(handles, labels, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)


def one_legend(figure: Figure, methods: Sequence[str] = (), more: Sequence[Artist] = ()) -> None:
    """The one legend of a figure, to the right of its panels: what is labelled in any of them, each once, the methods
    in the study's order; then `more`. None where nothing is labelled.
    """
    known: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    first = [name for name in map(plain, methods) if name in known]
    handles = {name: known[name] for name in dict.fromkeys([*first, *known])}
    handles |= {str(handle.get_label()): handle for handle in more}
    if handles:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "frameon": False}
        figure.legend(list(handles.values()), list(handles), **place)


def finished(figure: Figure, between: tuple[float, float] = CHARTS) -> Figure:
    """The figure with so many inches to the left of each of its panels and below it, for what stands there.

    Nothing is measured: what is wider at the left end, such as names, needs no room within the figure, since a saved
    one is as large as what is drawn.
    """
    figure.subplots_adjust(**_room(figure, *_grid_of(figure), between))
    return figure


def _room(figure: Figure, rows: int, columns: int, between: tuple[float, float]) -> dict[str, float]:
    """Where the panels of a figure lie that has so many inches to the left of each and below it."""
    (width, height), (left, below) = figure.get_size_inches(), between
    wide, high = max(0.5, width / columns - left), max(0.5, height / rows - below)
    ends = {"left": left / width, "bottom": below / height, "right": 1.0, "top": 1.0}
    return {**ends, "wspace": left / wide, "hspace": below / high}


def picture_panels(
    rows: int, columns: int, size: tuple[float, float], between: tuple[float, float]
) -> tuple[Figure, list[list[Bare]]]:
    """A figure of pictures, laid out as `panels` and `finished` lay out panels."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows))
    return figure, bare_grid(figure, rows, columns, **_room(figure, rows, columns, between))


def _grid_of(figure: Figure) -> tuple[int, int]:
    """How many rows and columns of panels a figure has."""
    grid = figure.axes[0].get_gridspec()
    return (1, 1) if grid is None else (grid.nrows, grid.ncols)


def titled(name: str, place: str) -> str:
    """A panel's title: what it shows, and where if there are several places."""
    return f"{name}: {place}" if place else name
