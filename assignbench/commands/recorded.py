"""What `assignbench show` draws from records alone: detections, maps, evolution and scores of one or two cells."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from assignbench.analysis import CellData
from assignbench.analysis.probes import separation
from assignbench.commands.image_names import meant, named, probe_image
from assignbench.commands.pixels import Pixels
from assignbench.errors import InputError, nearest
from assignbench.measure.boxes import pairwise_iou
from assignbench.measure.matching import BOX, Floats
from assignbench.records import CellRecord

if TYPE_CHECKING:
    from assignbench.report.single import ProbeView

MOMENTS = 6  # visits that `evolution` shows
MANY = 4  # objects of an image that is shown without having been named
FOUND = 0.5  # IoU
_CORNERS = ("x1", "y1", "x2", "y2")


def draw_recorded(options: argparse.Namespace, console: Console) -> int:
    """Draws what the records of a cell, and of the one beside it (`--vs`), say of an image. Raises InputError."""
    cells = [_finished(path) for path in (options.target, options.vs) if path is not None]
    if len({cell.folder.resolve() for cell in cells}) < len(cells):
        raise InputError(f"--vs {options.vs}: is the cell itself, which differs in nothing from itself; name another")
    names = _names(cells)
    path = _DRAW[options.what](dict(zip(names, cells, strict=True)), options, console)
    console.print(f"picture: {path}", markup=False)
    return 0


def _finished(path: Path) -> CellRecord:
    record = CellRecord(path, thorough=True)
    record.require_done()
    return record


def _names(cells: Sequence[CellRecord]) -> list[str]:
    """What each cell is called: its method; with its seed, and its detector, where methods are the same."""
    found = []
    for cell in cells:
        config = cell.config
        found.append((config.method.name, f"seed {config.seed}", config.detector.label))
    for length in (1, 2, 3):
        told = [", ".join(names[:length]) for names in found]
        if len(set(told)) == len(told):
            return told
    return [f"{name} ({number})" for number, name in enumerate(told, start=1)]


# ---- detections


def _detections(cells: dict[str, CellRecord], options: argparse.Namespace, console: Console) -> Path:
    from assignbench.report.single import Detected, Truth, detections_picture

    known = {name: _data(record) for name, record in cells.items()}
    first, *others = known.values()
    for other in others:
        if not first.images.image_id.equals(other.images.image_id):
            raise InputError(
                f"{first.cell.id} and {other.cell.id} were tested on different images; name cells of one data set"
            )
    image = _test_image(first, options.image)
    truth = first.objects[(first.objects.image_id == image) & ~first.objects.crowd]
    objects = [Truth(_box(o), str(first.classes[int(o.label)])) for o in truth.itertuples()]
    about = named(first.config.evaluation.split, image, _test_names(first)[image])
    table = Table(title=f"{about}: objects, and the best detection of each cell", box=None)
    for column in ("object", "class", *known):
        table.add_column(column, justify="right" if column == "object" else "left")
    shown, best = {}, []
    for name, cell in known.items():
        found = cell.detections[cell.detections.image_id == image].nlargest(len(truth) + 2, "score")
        overlap = pairwise_iou(found[list(BOX)].to_numpy(float), truth[list(BOX)].to_numpy(float))
        same = found.label.to_numpy()[:, None] == truth.label.to_numpy()
        hits = np.where(same, overlap, 0.0)
        shown[name] = [
            Detected(_box(d), f"{cell.classes[int(d.label)]} {d.score:.2f}", bool((row >= FOUND).any()))
            for d, row in zip(found.itertuples(), hits, strict=True)
        ]
        best.append([_told(column, found.score.to_numpy()) for column in hits.T])
    for number, (one, *told) in enumerate(zip(objects, *best, strict=True)):
        table.add_row(str(number), one.name, *told)
    console.print(table, soft_wrap=True)
    return detections_picture(Pixels(first, None)(image), objects, shown, options.picture)


def _told(overlaps: Floats, scores: Floats) -> str:
    """The detection that overlaps an object most, in words."""
    if not len(overlaps) or overlaps.max() < FOUND:
        return "missed"
    place = int(overlaps.argmax())
    return f"IoU {overlaps[place]:.2f}, score {scores[place]:.2f}"


def _data(record: CellRecord) -> CellData:
    if not record.measurable:
        raise InputError(f"{record.folder}: its test split has no annotations; name a cell of another data set")
    cell = CellData(record)
    cell.check()
    return cell


def _test_image(cell: CellData, wanted: str | None) -> int:
    """A test image by its name or id; the first of those with most objects, up to a few, if none is named."""
    images = cell.images
    if wanted is None:
        counts = cell.objects[~cell.objects.crowd].groupby("image_id").size().clip(upper=MANY)
        return int(counts.idxmax()) if len(counts) else int(images.image_id.iloc[0])
    names = _test_names(cell)
    found = meant(wanted, names)
    if found is None:
        known = list(names.values())
        raise InputError(f"--image: no test image '{wanted:.80}' in {cell.cell.folder}{nearest(wanted, known)}")
    return found


def _test_names(cell: CellData) -> dict[int, str]:
    return dict(zip(cell.images.image_id.tolist(), cell.images.name.tolist(), strict=True))


# ---- probe objects


def _maps(cells: dict[str, CellRecord], options: argparse.Namespace, console: Console) -> Path:
    from assignbench.report.single import maps_picture

    image, number = _probe_object(cells, options)
    console.print(f"{named('train', image)}, object {number}", markup=False)
    views = []
    for name, cell in cells.items():
        mine = _rows(_visits(cell)[-1], image, number)
        best, widest = mine.loc[mine.cls_score.idxmax()], mine.loc[mine.iou.idxmax()]
        told = f"the best-scored prior ({best.cls_score:.2f}) has IoU {best.iou:.2f}, the largest is {widest.iou:.2f}"
        console.print(f"{name}: {told}", markup=False)
        views.append(_view(name, cell, mine))
    return maps_picture(views, options.picture)


def _evolution(cells: dict[str, CellRecord], options: argparse.Namespace, console: Console) -> Path:
    from assignbench.report.single import evolution_picture

    image, number = _probe_object(cells, options)
    table = Table(title=f"{named('train', image)}, object {number}, over training", box=None)
    for column in ("cell", "training", "positives", "their class score", "their IoU", "class score of others"):
        table.add_column(column, justify="left" if column == "cell" else "right")
    rows = {}
    for name, cell in cells.items():
        visits = _visits(cell)
        places = np.unique(np.linspace(0, len(visits) - 1, min(MOMENTS, len(visits))).round().astype(int))
        views = []
        for place in places.tolist():
            mine = _rows(visits[place], image, number)
            when = f"{100 * mine.progress.iloc[0]:.0f} %"
            positive = mine[mine.positive_cls]
            means = (positive.cls_score, positive.iou, mine[~mine.positive_cls].cls_score)
            table.add_row(name, when, str(len(positive)), *("-" if m.empty else f"{m.mean():.2f}" for m in means))
            views.append(_view(f"{name}, {when}", cell, mine))
        rows[name] = views
    console.print(table, soft_wrap=True)
    return evolution_picture(rows, options.picture)


def _scores(cells: dict[str, CellRecord], options: argparse.Namespace, console: Console) -> Path:
    from assignbench.report.single import scores_picture

    image, number = _probe_object(cells, options)
    console.print(f"{named('train', image)}, object {number}", markup=False)
    views = []
    for name, cell in cells.items():
        mine = _rows(_visits(cell)[-1], image, number)
        chance = separation(mine)
        told = "has positives alone, or none" if np.isnan(chance) else f"separation {chance:.2f} (0.5 none, 1 complete)"
        console.print(f"{name}: {told}", markup=False)
        views.append(_view(name, cell, mine))
    return scores_picture(views, options.picture)


_DRAW: dict[str, Callable[[dict[str, CellRecord], argparse.Namespace, Console], Path]] = {
    "detections": _detections,
    "maps": _maps,
    "evolution": _evolution,
    "scores": _scores,
}
RECORDED = tuple(_DRAW)


def _visits(cell: CellRecord) -> list[pd.DataFrame]:
    found = [pd.read_parquet(path) for path in cell.probe_visits()]
    if not found:
        raise InputError(
            f"{cell.folder}: holds no visits to probe images; name a trained cell of a study with probe_images above 0"
        )
    return found


def _probe_object(cells: dict[str, CellRecord], options: argparse.Namespace) -> tuple[int, int]:
    """The image's id and the object's place in it; the largest object that all cells probed if none is named."""
    last = {name: _visits(cell)[-1] for name, cell in cells.items()}
    kinds = [set(zip(t.image_id.tolist(), t.object.tolist(), strict=True)) for t in last.values()]
    there = set.intersection(*kinds)
    if not there:
        told = "their probe images have no object in common" if len(cells) > 1 else "its probe images have no object"
        raise InputError(f"{', '.join(str(c.folder) for c in cells.values())}: {told}; name another cell")
    images = sorted({image for image, _ in there})
    image = None if options.image is None else probe_image(next(iter(cells.values())), options.image, images)
    table = next(iter(last.values()))
    table = table[[pair in there for pair in zip(table.image_id.tolist(), table.object.tolist(), strict=True)]]
    if image is not None:
        images, table = [image], table[table.image_id == image]
    if options.object is not None:
        if image is None and len(images) > 1:
            raise InputError(f"--object {options.object}: say of which image with --image")
        mine = table[table.object == options.object]
        if mine.empty:
            known = ", ".join(map(str, sorted(set(table.object))))
            raise InputError(f"--object {options.object}: image {images[0]} has no such probe object; it has {known}")
        return int(mine.image_id.iloc[0]), int(options.object)
    best = table.loc[table.groupby(["image_id", "object"]).iou.idxmax()]
    widest = best.iloc[int(((best.x2 - best.x1) * (best.y2 - best.y1)).to_numpy().argmax())]
    return int(widest.image_id), int(widest.object)


def _rows(table: pd.DataFrame, image: int, number: int) -> pd.DataFrame:
    """An object's priors at a visit. Raises InputError where it had none."""
    mine = table[(table.image_id == image) & (table.object == number)].reset_index(drop=True)
    if mine.empty:
        raise InputError(
            f"image {image}, object {number}: no prior was near it at one of the visits; name another object"
        )
    return mine


def _view(title: str, cell: CellRecord, mine: pd.DataFrame) -> ProbeView:
    """An object at a visit, with its box as the network saw it; of records that do not hold it, the best prediction."""
    from assignbench.report.single import ProbeView

    pixels = _probe_pixels(cell, int(mine.image_id.iloc[0]))
    told = sorted((cell.folder / "probes").glob("objects-*.parquet"))
    if told:
        objects = pd.read_parquet(told[-1])
        own = objects[objects.object_id == mine.object_id.iloc[0]]
        if set(_CORNERS) <= set(objects) and len(own):
            return ProbeView(title, pixels, _box(next(own.itertuples())), mine)
    best = next(mine.loc[[mine.iou.idxmax()]].itertuples())
    return ProbeView(title, pixels, _box(best), mine, annotated=False)


def _box(row: object) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(getattr(row, name)) for name in _CORNERS)
    return x1, y1, x2, y2


def _probe_pixels(cell: CellRecord, image: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    from PIL import Image

    path = cell.folder / "probes" / f"{image}.png"
    try:
        return np.asarray(Image.open(path).convert("RGB"))
    except OSError as problem:
        raise InputError(
            f"{path}: cannot be read ({problem}); `assignbench run` with its study redoes the cell"
        ) from None
