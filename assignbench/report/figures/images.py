"""The recorded test images on which a method and its baseline differ most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from assignbench.analysis import CellData, StudyRecord
from assignbench.analysis.images import ends, image_differences
from assignbench.report.leading import leading
from assignbench.report.scenes import Place, first_seed, fold_of, picture_files
from assignbench.report.sheet import difference_figure
from assignbench.report.style import Drawn, Found, figure_of, place_name

SHOWN = 2  # images in each direction


@figure_of("images")
def draw_images(study: StudyRecord, found: Found) -> list[Drawn]:
    """A sheet per data set and detector for the leading method, of the recorded images on which it differs."""
    made: list[Drawn] = []
    for place, first, second in _pairs(study):
        pictures = picture_files(second.cell.folder / "examples")
        ours, theirs, where = second.keys["method"], first.keys["method"], place_name(study, place)
        table = _of_pair(found["images"], place, ours)
        differing = image_differences(first, second)
        chosen = _chosen(differing[differing.image_id.isin(pictures)], table)
        name, fold = f"images-{place[0]}-{place[1]}", fold_of(study, place)
        if chosen.empty:
            told = f"No picture{where}: on the recorded images {ours} finds as much as {theirs}.{_unseen(table, ())}"
            made.append(Drawn(name, "", None, place[0], told, fold=fold))
            continue
        caption = (
            f"{ours} and {theirs}{where}, seed {second.config.seed}, on recorded images where they differ: the "
            "objects, then as many of each one's best detections, green where right at IoU 0.5, dashed red where not; "
            "in the title what they find of the image, mean over IoU 0.50 to 0.95, which looser boxes make less."
        )
        if any(one.figure is not None for one in made):
            caption = f"The same for {ours} and {theirs}{where}."
        figure = difference_figure(first, second, chosen, partial(_pixels, pictures))
        made.append(Drawn(name, caption + _unseen(table, chosen.image_id), figure, place[0], fold=fold))
    return made


def _of_pair(table: pd.DataFrame, place: Place, method: str) -> pd.DataFrame:
    """The images at the ends that the analysis names for a method."""
    return table[(table.data == place[0]) & (table.detector == place[1]) & (table.method == method)]


def _chosen(recorded: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Of the recorded images those that the analysis names, then others at the ends; none that differs in nothing."""
    named = ends(recorded[recorded.image_id.isin(table.image_id)], SHOWN)
    others = ends(recorded[~recorded.image_id.isin(table.image_id)], SHOWN)
    gains = pd.concat([named[named.difference > 0], others[others.difference > 0]]).head(SHOWN)
    losses = pd.concat([named[named.difference < 0], others[others.difference < 0][::-1]]).head(SHOWN)
    return pd.concat([gains, losses])


def _unseen(table: pd.DataFrame, shown: Iterable[int]) -> str:
    """Says where else they differ most, of which no picture was recorded; "" where every such image is shown."""
    rest = table[~table.image_id.isin(list(shown))]
    if rest.empty:
        return ""
    largest = rest.loc[rest.difference.abs().idxmax()]
    return (
        f" The largest difference of the table that is not shown is that of {largest['name']} "
        f"({100 * largest.difference:+.0f} per cent); assignbench compare shows it."
    )


def _pixels(pictures: Mapping[int, Path], image_id: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(pictures[image_id]).convert("RGB"))


def _pairs(study: StudyRecord) -> Iterator[tuple[Place, CellData, CellData]]:
    """Per place the baseline's and the method's cell of the first seed, of the leading method that has both."""
    opened = {d.cell.id: d for d in study.data()}
    for place, cells in first_seed(study).items():
        by_method = {c.config.method.name: opened[c.id] for c in cells}
        named = ((study.baseline_of(m, place), m) for m in leading(study) if m in by_method)
        pair = next(((b, m) for b, m in named if b in by_method), None)
        if pair is not None:
            yield place, by_method[pair[0]], by_method[pair[1]]
