"""The recorded test images on which methods and their baselines differ most."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
from assignbench.report.sheet import Compared, difference_figure
from assignbench.report.style import Drawn, Found, figure_of, place_name

MOST_ROWS = 6
LEAST = 0.05  # of an image's objects: pictures of less show nothing that a reader could see


@figure_of("images")
def draw_images(study: StudyRecord, found: Found) -> list[Drawn]:
    """A sheet per data set and detector: the recorded images on which methods differ most from their baselines."""
    made: list[Drawn] = []
    for place, pairs in _pairs(study).items():
        where = place_name(study, place)
        pictures = picture_files(pairs[0][1].cell.folder / "examples")
        table = found["images"][(found["images"].data == place[0]) & (found["images"].detector == place[1])]
        shown = _chosen(pairs, pictures)
        unseen = _unseen(table, {(one.second.keys["method"], one.image_id) for one in shown})
        name, fold = f"images-{place[0]}-{place[1]}", fold_of(study, place)
        if not shown:
            told = (
                f"No picture{where}: on the recorded images no method finds {100 * LEAST:.0f} per cent of the objects "
                f"more or less than its baseline.{unseen}"
            )
            made.append(Drawn(name, "", None, place[0], told, fold=fold))
            continue
        caption = (
            f"Recorded images on which methods differ most from their baselines{where}, seed "
            f"{shown[0].second.config.seed}, the ends of every pair first: the objects, then as many of the best "
            "detections of the baseline and of the method, green where right at IoU 0.5, dashed red where not; in the "
            "title what they find of the image, mean over IoU 0.50 to 0.95, which looser boxes make less. Differences "
            f"below {100 * LEAST:.0f} per cent are left out."
        )
        if any(one.figure is not None for one in made):
            caption = f"The same{where}."
        made.append(
            Drawn(name, caption + unseen, difference_figure(shown, partial(_pixels, pictures)), place[0], fold=fold)
        )
    return made


def _chosen(pairs: Sequence[tuple[CellData, CellData]], pictures: Iterable[int]) -> list[Compared]:
    """The rows of a figure: of the recorded images both ends of every pair, then others, each by its difference."""
    parts = []
    for number, (first, second) in enumerate(pairs):
        table = image_differences(first, second)
        table = table[table.image_id.isin(list(pictures)) & (table.difference.abs() >= LEAST)]
        parts.append(table.assign(pair=number, at_end=table.image_id.isin(ends(table, 1).image_id)))
    rows = pd.concat(parts) if parts else pd.DataFrame()
    if rows.empty:
        return []
    rows = rows.assign(size=rows.difference.abs()).sort_values(["at_end", "size"], ascending=False, kind="stable")
    return [
        Compared(pairs[r.pair][0], pairs[r.pair][1], int(r.image_id), str(r.name), r.first, r.second)
        for r in rows.head(MOST_ROWS).itertuples(index=False)
    ]


def _unseen(table: pd.DataFrame, shown: Collection[tuple[str, int]]) -> str:
    """Says where else they differ most, of which no picture is shown; "" where every such image is."""
    there = [pair in shown for pair in zip(table.method, table.image_id, strict=True)]
    rest = table[~np.asarray(there, bool)]
    if rest.empty:
        return ""
    largest = rest.loc[rest.difference.abs().idxmax()]
    return (
        f" The largest difference of the table that is not shown is that of {largest.method} in {largest['name']} "
        f"({100 * largest.difference:+.0f} per cent); assignbench compare shows it."
    )


def _pixels(pictures: Mapping[int, Path], image_id: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(pictures[image_id]).convert("RGB"))


def _pairs(study: StudyRecord) -> dict[Place, list[tuple[CellData, CellData]]]:
    """Per place the baseline's and the method's cell of the first seed, of every method that has both, the leading one
    first.
    """
    opened = {d.cell.id: d for d in study.data()}
    found: dict[Place, list[tuple[CellData, CellData]]] = {}
    for place, cells in first_seed(study).items():
        by_method = {c.config.method.name: opened[c.id] for c in cells}
        named = [(study.baseline_of(m, place), m) for m in leading(study) if m in by_method]
        pairs = [(by_method[b], by_method[m]) for b, m in named if b in by_method]
        found |= {place: pairs} if pairs else {}
    return found
