"""A picture without axes is what it would be on axes."""

from __future__ import annotations

import gc

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from assignbench.report.bare import Bare, Ground, bare_grid
from assignbench.report.drawing import corner_text, draw_box, draw_cells, outlines
from assignbench.report.garbage import YOUNG, seldom
from assignbench.report.recording import recorded
from assignbench.report.scenes import ShownObject, beside, show, truth
from assignbench.report.style import GREEN, RED, picture

ROOM = {"wspace": 0.03, "hspace": 0.03, "left": 0.0, "right": 1.0, "bottom": 0.0, "top": 1.0}


def draw(left: Ground, right: Ground) -> None:
    """Of everything that pictures show something."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 60, 3), np.uint8)
    show(left, image, (5.5, 3.0, 45.0, 38.0), "a title")
    outlines(left, rng.uniform(0, 40, (5, 4)), RED, 1.4)
    truth(left, ShownObject(1, 2, "disc", "", (10, 10, 30, 25), ((2, 2, 20, 20),)))
    left.plot(rng.uniform(10, 30, 5), rng.uniform(10, 30, 5), ".", ms=3, color=GREEN)
    left.plot(20, 20, "x", ms=9, mew=2, color=RED)
    beside(left, "a name")
    picture(right, image, "")
    draw_cells(right, rng.uniform(0, 1, (4, 5, 4)), (20, 50, 35, 10))
    right.set_xlim(0, 60)
    right.set_ylim(40, 0)
    right.scatter(rng.uniform(10, 30, 5), rng.uniform(10, 30, 5), s=22, facecolors="white", edgecolors="black")
    draw_box(right, (-5, 5, 30, 20), GREEN, "disc 0.70", "--")
    corner_text(right, "a note")


def pixels(figure: Figure) -> np.ndarray:
    with matplotlib.rc_context({"text.hinting": "no_hinting"}):
        page = recorded(figure)
    page.dpi = 130
    canvas = FigureCanvasAgg(page)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float)


def test_a_picture_without_axes_is_what_it_is_on_axes() -> None:
    figures = [Figure(figsize=(6.0, 3.0)) for _ in range(2)]
    draw(*figures[0].subplots(1, 2, gridspec_kw=ROOM))
    draw(*bare_grid(figures[1], 1, 2, **ROOM)[0])
    on_axes, without = map(pixels, figures)
    assert on_axes.shape == without.shape
    assert np.abs(on_axes - without).mean() < 1 and (np.abs(on_axes - without).max(axis=2) > 60).mean() < 0.005


def test_pixels_begin_at_zero_as_boxes_do() -> None:
    """A box around white pixels hides where they end."""
    figure = Figure(figsize=(2.0, 2.0))
    ((ax,),) = bare_grid(figure, 1, 1, **ROOM)
    image = np.zeros((10, 10, 3), np.uint8)
    image[2:7, 3:9] = 255
    picture(ax, image, "")
    (x1, y1), (x2, y2) = ax.transData.transform([(3, 7), (9, 2)]) / figure.bbox.size
    drawn = pixels(figure)[13:-13, 13:-13, 0] > 127  # less the white around
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    ends = [columns[0], len(drawn) - 1 - rows[-1], columns[-1] + 1, len(drawn) - rows[0]]
    assert np.array(ends) / len(drawn) == pytest.approx(np.array([x1, y1, x2, y2]), abs=0.01)


def test_what_is_drawn_can_be_told() -> None:
    ((ax,),) = bare_grid(Figure(figsize=(3.0, 3.0)), 1, 1, **ROOM)
    show(ax, np.zeros((10, 20, 3), np.uint8), (0, 0, 20, 10), "a title")
    assert isinstance(ax, Bare) and ax.get_title() == "a title"
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 20), (10, 0))
    assert ax.get_position().bounds == pytest.approx((0, 0.25, 1, 0.5))  # undistorted, in the middle


def test_garbage_is_looked_for_as_before_when_the_report_is_there() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), seldom():
        assert gc.get_threshold()[0] == YOUNG[0]
        raise KeyError
    assert gc.get_threshold() == before
