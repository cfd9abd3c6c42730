"""The recorded test images on which a method and its baseline differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from assignbench.analysis import CellData, StudyRecord
from assignbench.analysis.images import ends, image_differences
from assignbench.report.scenes import first_seed
from assignbench.report.sheet import difference_figure
from assignbench.report.style import Drawn, Found, figure_of, place_name

SHOWN = 2  # images in each direction


@figure_of("images")
def draw_images(study: StudyRecord, found: Found) -> list[Drawn]:
    """A sheet for the first pair of every data set and detector that differs on a recorded image."""
    drawn = []
    for place, first, second in _pairs(study):
        pictures = {int(p.stem): p for p in (second.cell.folder / "examples").glob("*.png")}
        differing = image_differences(first, second)
        chosen = ends(differing[differing.image_id.isin(pictures)], SHOWN)
        if chosen.empty:
            continue
        ours, theirs = second.keys["method"], first.keys["method"]
        caption = (
            f"Of the test images whose pictures were recorded, those on which {ours} and {theirs} differ most"
            f"{place_name(study, place)}: the objects, then each one's best detections, green where right at IoU 0.5, "
            "dashed red where not."
        )
        name = f"images-{place[0]}-{place[1]}"
        figure = difference_figure(first, second, chosen, partial(_pixels, pictures))
        drawn.append(Drawn(name, caption, figure, photo_of=place[0]))
    return drawn


def _pixels(pictures: Mapping[int, Path], image_id: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(pictures[image_id]).convert("RGB"))


def _pairs(study: StudyRecord) -> Iterator[tuple[tuple[str, str], CellData, CellData]]:
    """Per place the baseline's and the method's cell of the first seed, of the first pair that has both."""
    opened = {d.cell.id: d for d in study.data()}
    for place, cells in first_seed(study).items():
        by_method = {c.config.method.name: opened[c.id] for c in cells}
        named = ((study.baseline_of(m, place), m) for m in by_method)
        pair = next(((b, m) for b, m in named if b in by_method), None)
        if pair is not None:
            yield place, by_method[pair[0]], by_method[pair[1]]
