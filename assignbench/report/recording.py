"""A figure laid out once and drawn as every kind of file: what matplotlib draws is noted, and played to each of them.

Laying out (ticks, texts, legends) takes most of the time of a drawing and is the same for every kind of file, since
all that it depends on is given in points. So it is done once, at 72 dots per inch; each kind gets the same calls,
scaled to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform, TransformedPath
from PIL import Image

POINTS = 72.0  # per inch
ROOM = 0.1  # inches of white around what is drawn
WHOLE = 3.0  # times larger and more, the pixels of an image are shown as squares
Pixels = npt.NDArray[np.uint8]
Play = Callable[[RendererBase, Affine2D], None]  # draws one thing with a renderer, moved and scaled


def recorded(figure: Figure) -> Figure:
    """A figure of another size that draws what `figure` draws, with nothing cut off and no white around but `ROOM`."""
    figure.dpi = POINTS
    width, height = figure.get_size_inches()
    notes = Recorder(POINTS * width, POINTS * height)
    figure.patch.set_visible(False)
    box = figure.get_tightbbox(notes).padded(ROOM)
    figure.draw(notes)
    page = Figure(figsize=(box.width, box.height), facecolor=figure.get_facecolor())
    page.add_artist(Played(notes.played, (-POINTS * box.x0, -POINTS * box.y0)))
    return page


class Played(Artist):
    """Draws again what a recorder was told to draw, moved by so many points."""

    def __init__(self, played: Sequence[Play], moved: tuple[float, float]) -> None:
        super().__init__()
        self.played, self.moved = played, moved

    def draw(self, renderer: RendererBase) -> None:
        """As matplotlib calls it for every kind of file."""
        to = Affine2D().translate(*self.moved).scale(renderer.points_to_pixels(1.0))
        for play in self.played:
            play(renderer, to)


class Recorder(RendererBase):
    """A renderer that draws nothing: `played` holds what it was told to draw, in points."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.size = (width, height)
        self.played: list[Play] = []
        self.images: dict[tuple[tuple[int, ...], bytes], Pixels] = {}

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

    def draw_path(self, gc: GraphicsContextBase, path: Path, transform: Transform, rgbFace: Any = None) -> None:  # noqa: N803
        look, frozen = _Look(gc), transform.frozen()

        def play(renderer: RendererBase, to: Affine2D) -> None:
            with look.on(renderer, to) as own:
                renderer.draw_path(own, path, frozen + to, rgbFace)

        self.played.append(play)

    def draw_markers(
        self,
        gc: GraphicsContextBase,
        marker_path: Path,
        marker_trans: Transform,
        path: Path,
        trans: Transform,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        look, sign, frozen = _Look(gc), marker_trans.frozen(), trans.frozen()

        def play(renderer: RendererBase, to: Affine2D) -> None:
            scaled = sign + Affine2D().scale(renderer.points_to_pixels(1.0))
            with look.on(renderer, to) as own:
                renderer.draw_markers(own, marker_path, scaled, path, frozen + to, rgbFace)

        self.played.append(play)

    def draw_path_collection(
        self,
        gc: GraphicsContextBase,
        master_transform: Transform,
        paths: Sequence[Path],
        all_transforms: npt.NDArray[np.float64],
        offsets: Any,
        offset_trans: Transform,
        *more: Any,
        **named: Any,
    ) -> None:
        look, master, away = _Look(gc), master_transform.frozen(), offset_trans.frozen()
        each = np.asarray(all_transforms, np.float64).reshape(-1, 3, 3)  # meshes give an empty list

        def play(renderer: RendererBase, to: Affine2D) -> None:
            moved = (offsets, away + to) if len(offsets) else (offsets, away)
            with look.on(renderer, to) as own:
                renderer.draw_path_collection(own, master + to, paths, each, *moved, *more, **named)

        self.played.append(play)

    def draw_image(
        self, gc: GraphicsContextBase, x: float, y: float, im: Pixels, transform: Transform | None = None
    ) -> None:
        look = _Look(gc)
        # A file holds an image once that is drawn several times, as in every row of a figure, if it is one object.
        im = self.images.setdefault((im.shape, im.tobytes()), im)
        across = Affine2D().scale(im.shape[1], im.shape[0]) if transform is None else transform.frozen()
        place = across + Affine2D().translate(x, y)

        def play(renderer: RendererBase, to: Affine2D) -> None:
            with look.on(renderer, to) as own:
                if renderer.option_scale_image():
                    renderer.draw_image(own, 0, 0, im, place + to)
                else:
                    renderer.draw_image(own, *_sampled(im, place + to))

        self.played.append(play)

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
        look = _Look(gc)

        def play(renderer: RendererBase, to: Affine2D) -> None:
            across, up = to.transform((x, y))
            if renderer.flipy():
                up = renderer.get_canvas_width_height()[1] - up
            with look.on(renderer, to) as own:
                renderer.draw_text(own, across, up, s, prop, angle, ismath)

        self.played.append(play)


def _sampled(image: Pixels, place: Transform) -> tuple[int, int, Pixels]:
    """An image as a renderer of pixels draws it: the column and row of its lower left corner, and its pixels there.

    `place` maps the unit square, whose lower edge is the image's first row, to pixels of the renderer.
    """
    (x1, y1), (x2, y2) = place.transform([(0.0, 0.0), (1.0, 1.0)])
    left, right, low, high = (round(v) for v in (*sorted((x1, x2)), *sorted((y1, y2))))
    wide, tall = max(1, right - left), max(1, high - low)
    larger = min(wide / image.shape[1], tall / image.shape[0])
    way = Image.Resampling.NEAREST if larger >= WHOLE else Image.Resampling.HAMMING
    pixels = np.asarray(Image.fromarray(image).resize((wide, tall), way))
    return left, low, np.ascontiguousarray(pixels[:: 1 if y1 <= y2 else -1, :: 1 if x1 <= x2 else -1])


class _Look:
    """A graphics context as it was, since artists change theirs between two calls."""

    def __init__(self, gc: GraphicsContextBase) -> None:
        self.copy = GraphicsContextBase()
        self.copy.copy_properties(gc)
        clip = gc.get_clip_rectangle()
        self.clip = None if clip is None else Bbox(clip.extents.reshape(2, 2))
        self.clip_path, self.clip_transform = gc.get_clip_path()

    @contextmanager
    def on(self, renderer: RendererBase, to: Affine2D) -> Iterator[GraphicsContextBase]:
        """The renderer's own context that looks so; what cuts it off is moved and scaled too."""
        own = renderer.new_gc()
        own.copy_properties(self.copy)
        own.set_clip_rectangle(None if self.clip is None else self.clip.transformed(to))
        if self.clip_path is not None:
            own.set_clip_path(TransformedPath(self.clip_path, self.clip_transform.frozen() + to))
        yield own
        own.restore()
