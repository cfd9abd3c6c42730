"""Pictures of a study's own images: what methods assign on the probe images and detect on test images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from assignbench.analysis import StudyRecord
from assignbench.analysis.answers import listed
from assignbench.measure.boxes import pairwise_iou
from assignbench.measure.telling import telling_objects
from assignbench.records import CellRecord
from assignbench.report.bare import Bare
from assignbench.report.drawing import KINDS, corner_text, draw_assignment, draw_box, outlines
from assignbench.report.leading import leading
from assignbench.report.scenes import (
    BOX,
    DPI,
    ENLARGED,
    LARGE,
    SMALL,
    WIDEST,
    Place,
    Scene,
    beside,
    differing_objects,
    first_seed,
    fold_of,
    key,
    panel_side,
    picture_files,
    picture_grid,
    region_of,
    scenes,
    show,
    truth,
)
from assignbench.report.style import BLUE, GREEN, RED, WHITE, Drawn, picture, place_name, plain

IMAGES = 4  # test images in a figure
MOST_FILES = 100
CONFIDENT = 0.7  # LTM, Fig. 9
HIT = 0.5  # IoU from which two boxes are of one object
MOST_PAIRS = 6
MOST_ROWS = 4  # methods in a figure of detections
# Mutual Guidance, Fig. 4: red where only the baseline is positive, green (class) and yellow (box) only the method.
ONLY_BASELINE, ONLY_CLS, ONLY_BOX = "#d7191c", "#2ca25f", "#ffd92f"
COLOURS = {ONLY_BASELINE: "red", ONLY_CLS: "green", ONLY_BOX: "yellow"}
TASKS = (("cls", "classification", ONLY_CLS), ("box", "box", ONLY_BOX))
PRIOR = [f"prior_{n}" for n in BOX]
Bools = npt.NDArray[np.bool_]


def assignment_pictures(study: StudyRecord) -> list[Drawn]:
    """What each method assigns, and what it assigns that its baseline does not."""
    made: list[Drawn] = []
    for scene in scenes(study):
        caption = (
            f"Priors that learn an object{place_name(study, scene.place)}, at the end and, of the first object, before "
            "training; the number of them for each task stands in the corner. A red cross marks an object without one "
            f"for a task.{scene.boxes}{scene.note}"
        )
        name = f"assignment-{scene.place[0]}-{scene.place[1]}"
        if made:
            caption = f"The same{place_name(study, scene.place)}.{scene.note}"
        made.append(Drawn(name, caption, _assigned(scene), scene.place[0], fold=fold_of(study, scene.place)))
    return [*lost_and_gained(study), *made]


def lost_and_gained(study: StudyRecord) -> list[Drawn]:
    """Per method and its baseline, what only one of the two assigns (Mutual Guidance, Fig. 4), the leading method
    first. The first two say what is drawn: with the one a page begins, the other is then the first of its section.
    """
    made: list[Drawn] = []
    for scene in scenes(study):
        for ours, theirs in _pairs(study, scene.cells, scene.place):
            short = sum(d.figure is not None for d in made) > 1
            made.append(_difference(study, scene, ours, theirs, short=short))
    return made


def _difference(study: StudyRecord, scene: Scene, ours: CellRecord, theirs: CellRecord, *, short: bool) -> Drawn:
    """What only one of two methods assigns to the objects on which they differ most, or to those that are named."""
    method, baseline = ours.config.method.name, theirs.config.method.name
    name, where = f"gained-{method}-{scene.place[0]}-{scene.place[1]}", place_name(study, scene.place)
    fold = fold_of(study, scene.place)
    mine, other = (_owned(pd.read_parquet(c.probe_visits()[-1])) for c in (ours, theirs))
    apart = Counter(object_id for object_id, _, _ in mine ^ other)
    objects = differing_objects(scene, lambda i: apart[i])
    if not apart or not objects:
        told = f"{method} and {baseline} assign the same priors to every probe object at the end of training{where}."
        return Drawn(name, "", None, scene.place[0], told, fold=fold)
    scene = replace(scene, objects=objects)
    figure, kinds = _compared(scene, ours, theirs)
    caption = (
        f"Priors that {method} assigns and {baseline} does not (gained), and the other way round (lost), at the end of "
        f"training{where} (Mutual Guidance, Fig. 4), on the objects that are named or on which they differ most; a "
        f"task in which they do not differ is left out. In {'; in '.join(f'{c}: {t}' for c, t in kinds)}.{scene.boxes}"
    )
    if short:
        caption = f"The same for {method} and {baseline}{where}."
    return Drawn(name, caption, figure, scene.place[0], changed_by=method, fold=fold)


def _owned(table: pd.DataFrame) -> set[tuple[int, str, int]]:
    """Object, task and prior of all positives."""
    found = set()
    for task, _, _ in TASKS:
        mine = table[table[f"positive_{task}"]]
        found |= {(int(o), task, int(p)) for o, p in zip(mine.object_id, mine.prior, strict=True)}
    return found


def _compared(scene: Scene, ours: CellRecord, theirs: CellRecord) -> tuple[Figure, list[tuple[str, str]]]:
    """A row per task, a column per object; of a single object the tasks stand side by side. With the figure: the names
    of the colours that it shows, and what they are.
    """
    names = ours.config.method.name, theirs.config.method.name
    tables = [pd.read_parquet(c.probe_visits()[-1]) for c in (ours, theirs)]
    pixels = [scene.pixels(o.image_id) for o in scene.objects]
    regions = [region_of(o.box, *p.shape[:2]) for o, p in zip(scene.objects, pixels, strict=True)]
    ids = {o.object_id for o in scene.objects}
    apart = {task for object_id, task, _ in _owned(tables[0]) ^ _owned(tables[1]) if object_id in ids}
    tasks = [t for t in TASKS if t[0] in apart] or list(TASKS)
    single = len(regions) == 1
    rows, columns = (1, len(tasks)) if single else (len(tasks), len(regions))
    side = panel_side(regions, columns)
    figure, axes = picture_grid(rows, [side] * columns, side)
    kinds: dict[str, str] = {}  # of the colours that are drawn
    for place, (task, word, edge) in enumerate(tasks):
        line = axes[0][place : place + 1] if single else axes[place]
        if not single:
            beside(line[0], word)
        for ax, shown, image, region in zip(line, scene.objects, pixels, regions, strict=True):
            title = f"{shown.title}: {word}" if single else shown.title if place == 0 else ""
            mine, other = (t[(t.object_id == shown.object_id) & t[f"positive_{task}"]] for t in tables)
            lost, gained = other[~other.prior.isin(mine.prior)], mine[~mine.prior.isin(other.prior)]
            if lost.empty and gained.empty:
                _alike(ax, title, len(mine))
                continue
            show(ax, image, region, title)
            outlines(ax, lost[PRIOR].to_numpy(float), ONLY_BASELINE, 1.4)
            outlines(ax, gained[PRIOR].to_numpy(float), edge, 1.4)
            truth(ax, shown)
            corner_text(ax, f"{len(lost)} lost, {len(gained)} gained, {len(mine) - len(gained)} shared")
            kinds |= {ONLY_BASELINE: f"lost (only {names[1]})"} if len(lost) else {}
            kinds |= {edge: f"gained (only {names[0]}, {word})"} if len(gained) else {}
    order = [edge for edge in COLOURS if edge in kinds]
    key(figure, [(edge, kinds[edge]) for edge in order])
    return figure, [(COLOURS[edge], kinds[edge]) for edge in order]


def _alike(ax: Bare, title: str, count: int) -> None:
    """A panel of an object that has the same priors from both methods, which no picture needs to show."""
    ax.axis("off")
    ax.set_title(plain(title), fontsize=7)
    told = f"the same {count} priors" if count else "no prior of either"
    ax.text(0.5, 0.5, told, ha="center", va="center", color="0.4", fontsize=7, transform=ax.transAxes)


def _assigned(scene: Scene) -> Figure:
    """A row per method; the first object before training, then every object at the end."""
    pixels = [scene.pixels(o.image_id) for o in scene.objects]
    regions = [region_of(o.box, *p.shape[:2]) for o, p in zip(scene.objects, pixels, strict=True)]
    side = panel_side(regions, 1 + len(regions))
    figure, axes = picture_grid(len(scene.drawn), [side] * (1 + len(regions)), side)
    everything = list(zip(scene.objects, pixels, regions, strict=True))
    for line, cell in zip(axes, scene.drawn, strict=True):
        beside(line[0], cell.config.method.name)
        before, after = (pd.read_parquet(cell.probe_visits()[when]) for when in (0, -1))
        columns = [(before, *everything[0], "before training"), *((after, *e, e[0].title) for e in everything)]
        for ax, (table, shown, image, region, title) in zip(line, columns, strict=True):
            show(ax, image, region, title if line is axes[0] else "")
            draw_assignment(ax, table[table.object_id == shown.object_id])
            truth(ax, shown)
    key(figure, [(edge, text) for text, edge in KINDS])
    return figure


def detection_pictures(study: StudyRecord) -> list[Drawn]:
    """What each method detects on a few test images, and what it is sure of that its baseline is not."""
    caption = (
        "Each method's best detections, two more than there are objects{}: green where one of the right class has "
        "IoU ≥ 0.5 with an object, dashed red where not; white: the objects."
    )
    made: list[Drawn] = []
    sure: list[Drawn] = []
    for place, cells in first_seed(study).items():
        if not picture_files(cells[0].folder / "examples"):  # imported predictions have none
            continue
        where, fold = place_name(study, place), fold_of(study, place)
        name = f"detections-{place[0]}-{place[1]}"
        for number, some in enumerate(_parts(cells)):
            words = f"The same for {listed([c.config.method.name for c in some])}{where}."
            stem, told = f"{name}-{number + 1}" if number else name, words if made else caption.format(where)
            made.append(Drawn(stem, told, _detections(study, some), place[0], fold=fold))
        for ours, theirs in _pairs(study, cells, place):
            short = any(d.figure is not None for d in sure)
            sure.append(_confident(study, ours, theirs, place, short=short))
    return [*made, *sure]


def _parts(cells: Sequence[CellRecord]) -> list[Sequence[CellRecord]]:
    """The cells of one figure each: one with all methods would be too tall to be read."""
    return [cells[i : i + MOST_ROWS] for i in range(0, len(cells), MOST_ROWS)]


def _pairs(study: StudyRecord, cells: Sequence[CellRecord], place: Place) -> list[tuple[CellRecord, CellRecord]]:
    """The cells of methods and of their baselines, the leading method first."""
    named = {c.config.method.name: c for c in cells}
    found = [(named[m], named.get(study.baseline_of(m, place))) for m in leading(study) if m in named]
    return [(a, b) for a, b in found if b is not None][:MOST_PAIRS]


def example_files(study: StudyRecord, cell: CellRecord, most: int = IMAGES) -> list[Path]:
    """The pictures of test images to show: those that the study names, of a crowded, a slender, a small and a large
    object, and the first others.
    """
    files = picture_files(cell.folder / "examples")
    images, objects = cell.table("images"), cell.table("objects")
    asked = [p["image"] for p in study.about.get("pictures") or [] if p.get("data") in ("", cell.config.data.name)]
    names = {name: int(i) for i, name in zip(images.image_id, images.name, strict=True)}
    names |= {Path(n).stem: i for n, i in names.items()} | {str(i): i for i in names.values()}
    named = [names[a] for a in asked if a in names]
    there = objects[objects.image_id.isin(files) & ~objects.crowd & ~objects.difficult]
    rows = telling_objects(there.image_id.to_numpy(), there[BOX].to_numpy(float)) if len(there) else {}
    telling = [int(there.image_id.iloc[row]) for row in rows.values()]
    order = dict.fromkeys([*named, *telling, *files])
    return [files[i] for i in order if i in files][: max(most, len(named))]


def _sizes(files: Sequence[Path]) -> tuple[list[float], float]:
    """Widths and height in inches of pictures side by side; small ones are enlarged, as far as they fit into a row."""
    sizes = [Image.open(path).size for path in files]
    ratios = [w / h for w, h in sizes]
    high = float(np.clip(ENLARGED * min(h for _, h in sizes) / DPI, SMALL, LARGE))
    high = min(high, WIDEST / sum(ratios))
    return [high * r for r in ratios], high


def _detections(study: StudyRecord, cells: Sequence[CellRecord]) -> Figure | None:
    """Test images in columns: the objects, then each method's best detections, two more than there are objects."""
    files = example_files(study, cells[0])
    if not files:
        return None
    objects, classes = _judged(cells[0])
    rows = [("ground truth", None), *((c.config.method.name, c.table("detections")) for c in cells)]
    figure, axes = picture_grid(len(rows), *_sizes(files))
    for line, (name, table) in zip(axes, rows, strict=True):
        beside(line[0], name)
        for ax, path in zip(line, files, strict=True):
            truths = objects[(objects.image_id == int(path.stem)) & ~objects.crowd]
            picture(ax, np.asarray(Image.open(path)), f"image {path.stem}" if line is axes[0] else "")
            for o in truths.itertuples():
                draw_box(ax, (o.x1, o.y1, o.x2, o.y2), WHITE, "" if table is not None else classes[int(o.label)])
            if table is not None:
                _best(ax, table[table.image_id == int(path.stem)].nlargest(len(truths) + 2, "score"), truths, classes)
    key(figure, [(GREEN, "found"), (RED, "no object of its class with IoU ≥ 0.5"), (WHITE, "object")])
    return figure


