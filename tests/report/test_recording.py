"""A figure that is laid out once is drawn as matplotlib draws it itself, in every kind of file."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from assignbench.report.kinds import save
from assignbench.report.recording import recorded
from assignbench.report.style import finished, panels

KINDS = (".svg", ".pdf", ".png", ".jpg")


def charts(seed: int) -> Figure:
    """Lines, markers, scatters, lines of a collection, bars, a mesh, texts, legends and an image, at random."""
    random = np.random.default_rng(seed)
    figure, axes = panels(4, columns=2, size=(3.0, 2.4))
    axes[0].errorbar(range(5), random.random(5), yerr=0.1, marker="s", label="a name")
    axes[0].set_title("title")
    axes[0].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    axes[1].scatter(*random.random((2, 20)), c=random.random(20), s=30 * random.random(20), edgecolors="black")
    axes[1].add_collection(LineCollection(list(random.random((6, 3, 2))), colors="red", linewidths=2))
    axes[2].barh(range(3), random.random(3), hatch="//")
    axes[2].text(0.5, 0.5, "turned", rotation=float(random.integers(0, 360)), transform=axes[2].transAxes)
    axes[3].imshow(random.integers(0, 255, (6, 9, 3), np.uint8), interpolation="none")
    drawn = axes[3].contourf(random.random((6, 9)), levels=5, alpha=0.5)
    figure.colorbar(drawn, ax=axes[3])
    axes[3].annotate("µ $x^2$", (3, 3))
    return finished(figure)


def pixels(figure: Figure, dpi: float) -> np.ndarray:
    figure.dpi = dpi
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_played_is_what_matplotlib_draws(seed) -> None:
    """But for the size of the page: at 72 dots per inch, where matplotlib lays out as the recorder does."""
    with matplotlib.rc_context({"text.hinting": "no_hinting"}):
        figure = charts(seed)
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=72, bbox_inches="tight", pad_inches=0.1)
        expected = np.asarray(Image.open(buffer).convert("RGB")).astype(float)
        drawn = pixels(recorded(charts(seed)), 72)
    assert np.abs(np.subtract(expected.shape, drawn.shape)).max() <= 6
    assert abs((255 - expected).sum() / (255 - drawn).sum() - 1) < 0.04  # as much ink
    for axis in (0, 1):  # in the same places, but for the few pixels by which the pages differ
        of = [np.cumsum((255 - image).sum(axis=(1 - axis, 2))) for image in (expected, drawn)]
        middles = [np.interp([0.1, 0.25, 0.5, 0.75, 0.9], a / a[-1], np.arange(len(a))) for a in of]
        assert np.abs(np.subtract(*middles)).max() <= 4


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_cut_off(seed) -> None:
    with matplotlib.rc_context({"text.hinting": "no_hinting"}):
        drawn = pixels(recorded(charts(seed)), 144)
    edge = np.concatenate([drawn[:6].ravel(), drawn[-6:].ravel(), drawn[:, :6].ravel(), drawn[:, -6:].ravel()])
    assert (edge == 255).all()


def test_a_figure_gives_the_same_bytes_in_every_kind(tmp_path) -> None:
    for name in "ab":
        save(charts(1), [tmp_path / f"{name}{kind}" for kind in KINDS])
    for kind in KINDS:
        first = (tmp_path / f"a{kind}").read_bytes()
        assert first == (tmp_path / f"b{kind}").read_bytes() and len(first) > 1000


def test_an_image_lies_in_a_pdf_once_and_as_it_is(tmp_path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    figure, axes = panels(6, columns=3)
    for ax in axes:
        ax.imshow(image, interpolation="none")
    save(finished(figure), tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.count(b"/Subtype /Image") == 1 and b"/Width 30" in content


@pytest.mark.parametrize("origin", ["upper", "lower"])
@pytest.mark.parametrize("size", [(4, 6), (300, 500)])
def test_images_stand_upright(tmp_path: Path, origin, size) -> None:
    """Enlarged and made smaller: the brighter half stays where it is."""
    image = np.zeros((*size, 3), np.uint8)
    image[: size[0] // 2] = 255
    figure = Figure(figsize=(2.0, 2.0), facecolor="black")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(image, interpolation="none", origin=origin, aspect="auto")
    ax.axis("off")
    drawn = pixels(recorded(figure), 130)[20:-20, 20:-20]
    upper, lower = drawn[: len(drawn) // 2 - 3].mean(), drawn[len(drawn) // 2 + 3 :].mean()
    assert (upper, lower) == ((255, 0) if origin == "upper" else (0, 255))


def test_an_empty_figure_has_the_size_that_it_was_given() -> None:
    assert recorded(Figure(figsize=(3, 2))).get_size_inches() == pytest.approx((3.2, 2.2))
