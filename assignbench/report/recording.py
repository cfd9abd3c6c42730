"""A figure laid out once and drawn as every kind of file: what matplotlib draws is noted, and played to each of them.

Laying out (ticks, texts, legends) takes most of the time of a drawing and is the same for every kind of file, since
all that it depends on is given in points. So it is done once, at 72 dots per inch; each kind gets the same calls,
scaled to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path, get_path_collection_extents
from matplotlib.textpath import TextToPath
from matplotlib.transforms import Affine2D, Bbox, Transform, TransformedPath
from PIL import Image

POINTS = 72.0  # per inch
ROOM = 0.1  # inches of white around what is drawn
WHOLE = 3.0  # times larger and more, the pixels of an image are shown as squares
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
LETTERS = TextToPath()
Play = Callable[[RendererBase, Affine2D], None]  # draws one thing with a renderer, moved and scaled


def recorded(figure: Figure) -> Figure:
    """A figure of another size that draws what `figure` draws, with nothing cut off and no white around but `ROOM`."""
    figure.dpi = POINTS
    width, height = figure.get_size_inches()
    notes = Recorder(POINTS * width, POINTS * height)
    figure.patch.set_visible(False)
    figure.draw(notes)
    box = notes.box.padded(POINTS * ROOM)
    page = Figure(figsize=(box.width / POINTS, box.height / POINTS), facecolor="white")
    page.add_artist(Played(notes.played, (-box.x0, -box.y0)))
    return page


class Played(Artist):
    """Draws again what a recorder was told to draw, moved by so many points."""

    def __init__(self, played: Sequence[Play], moved: tuple[float, float]) -> None:
        super().__init__()
        self.played, self.moved = played, moved

    def draw(self, renderer: RendererBase) -> None:
        """As matplotlib calls it for every kind of file."""
        to = Affine2D().translate(*self.moved).scale(_pixels_of(renderer))
        for play in self.played:
            play(renderer, to)


class Recorder(RendererBase):
    """A renderer that draws nothing: `played` holds what it was told to draw, in points, and `box` where that lies."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.size = (width, height)
        self.played: list[Play] = []
        self.images: dict[tuple[tuple[int, ...], bytes], Pixels] = {}
        self.boxes: list[Floats] = []

    @property
    def box(self) -> Bbox:
        """What holds all that was drawn, without lines' widths; the whole figure where nothing was."""
        corners = np.concatenate([np.zeros((0, 2)), *self.boxes])
        corners = corners[np.isfinite(corners).all(axis=1)]
        return Bbox([corners.min(axis=0), corners.max(axis=0)]) if len(corners) else Bbox([(0.0, 0.0), self.size])

    def flipy(self) -> bool:
        """Heights go upwards, as transforms do; renderers in which they go downwards get them turned round."""
        return False

    def get_canvas_width_height(self) -> tuple[float, float]:
        """In points."""
        return self.size

    def option_scale_image(self) -> bool:
        """Images are noted as they are (if they are drawn with `interpolation="none"`)."""
        return True

    def option_image_nocomposite(self) -> bool:
        """Every image is noted by itself."""
        return True

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: bool | Literal["TeX"]
    ) -> tuple[float, float, float]:
        """In points, remembered from figure to figure."""
        return _measured(s, prop.copy(), ismath)

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        frozen = Affine2D(transform.get_matrix())

        def draw(renderer: RendererBase, own: GraphicsContextBase, to: Affine2D) -> None:
            renderer.draw_path(own, path, frozen + to, rgbFace)

        self._note(gc, draw, lambda: frozen.transform(path.vertices))

    def draw_markers(
        self,
        gc: GraphicsContextBase,
        marker_path: Path,
        marker_trans: Transform,
        path: Path,
        trans: Transform,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        sign, frozen = Affine2D(marker_trans.get_matrix()), Affine2D(trans.get_matrix())

        def draw(renderer: RendererBase, own: GraphicsContextBase, to: Affine2D) -> None:
            scaled = sign + Affine2D().scale(_pixels_of(renderer))
            renderer.draw_markers(own, marker_path, scaled, path, frozen + to, rgbFace)

        def corners() -> Floats:
            places, around = frozen.transform(path.vertices), sign.transform(marker_path.vertices)
            ends = np.stack([around.min(axis=0), around.max(axis=0)])
            return np.asarray((places[:, None] + ends).reshape(-1, 2))

        self._note(gc, draw, corners)

    def draw_path_collection(
        self,
        gc: GraphicsContextBase,
        master_transform: Transform,
        paths: Sequence[Path],
        all_transforms: Any,
        offsets: Any,
        offset_trans: Transform,
        *more: Any,
        **named: Any,
    ) -> None:
        if not len(paths):  # with which collections try out what a renderer takes
            return
        master, away = Affine2D(master_transform.get_matrix()), Affine2D(offset_trans.get_matrix())
        each: Any = np.asarray(all_transforms, np.float64).reshape(-1, 3, 3)  # meshes give an empty list

        def draw(renderer: RendererBase, own: GraphicsContextBase, to: Affine2D) -> None:
            scaled = master + Affine2D().scale(_pixels_of(renderer))  # around the offsets, which are moved
            renderer.draw_path_collection(own, scaled, paths, each, offsets, away + to, *more, **named)

        def corners() -> Floats:
            return np.asarray(get_path_collection_extents(master, paths, each, offsets, away).get_points())

        self._note(gc, draw, corners)

    def draw_image(
        self, gc: GraphicsContextBase, x: float, y: float, im: Any, transform: Transform | None = None
    ) -> None:
        # A file holds an image once that is drawn several times, as in every row of a figure, if it is one object.
        im = self.images.setdefault((im.shape, im.tobytes()), im)
        across = Affine2D().scale(im.shape[1], im.shape[0]) if transform is None else Affine2D(transform.get_matrix())
        place = across + Affine2D().translate(x, y)

        def draw(renderer: RendererBase, own: GraphicsContextBase, to: Affine2D) -> None:
            if renderer.option_scale_image():
                renderer.draw_image(own, 0, 0, im, Affine2D((place + to).get_matrix()))
            else:
                renderer.draw_image(own, *_sampled(im, place + to))

        self._note(gc, draw, lambda: place.transform([(0.0, 0.0), (1.0, 1.0)]))

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        def draw(renderer: RendererBase, own: GraphicsContextBase, to: Affine2D) -> None:
            across, up = to.transform((x, y))
            if not renderer.option_scale_image():  # one of pixels, which takes longer over a text than over its outline
                _draw_letters(renderer, own, _letters(s, prop.copy(), ismath), angle, (across, up))
                return
            if renderer.flipy():
                up = renderer.get_canvas_width_height()[1] - up
            renderer.draw_text(own, across, up, s, prop, angle, ismath)

        def corners() -> Floats:
            wide, high, below = self.get_text_width_height_descent(s, prop, ismath)
            ends = [(0.0, -below), (wide, -below), (wide, high - below), (0.0, high - below)]
            return np.asarray(Affine2D().rotate_deg(angle).translate(x, y).transform(ends))

        self._note(gc, draw, corners)

    def _note(
        self,
        gc: GraphicsContextBase,
        draw: Callable[[RendererBase, GraphicsContextBase, Affine2D], None],
        corners: Callable[[], Floats],
    ) -> None:
        """Notes a call, and where it draws: `corners` [N, 2], or where it is cut off."""
        look = _Look(gc)

        def play(renderer: RendererBase, to: Affine2D) -> None:
            own = look.on(renderer, to)
            draw(renderer, own, to)
            own.restore()

        self.played.append(play)
        self.boxes.append(corners() if look.clip is None else look.clip.get_points())


def _pixels_of(renderer: RendererBase) -> float:
    """How many pixels of the renderer a point is."""
    return float(np.asarray(renderer.points_to_pixels(1.0)))


@lru_cache(8192)
def _measured(s: str, prop: FontProperties, ismath: bool | Literal["TeX"]) -> tuple[float, float, float]:
    """Width, height and descent of a text in points, without hints, as it is in all kinds of file."""
    return RendererBase().get_text_width_height_descent(s, prop, ismath)


@lru_cache(8192)
def _letters(s: str, prop: FontProperties, ismath: bool | Literal["TeX"]) -> Path:
    """The outline of a text in points, from where it begins on its line; without hints, as in all kinds of file."""
    corners, codes = LETTERS.get_text_path(prop, s, ismath)
    to_points = Affine2D().scale(prop.get_size_in_points() / LETTERS.FONT_SCALE)
    return Path(np.asarray(corners), np.asarray(codes)).transformed(to_points)


def _draw_letters(
    renderer: RendererBase, gc: GraphicsContextBase, letters: Path, angle: float, at: tuple[float, float]
) -> None:
    """Fills the outline of a text where it begins at a place in pixels, turned by an angle in degrees."""
    gc.set_linewidth(0.0)
    gc.set_snap(False)
    place = Affine2D().scale(_pixels_of(renderer)).rotate_deg(angle).translate(*at)
    renderer.draw_path(gc, letters, place, gc.get_rgb())


def _sampled(image: Pixels, place: Transform) -> tuple[int, int, Pixels]:
    """An image as a renderer of pixels draws it: the column and row of its lower left corner, and its pixels there.

    `place` maps the unit square, whose lower edge is the image's first row, to pixels of the renderer.
    """
    (x1, y1), (x2, y2) = place.transform([(0.0, 0.0), (1.0, 1.0)])
    left, right, low, high = (round(float(v)) for v in (*sorted((x1, x2)), *sorted((y1, y2))))
    wide, tall = max(1, right - left), max(1, high - low)
    larger = min(wide / image.shape[1], tall / image.shape[0])
    way = Image.Resampling.NEAREST if larger >= WHOLE else Image.Resampling.HAMMING
    pixels = np.asarray(Image.fromarray(image).resize((wide, tall), way))
    return (
        left,
        low,
        np.array(pixels[:: 1 if y1 <= y2 else -1, :: 1 if x1 <= x2 else -1]),
    )  # a copy: renderers want to write


class _Look:
    """A graphics context as it was, since artists change theirs between two calls."""

    def __init__(self, gc: GraphicsContextBase) -> None:
        self.copy = GraphicsContextBase()
        self.copy.copy_properties(gc)
        clip = gc.get_clip_rectangle()
        self.clip = None if clip is None else Bbox(clip.get_points())
        path: Any  # which matplotlib's stubs take for a TransformedPath
        path, transform = gc.get_clip_path()
        self.path = None if path is None or transform is None else (path, Affine2D(transform.get_matrix()))

    def on(self, renderer: RendererBase, to: Affine2D) -> GraphicsContextBase:
        """The renderer's own context that looks so; what cuts it off is moved and scaled too."""
        own = renderer.new_gc()
        own.copy_properties(self.copy)
        own.set_clip_rectangle(None if self.clip is None else self.clip.transformed(to))
        if self.path is not None:
            path, transform = self.path
            own.set_clip_path(TransformedPath(path, transform + to))
        return own
