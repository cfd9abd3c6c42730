"""Pictures of a study's own images: what methods assign on the probe images and detect on test images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from assignbench.analysis import StudyRecord
from assignbench.analysis.probes import visits
from assignbench.measure.boxes import pairwise_iou
from assignbench.records import CellRecord
from assignbench.report.drawing import draw_assignment, draw_box
from assignbench.report.style import GREEN, RED, WHITE, Drawn, finished, picture, place_name

BOX = ["x1", "y1", "x2", "y2"]


def first_seed(study: StudyRecord) -> dict[tuple[str, str], list[CellRecord]]:
    """The finished cells of the smallest seed, by data set and detector."""
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    least = min((c.config.seed for c in study.done), default=0)
    for cell in study.done:
        config = cell.config
        if config.seed == least:
            groups.setdefault((config.data.name, config.detector.label), []).append(cell)
    return groups


def probed(study: StudyRecord, least: int = 1) -> Iterator[tuple[tuple[str, str], list[CellRecord], int]]:
    """Per data set and detector the first seed's cells with `least` probe visits, and the object to look at."""
    for place, cells in first_seed(study).items():
        usable = [c for c in cells if len(c.probe_visits()) >= least]
        chosen = probe_object(usable)
        if chosen is not None:
            yield place, usable, chosen


def probe_object(cells: Sequence[CellRecord]) -> int | None:
    """The largest probe object, by the first cell's best predictions at its last visit; the same for all methods."""
    if not cells:
        return None
    last = visits(cells[0])[-1]
    if last.empty:
        return None
    best = last.loc[last.groupby("object_id").iou.idxmax()]
    return int(best.object_id.iloc[int(((best.x2 - best.x1) * (best.y2 - best.y1)).to_numpy().argmax())])


def detection_figure(cells: Sequence[CellRecord], images: int = 4) -> Figure | None:
    """Test images in columns: the objects, then each method's best detections, two more than there are objects."""
    if not cells:
        return None
    files = sorted((cells[0].folder / "examples").glob("*.png"), key=lambda p: int(p.stem))[:images]
    if not files:
        return None
    objects = cells[0].table("objects")
    classes = cells[0].environment["classes"]
    rows = [("ground truth", None), *((c.config.method.name, c.table("detections")) for c in cells)]
    first = Image.open(files[0])
    size = (2.5 * len(files), 2.5 * len(rows) * (first.height / first.width + 0.1))
    figure, axes = plt.subplots(len(rows), len(files), figsize=size, squeeze=False)
    for line, (name, table) in zip(axes, rows, strict=True):
        for ax, path in zip(line, files, strict=True):
            truth = objects[objects.image_id == int(path.stem)]
            picture(ax, np.asarray(Image.open(path)), name if path == files[0] else "")
            if table is None:
                for o in truth.itertuples():
                    draw_box(ax, (o.x1, o.y1, o.x2, o.y2), WHITE, classes[int(o.label)])
                continue
            found = table[table.image_id == int(path.stem)].nlargest(len(truth) + 2, "score")
            overlap = pairwise_iou(found[BOX].to_numpy(float), truth[BOX].to_numpy(float))
            same = found.label.to_numpy()[:, None] == truth.label.to_numpy()
            hits = ((overlap >= 0.5) & same).any(axis=1)
            for d, right in zip(found.itertuples(), hits, strict=True):
                text = f"{classes[int(d.label)]} {d.score:.2f}"
                draw_box(ax, (d.x1, d.y1, d.x2, d.y2), GREEN if right else RED, text, "-" if right else "--")
    return finished(figure)


def assignment_figure(cells: Sequence[CellRecord], images: int = 2) -> Figure | None:
    """Probe images before training and at the end, a row per method: priors positive for both tasks or one, orphans."""
    with_probes = [c for c in cells if c.probe_visits()]
    if not with_probes:
        return None
    files = sorted((with_probes[0].folder / "probes").glob("*.png"), key=lambda p: int(p.stem))[:images]
    columns = [(path, when) for path in files for when in (0, -1)]
    size = (2.7 * len(columns), 2.95 * len(with_probes))
    figure, axes = plt.subplots(len(with_probes), len(columns), figsize=size, squeeze=False)
    for line, cell in zip(axes, with_probes, strict=True):
        visits = cell.probe_visits()
        for ax, (path, when) in zip(line, columns, strict=True):
            table = pd.read_parquet(visits[when])
            title = f"{cell.config.method.name}, {'at the end' if when else 'before training'}"
            picture(ax, np.asarray(Image.open(path)), title)
            draw_assignment(ax, table[table.image_id == int(path.stem)])
    return finished(figure)


def detection_pictures(study: StudyRecord) -> list[Drawn]:
    """What each method detects on a few test images."""
    caption = (
        "Each method's best detections, two more than there are objects{}: green where one of the right class has "
        "IoU ≥ 0.5 with an object, dashed red where not."
    )
    return _per_place(study, "detections", caption, detection_figure)


def assignment_pictures(study: StudyRecord) -> list[Drawn]:
    """What each method assigns on the probe images."""
    caption = (
        "Priors that learn an object of a probe image{}: green for both tasks, amber for classification only, blue "
        "for the box only; a red cross marks an object without one for a task."
    )
    return _per_place(study, "assignment", caption, assignment_figure)


def _per_place(
    study: StudyRecord, name: str, caption: str, draw: Callable[[Sequence[CellRecord]], Figure | None]
) -> list[Drawn]:
    """A figure of the first seed's cells for every data set and detector; the caption has room for the place."""
    return [
        Drawn(f"{name}-{place[0]}-{place[1]}", caption.format(place_name(study, place)), draw(cells), photo_of=place[0])
        for place, cells in first_seed(study).items()
    ]