def _best(ax: Bare, found: pd.DataFrame, truths: pd.DataFrame, classes: Sequence[str]) -> None:
    for d, right in zip(found.itertuples(), _same(found, truths), strict=True):
        text = f"{classes[int(d.label)]} {d.score:.2f}"
        draw_box(ax, (d.x1, d.y1, d.x2, d.y2), GREEN if right else RED, text, "-" if right else "--")


def _judged(cell: CellRecord) -> tuple[pd.DataFrame, list[str]]:
    """The test objects with the labels that detections are judged by, and the names of these."""
    objects, about = cell.table("objects"), cell.environment
    return (objects.assign(label=0), ["object"]) if about.get("class_agnostic") else (objects, about["classes"])


def _same(found: pd.DataFrame, others: pd.DataFrame) -> Bools:
    """Which boxes [N] have one of their class among others that overlaps them by `HIT` at least."""
    overlap = pairwise_iou(found[BOX].to_numpy(float), others[BOX].to_numpy(float)) >= HIT
    alike = found.label.to_numpy()[:, None] == others.label.to_numpy()
    return np.asarray((overlap & alike).any(axis=1))


def _confident(study: StudyRecord, ours: CellRecord, theirs: CellRecord, place: Place, *, short: bool) -> Drawn:
    """Detections above a score of 0.7: blue what the baseline has too, red what only the method has (LTM, Fig. 9)."""
    method, baseline = ours.config.method.name, theirs.config.method.name
    name, where = f"confident-{method}-{place[0]}-{place[1]}", place_name(study, place)
    fold = fold_of(study, place)
    sure = [t[t.score > CONFIDENT] for t in (ours.table("detections"), theirs.table("detections"))]
    told_of = set(sure[0].image_id) | set(sure[1].image_id)
    files = [p for p in example_files(study, ours, most=MOST_FILES) if int(p.stem) in told_of][:IMAGES]
    if not files:
        told = (
            f"Neither {method} nor {baseline} has a detection above a score of {CONFIDENT} on the images shown{where}."
        )
        return Drawn(name, "", None, place[0], told, fold=fold)
    _, classes = _judged(ours)
    figure, axes = picture_grid(2, *_sizes(files))
    for line, of in zip(axes, (baseline, method), strict=True):
        beside(line[0], of)
    drawn: set[str] = set()
    for above, below, path in zip(*axes, files, strict=True):
        # By their scores: the highest keeps its label.
        mine, other = (t[t.image_id == int(path.stem)].sort_values("score", ascending=False) for t in sure)
        edges = [BLUE if known else RED for known in _same(mine, other)]
        drawn |= {*edges, *([BLUE] if len(other) else [])}
        for ax, table, colours in ((above, other, [BLUE] * len(other)), (below, mine, edges)):
            picture(ax, np.asarray(Image.open(path)), f"image {path.stem}" if ax is above else "")
            for d, edge in zip(table.itertuples(), colours, strict=True):
                draw_box(ax, (d.x1, d.y1, d.x2, d.y2), edge, f"{classes[int(d.label)]} {d.score:.2f}")
    key(figure, [(edge, text) for edge, text in ((BLUE, baseline), (RED, f"only {method}")) if edge in drawn])
    caption = (
        f"Detections with a score above {CONFIDENT} of {baseline} (above) and {method} (below){where}: blue is what "
        f"{baseline} has too, red what only {method} has (LTM, Fig. 9). Scores of two methods may not mean the same."
    )
    if short:
        caption = f"The same for {method} (below) and {baseline} (above){where}."
    return Drawn(name, caption, figure, place[0], fold=fold)
