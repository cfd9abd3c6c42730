"""A picture in a figure without axes, whose ticks and labels it would not show: to make them takes longer than to draw
the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import Collection, PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox, BboxTransform, BboxTransformTo, ScaledTranslation, TransformedBbox

ABOVE, BELOW = 6.0, 4.0  # points between a picture and its title, and what is written below it


class Bare(Artist):
    """A part of a figure, of which a picture takes as much as it can undistorted, in its middle. What is drawn on axes
    is drawn on it by the same calls, as far as pictures need them; only texts reach beyond it.

    `place`: the part's left and lower edge, width and height, as shares of the figure. `texts`, `patches`,
    `collections`: what was drawn.
    """

    def __init__(self, figure: Figure, place: Bbox) -> None:
        super().__init__()
        figure.add_artist(self)
        self.page, self.place = figure, place
        self.images: list[_Image] = []
        self.lines: list[Line2D] = []
        self.patches: list[Patch] = []
        self.collections: list[Collection] = []
        self.texts: list[Text] = []
        self._title = ""
        self.edges: list[Patch] = []  # around it, which are not cut off
        self._limits, self._shares = Bbox.unit(), Bbox(place.get_points())
        self.box = TransformedBbox(self._shares, figure.transSubfigure)
        self.transAxes, self.transData = BboxTransformTo(self.box), BboxTransform(self._limits, self.box)

    def get_xlim(self) -> tuple[float, float]:
        """What is at the left and at the right end."""
        return self._limits.x0, self._limits.x1

    def get_ylim(self) -> tuple[float, float]:
        """What is at the lower and at the upper end."""
        return self._limits.y0, self._limits.y1

    def set_xlim(self, left: float, right: float) -> None:
        """Shows what lies between the two."""
        self._fit((left, right), self.get_ylim())

    def set_ylim(self, bottom: float, top: float) -> None:
        """Shows what lies between the two."""
        self._fit(self.get_xlim(), (bottom, top))

    def _fit(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._limits.set_points(np.array([(x[0], y[0]), (x[1], y[1])]))
        whole = self.page.get_size_inches()
        sides = np.abs([x[1] - x[0], y[1] - y[0]])
        share = sides * (self.place.size * whole / sides).min() / whole
        corner = self.place.min + (self.place.size - share) / 2
        self._shares.set_points(np.stack([corner, corner + share]))

    def get_position(self) -> Bbox:
        """Where the picture lies, as shares of the figure."""
        return self._shares

    def axis(self, what: str) -> None:
        """Does nothing: there are no axes."""

    def imshow(
        self,
        pixels: npt.NDArray[np.uint8],
        extent: Sequence[float],
        interpolation: str = "none",
        zorder: float = 0.0,
    ) -> None:
        """An image [H, W, 3 or 4], its first row on top, over an extent (left, right, bottom, top)."""
        self.images.append(_Image(self, pixels, extent, zorder))

    def add_patch(self, patch: Patch) -> None:
        """A patch in the picture's coordinates."""
        self._own(patch)
        self.patches.append(patch)

    def add_collection(self, collection: Collection, autolim: bool = False) -> None:
        """Lines in the picture's coordinates."""
        self._own(collection)
        self.collections.append(collection)

    def plot(self, x: npt.ArrayLike, y: npt.ArrayLike, marker: str, **look: Any) -> None:
        """A marker at every place."""
        line = Line2D(np.atleast_1d(x), np.atleast_1d(y), ls="none", marker=marker, **look)
        self._own(line)
        self.lines.append(line)

    def scatter(self, x: npt.ArrayLike, y: npt.ArrayLike, s: float, **look: Any) -> None:
        """A disc of `s` square points at every place; `look` holds the colours."""
        disc = MarkerStyle("o")
        path = disc.get_path().transformed(disc.get_transform())
        dots = PathCollection([path], [s], offsets=np.column_stack([x, y]), offset_transform=self.transData, **look)
        dots.set_transform(matplotlib.transforms.IdentityTransform())
        self.add_collection(dots)

    def text(self, x: float, y: float, text: str, *, clip_on: bool = False, **look: Any) -> Text:
        """A text, in the picture's coordinates unless `look` has another transform."""
        made = Text(x, y, text, **{"transform": self.transData, **look})
        made.set_figure(self.page)
        if clip_on:
            made.set_clip_on(True)
            made.set_clip_box(self.box)
        self.texts.append(made)
        return made

    def set_title(self, text: str, fontsize: float | None = None) -> None:
        """A text above the picture."""
        size = matplotlib.rcParams["axes.titlesize"] if fontsize is None else fontsize
        self._title = text
        self.text(0.5, 1.0, text, ha="center", fontsize=size, transform=self.transAxes + self._points(ABOVE))

    def get_title(self) -> str:
        """What stands above the picture; "" for nothing."""
        return self._title

    def set_xlabel(self, text: str, fontsize: float) -> None:
        """A text below the picture."""
        self.text(
            0.5, 0.0, text, ha="center", va="top", fontsize=fontsize, transform=self.transAxes + self._points(-BELOW)
        )

    def ground(self, colour: str, edge: str) -> None:
        """A ground of one colour, and an edge around it."""
        whole: dict[str, Any] = {"xy": (0, 0), "width": 1, "height": 1, "transform": self.transAxes}
        self.edges += [
            Rectangle(**whole, fc=colour, lw=0, zorder=-1),
            Rectangle(**whole, fill=False, ec=edge, zorder=2.5),
        ]
        for patch in self.edges:
            patch.set_figure(self.page)

    def _points(self, up: float) -> ScaledTranslation:
        return ScaledTranslation(0.0, up / 72, self.page.dpi_scale_trans)

    def _own(self, artist: Artist) -> None:
        """What is drawn in the picture, and cut off at its edges."""
        artist.set_figure(self.page)
        if not artist.is_transform_set():
            artist.set_transform(self.transData)
        artist.set_clip_box(self.box)

    def draw(self, renderer: RendererBase) -> None:
        """As axes do, the ones of a lower order first."""
        found: list[Artist] = [*self.images, *self.edges, *self.collections, *self.patches, *self.lines, *self.texts]
        for artist in sorted(found, key=Artist.get_zorder):
            artist.draw(renderer)


