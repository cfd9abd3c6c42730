"""The objects that pictures show: which ones, where in their probe images, and how large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from assignbench.analysis import StudyRecord
from assignbench.analysis.probes import last_recorded
from assignbench.records import CellRecord
from assignbench.report.bare import Bare, Ground, bare_grid
from assignbench.report.style import LONGEST, plain

Place = tuple[str, str]
Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
BOX = ["x1", "y1", "x2", "y2"]
ORDER = ("named", "crowded", "slender", "small", "large")
MOST_OBJECTS = 4
MOST_METHODS = 6  # in a figure of single objects; the records hold the others too
ROOM = 0.3  # of the object's longer side, left around it
LEAST_REGION = 32.0  # px of the image that are shown at least
ENLARGED = 3.0  # how many points of a figure a pixel of a small image has at least, each way
DPI = 130.0  # of a saved figure
SMALL, LARGE, WIDEST = 1.75, 3.0, 12.0  # inches of a panel, and of a row of them


@dataclass(frozen=True)
class ShownObject:
    """An object of a probe image: its class, why it is shown, its box and those of all objects of the image (px).

    `annotated` is False in records of an earlier version, which hold no boxes of objects: the box is then the best
    prediction's, and is not drawn.
    """

    image_id: int
    object_id: int
    name: str
    why: str
    box: Box
    others: tuple[Box, ...] = ()
    annotated: bool = True

    @property
    def title(self) -> str:
        """The object in words."""
        return f"{self.why}: {self.name}, image {self.image_id}" if self.why else f"{self.name}, image {self.image_id}"


@dataclass(frozen=True)
class Scene:
    """The first seed's cells of a data set and detector that have probes, and the objects that their pictures show."""

    place: Place
    cells: tuple[CellRecord, ...]
    objects: tuple[ShownObject, ...]

    def pixels(self, image_id: int) -> Pixels:
        """The probe image, which is the same for all cells."""
        return np.asarray(Image.open(self.cells[0].folder / "probes" / f"{image_id}.png").convert("RGB"))

    @property
    def drawn(self) -> tuple[CellRecord, ...]:
        """The cells that a figure of single objects has room for."""
        return self.cells[:MOST_METHODS]

    @property
    def boxes(self) -> str:
        """What a caption has to say of the objects' boxes, which older records do not hold."""
        if not all(o.annotated for o in self.objects):
            return " These records hold no annotated boxes."
        others = ", dotted ones are others" if any(o.others for o in self.objects) else ""
        return f" The dashed box is the object{others}."

    @property
    def note(self) -> str:
        """What a caption has to say of methods that are left out; "" for nothing."""
        rest = [c.config.method.name for c in self.cells[MOST_METHODS:]]
        return f" Not drawn, for want of room: {', '.join(rest)}." if rest else ""


def first_seed(study: StudyRecord) -> dict[Place, list[CellRecord]]:
    """The finished cells of the smallest seed, by data set and detector."""
    groups: dict[Place, list[CellRecord]] = {}
    least = min((c.config.seed for c in study.done), default=0)
    for cell in study.done:
        config = cell.config
        if config.seed == least:
            groups.setdefault((config.data.name, config.detector.label), []).append(cell)
    return groups


def scenes(study: StudyRecord, least: int = 1) -> Iterator[Scene]:
    """Per data set and detector the cells with `least` probe visits and what they show; none without an object."""
    for place, cells in first_seed(study).items():
        usable = [c for c in cells if len(c.probe_visits()) >= least]
        found = shown_objects(usable[0]) if usable else ()
        if found:
            yield Scene(place, tuple(usable), found)


def shown_objects(cell: CellRecord) -> tuple[ShownObject, ...]:
    """The objects that a cell's last visit marks to be shown, named ones first; of an older one the largest object."""
    table = _annotated(cell)
    if table is None:
        return _largest(cell)
    rank = table.shown.map({kind: i for i, kind in enumerate(ORDER)})
    marked = table.assign(rank=rank)[rank.notna()].sort_values("rank", kind="stable")
    return _made(cell, table, marked.head(MOST_OBJECTS))


def differing_objects(scene: Scene, count: Callable[[int], int]) -> tuple[ShownObject, ...]:
    """The probe objects of which `count` is largest and not 0, unless the study names some; those of the scene where
    the records hold no boxes.
    """
    table = _annotated(scene.cells[0])
    if table is None or (table.shown == "named").any():
        return scene.objects
    counts = table.object_id.map(lambda i: count(int(i)))
    ordered = table.assign(counts=counts)[counts > 0].sort_values("counts", ascending=False, kind="stable")
    return _made(scene.cells[0], table, ordered.head(MOST_OBJECTS))


def _annotated(cell: CellRecord) -> pd.DataFrame | None:
    """The probe objects of the last visit with their boxes and marks; None in records of an earlier version."""
    table = last_recorded(cell, "objects")
    return table if table is not None and {"shown", *BOX} <= set(table.columns) else None


def _made(cell: CellRecord, table: pd.DataFrame, rows: pd.DataFrame) -> tuple[ShownObject, ...]:
    classes = cell.environment["classes"]
    found = []
    for row in rows.to_dict("records"):
        others = table[(table.image_id == row["image_id"]) & (table.object_id != row["object_id"])]
        boxes = tuple(_box(r) for r in others.to_dict("records"))
        why = "" if row["shown"] == "named" else str(row["shown"])
        about = (int(row["image_id"]), int(row["object_id"]), str(classes[int(row["label"])]), why)
        found.append(ShownObject(*about, _box(row), boxes))
    return tuple(found)


def _box(row: Mapping[Any, Any]) -> Box:
    x1, y1, x2, y2 = (float(row[n]) for n in BOX)
    return x1, y1, x2, y2


def _largest(cell: CellRecord) -> tuple[ShownObject, ...]:
    """The probe object with the largest best prediction."""
    last = pd.read_parquet(cell.probe_visits()[-1])
    if last.empty:
        return ()
    best = last.loc[last.groupby("object_id").iou.idxmax()]
    row = best.to_dict("records")[int(((best.x2 - best.x1) * (best.y2 - best.y1)).to_numpy().argmax())]
    name = str(cell.environment["classes"][int(row["label"])])
    return (ShownObject(int(row["image_id"]), int(row["object_id"]), name, "", _box(row), (), annotated=False),)


def region_of(box: Box, height: int, width: int) -> Box:
    """The square around a box, moved into the image and cut by it, that a picture shows."""
    x1, y1, x2, y2 = box
    side = max((1 + 2 * ROOM) * max(x2 - x1, y2 - y1), LEAST_REGION)
    corners = []
    for middle, whole in (((x1 + x2) / 2, width), ((y1 + y2) / 2, height)):
        start = min(max(0.0, middle - side / 2), max(0.0, whole - side))
        corners.append((start, min(float(whole), start + side)))
    (left, right), (top, bottom) = corners
    return left, top, right, bottom


def panel_side(regions: Sequence[Box], columns: int = 1) -> float:
    """Inches of the panels for regions (px): small ones are enlarged `ENLARGED` times at least, as far as so many fit
    into a row.
    """
    longest = max((max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in regions), default=0.0)
    return float(np.clip(ENLARGED * longest / DPI, SMALL, max(SMALL, min(LARGE, WIDEST / columns))))


def picture_grid(rows: int, widths: Sequence[float], height: float) -> tuple[Figure, list[list[Bare]]]:
    """A figure of pictures of so many inches close to each other, row by row; titles stand above the first row only."""
    room: dict[str, Any] = {"wspace": 0.03, "hspace": 0.03, "left": 0.0, "right": 1.0, "bottom": 0.0, "top": 1.0}
    room["width_ratios"] = list(widths)
    shape = (sum(widths), height * rows)
    figure = Figure(figsize=shape)
    return figure, bare_grid(figure, rows, len(widths), **room)


def beside(ax: Ground, *lines: str) -> None:
    """Plain text to the left of a picture, upwards; long names are broken."""
    parts = [part for line in lines for part in wrap(line[:LONGEST], 24)]  # before `plain`, whose signs belong together
    text = "\n".join(plain(part) for part in parts)
    about: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 7.5}
    ax.text(-0.03, 0.5, text, transform=ax.transAxes, **about)


def fold_of(study: StudyRecord, place: Place) -> str:
    """What the pictures of a place are folded under; "" for the first place of a study, which stands open."""
    return "" if place == study.places[0] else f"{place[1]} on {place[0]}"


def key(figure: Figure, kinds: Sequence[tuple[str, str]], line: str = "-") -> None:
    """The legend (colour, text) inside the picture, below its panels; none for nothing."""
    if not kinds:
        return
    handles = [Line2D([], [], color=edge, lw=2.5, ls=line, label=plain(text)) for edge, text in kinds]
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01), "ncol": min(4, len(kinds))}
    figure.legend(handles=handles, fontsize=7.5, facecolor="0.85", **place)


def show(ax: Ground, pixels: Pixels, region: Box, title: str = "") -> None:
    """A region of an image, without axes; coordinates stay those of the image. The title is plain text."""
    x1, y1, x2, y2 = region
    left, top, right, bottom = int(x1), int(y1), int(np.ceil(x2)), int(np.ceil(y2))
    ax.imshow(pixels[top:bottom, left:right], extent=(left, right, bottom, top), interpolation="none")
    ax.set_xlim(x1, x2)
    ax.set_ylim(y2, y1)
    ax.axis("off")
    if title:
        ax.set_title(plain(title), fontsize=7)


def truth(ax: Ground, shown: ShownObject) -> None:
    """The object's annotated box, dashed, and dotted those of the others in the image."""
    if not shown.annotated:
        return
    for box in shown.others:
        frame(ax, box, "white", 0.6, ":", alpha=0.8)
    frame(ax, shown.box, "black", 2.5, alpha=0.5)
    frame(ax, shown.box, "white", 1.5, "--")


def frame(ax: Ground, box: Sequence[float], edge: str, width: float = 1.0, line: str = "-", alpha: float = 1.0) -> None:
    """The outline of a box."""
    x1, y1, x2, y2 = box
    ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=edge, lw=width, ls=line, alpha=alpha))


def picture_files(folder: Path) -> dict[int, Path]:
    """The pictures of a folder by image id."""
    return {int(p.stem): p for p in sorted(folder.glob("*.png"), key=lambda p: int(p.stem))}