class _Image(Artist):
    """An image of a picture, as a renderer takes it."""

    def __init__(self, on: Bare, pixels: npt.NDArray[np.uint8], extent: Sequence[float], zorder: float) -> None:
        super().__init__()
        self.on, self.extent, self.zorder = on, extent, zorder
        opaque = np.full((*pixels.shape[:2], 4 - pixels.shape[2]), 255, np.uint8)
        self.pixels = np.concatenate([pixels, opaque], axis=2)[::-1]  # renderers begin with the lowest row

    def draw(self, renderer: RendererBase) -> None:
        """For renderers that scale images themselves, as `Recorder` does."""
        left, right, bottom, top = self.extent
        (x1, y1), (x2, y2) = self.on.transData.transform([(left, bottom), (right, top)])
        gc = renderer.new_gc()
        gc.set_clip_rectangle(self.on.box.frozen())
        renderer.draw_image(gc, 0.0, 0.0, self.pixels, Affine2D.from_values(x2 - x1, 0.0, 0.0, y2 - y1, x1, y1))
        gc.restore()


Ground = Axes | Bare  # what a picture is drawn on


def bare_grid(figure: Figure, rows: int, columns: int, **room: Any) -> list[list[Bare]]:
    """Pictures row by row; `room` as a grid of axes takes it."""
    grid = figure.add_gridspec(rows, columns, **room)
    return [[Bare(figure, grid[i, j].get_position(figure)) for j in range(columns)] for i in range(rows)]
