"""AP on parts of a test split: what each method reaches there and gains, with what seeds and images leave open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from assignbench.analysis import measures, trends
from assignbench.analysis.base import CellData, StudyRecord
from assignbench.analysis.curves_by_group import (
    NUMBERS,
    area_curve,
    counted_place,
    image_curves,
    member_of,
    object_curves,
)
from assignbench.analysis.estimates import Estimate, Floats, Measured, estimates
from assignbench.analysis.pairs import Pair, over_pairs, pairs_of
from assignbench.analysis.shares import shares
from assignbench.analysis.verdicts import with_verdicts
from assignbench.config.evaluation import LEAST_OBJECTS
from assignbench.measure.coco import AREAS
from assignbench.measure.groups import Grouping

INTERVALS = (
    "±: 95 % interval for the population that the table names: with one trained model for other test images, with "
    f"several for other seeds and other test images. Where fewer than {measures.LEAST_IMAGES} images hold such an "
    "object, nothing is said about other images, and nothing is tested. A group of fewer objects than the study's "
    f"`least_objects` ({LEAST_OBJECTS} unless it says so) or in fewer than {trends.GROUP_IMAGES} images has no number. "
    f"A relative gain is over the baseline's AP, where that has {100 * trends.LEAST_BASE:g} points at least. Verdicts: "
    "of the gains, after Holm's correction over all groups and methods of the table; three seeds are needed."
)
Key = tuple[str, str, str]  # data set, detector, method
STANDARD_AREAS = {"small": AREAS["s"], "medium": AREAS["m"], "large": AREAS["l"]}


@dataclass(frozen=True)
class Part:
    """A part of a cell's test split. `about` are numbers that are printed beside it (objects, images, their mean).

    `images` is how many hold one of its objects. `curve` gives its AP, AP50 and AP75 [1 + R, 3] in a cell, on all
    images and on their replicates.
    """

    name: str
    about: Mapping[str, float]
    images: int
    curve: Callable[[CellData], Floats]


Parts = Callable[[CellData], list[Part]]


def object_groups(grouping: Grouping, cell: CellData) -> list[Part]:
    """The groups of objects that hold one which counts, each with its balanced AP (`measure.groups`)."""
    told = cell.keep(("groups of objects", grouping), partial(_object_groups, grouping, cell))
    curves = partial(object_curves, grouping)
    return [Part(grouping.names[n], about, images, partial(_nth, curves, n)) for n, about, images in told]


def _object_groups(grouping: Grouping, cell: CellData) -> list[tuple[int, dict[str, float], int]]:
    """Number, what is printed, and images of each group that holds an object which counts."""
    if grouping.column not in cell.objects:
        return []
    place, counted = grouping.place(cell.objects[grouping.column]), ~cell.overlaps.left_out
    found = []
    for number in range(len(grouping.names)):
        inside = place == number
        if (inside & counted).any():
            middle = float(cell.objects[grouping.column][inside].mean())
            about = {"middle": middle, "objects": int((inside & counted).sum())}
            found.append((number, about, measures.images_with(cell, inside)))
    return found


def image_groups(grouping: Grouping, cell: CellData) -> list[Part]:
    """The groups of whole images, which belong to that of their objects' common value: evaluated on them alone.

    Images in which no object counts belong to none, as in trends.
    """
    told = cell.keep(("groups of images", grouping), partial(_image_groups, grouping, cell))
    curves = partial(image_curves, grouping)
    return [Part(grouping.names[n], about, about["images"], partial(_nth, curves, n)) for n, about in told]


def _image_groups(grouping: Grouping, cell: CellData) -> list[tuple[int, dict[str, int]]]:
    found = []
    for number in range(len(grouping.names)):
        images = int(member_of(grouping, number, cell).sum())
        if images:
            objects = int((counted_place(grouping, cell) == number).sum())
            found.append((number, {"images": images, "objects": objects}))
    return found


def ranges_of(study: StudyRecord) -> Mapping[str, tuple[float, float]]:
    """The study's own ranges of area in px², or COCO's."""
    return {k: (float(a), float(b)) for k, (a, b) in (study.about.get("areas") or {}).items()} or STANDARD_AREAS


def recalls_of(study: StudyRecord) -> list[str]:
    """The recalls by detections per image and class that the study asks for."""
    return [f"AR{k}" for k in study.about.get("max_dets") or (1, 10, 100)]


def area_groups(ranges: Mapping[str, tuple[float, float]], cell: CellData) -> list[Part]:
    """The ranges of area, by COCO's own rule."""
    parts = []
    for name, area in ranges.items():
        objects, images = cell.keep(("objects by area", area), partial(_in_area, area, cell))
        parts.append(Part(name, {"objects": objects}, images, partial(area_curve, area)))
    return parts


def _in_area(area: tuple[float, float], cell: CellData) -> tuple[int, int]:
    """How many objects of a range count, and how many images hold one."""
    o = cell.overlaps
    inside = (o.object_area >= area[0]) & (o.object_area <= area[1]) & ~o.left_out
    return int(inside.sum()), measures.images_with(cell, inside)


def _nth(curves: Callable[[CellData], Floats], number: int, cell: CellData) -> Floats:
    return np.asarray(curves(cell)[number])


def _curves(cells: Iterable[CellData], part: Part) -> Floats:
    """The curves [1 + R, S, 3] of several seeds."""
    return np.stack([part.curve(c) for c in cells], axis=1)


def by_method(study: StudyRecord) -> dict[Key, dict[int, CellData]]:
    """The finished cells of each method at each data set and detector, by seed; in the study's order."""
    found: dict[Key, dict[int, CellData]] = {}
    for cell in study.data():
        k = cell.keys
        found.setdefault((k["data"], k["detector"], k["method"]), {})[k["seed"]] = cell
    return found


def sampled(curves: Floats, images: int) -> Measured:
    """A measure by seed from curves [1 + R, S], whose first entry is the whole test split; of too few images nothing is
    known of others.
    """
    if images < measures.LEAST_IMAGES:
        return Measured(curves[0])
    return Measured(curves[0], curves[1:], measures.freedom_of(images))


def own_estimates(keys: Sequence[Key], samples: Sequence[Measured]) -> list[Estimate]:
    """What each method's own numbers are worth; seed variances are moderated over the methods of a data set."""
    found: dict[int, Estimate] = {}
    for data in dict.fromkeys(k[0] for k in keys):
        mine = [n for n, k in enumerate(keys) if k[0] == data]
        found |= zip(mine, estimates([samples[n] for n in mine], [keys[n] for n in mine]), strict=True)
    return [found[n] for n in range(len(keys))]


def part_table(study: StudyRecord, parts_of: Parts) -> pd.DataFrame:
    """One row per data set, detector, method and part: AP, AP50 and AP75, and the paired gain over the baseline in AP
    and relative to the baseline's AP, each with the half-width of its 95 % interval; n seeds, for whom it speaks, and
    the corrected verdict of the gain with its p values; `estimate` is the gain's, where it is tested. A gain relative
    to a baseline's AP below 5 points is NaN.
    """
    cells = by_method(study)
    parts = {key: parts_of(next(iter(of_method.values()))) for key, of_method in cells.items()}
    few = {(key, p.name): too_few(p, study.least_objects) for key, mine in parts.items() for p in mine}
    named = {(p.data, p.detector, p.method): p for p in pairs_of(study)}
    pairs = {key: p for key, p in named.items() if p.seeds}
    rows = {
        (key, part.name): _head(key, part, named.get(key), few[key, part.name], len(cells[key]))
        for key in cells
        for part in parts[key]
    }
    for name in dict.fromkeys(p.name for mine in parts.values() for p in mine):
        here = {key: part for key, mine in parts.items() for part in mine if part.name == name and not few[key, name]}
        for key, row in _reached(here, cells).items():
            rows[key, name] |= row
        for key, row in _gained(here, {k: pairs[k] for k in here if k in pairs}).items():
            rows[key, name] |= row
    table = pd.DataFrame(list(rows.values())).rename(columns={"untestable": "reason"})
    return without_repeats(_judged(table) if "gain" in table else table, "gain")


def too_few(part: Part, least: int) -> str:
    """What a part holds where that is too little for any number: fewer objects than `least`, or too few images, as for
    trends; "" where it is enough, and where there is nothing (n/a).
    """
    objects = int(part.about["objects"])
    by_image = "images" in part.about
    told = {f"{part.images} image{'s' * (part.images != 1)}": part.images < trends.GROUP_IMAGES}
    told |= {f"{objects} object{'s' * (objects != 1)}": objects < least}
    small = [words for words, few in told.items() if few and objects]
    return "" if not small else small[0] if by_image else small[-1]


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    """The table with p_holm and verdict, "" where a row has no baseline: one family of tests."""
    judged = with_verdicts(table.assign(untestable=table.reason.fillna("")), "gain").drop(columns="reason")
    judged = judged.assign(verdict=judged.verdict.where(judged.baseline != "", ""))
    return judged.rename(columns={"untestable": "reason"})


def without_repeats(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table without NAME_n and NAME_population where they say of every row what n and population say, and without
    columns of empty texts.
    """
    for column in ("n", "population"):
        own = f"{name}_{column}"
        if own in table and bool((table[own].isna() | (table[own] == table[column].astype(str))).all()):
            table = table.drop(columns=own)
    return table[[c for c in table if not table[c].eq("").all()]]


def _head(key: Key, part: Part, pair: Pair | None, few: str, seeds: int) -> dict[str, object]:
    """What a row is about; a baseline is named also where nothing can be compared with it, or the part holds too `few`
    objects for any number.
    """
    row: dict[str, object] = dict(zip(("data", "detector", "method"), key, strict=True))
    row |= {"baseline": pair.baseline if pair else "", "pair": pair.kind if pair else ""}
    row["untestable"] = (pair.untestable or few) if pair else ""
    row |= {"group": part.name, **part.about, "too_few": few}
    if few:
        row |= dict.fromkeys((n for name in NUMBERS for n in (name, f"{name}_half")), np.nan)
        row |= {"n": seeds, "population": ""}
    return row


def _reached(parts: Mapping[Key, Part], cells: Mapping[Key, Mapping[int, CellData]]) -> dict[Key, dict[str, object]]:
    """What the methods reach on a part."""
    keys = list(parts)
    rows: dict[Key, dict[str, object]] = {k: {} for k in keys}
    for number, name in enumerate(NUMBERS):
        samples = [sampled(_curves(cells[k].values(), parts[k])[..., number], parts[k].images) for k in keys]
        for key, estimate in zip(keys, own_estimates(keys, samples), strict=True):
            rows[key] |= {name: estimate.mean, f"{name}_half": estimate.half}
            rows[key] |= {"n": estimate.n, "population": estimate.population if estimate.n else ""}
    return rows


def _gained(parts: Mapping[Key, Part], pairs: Mapping[Key, Pair]) -> dict[Key, dict[str, object]]:
    """What the methods gain on a part over their baselines."""
    keys = list(pairs)
    own, relative = [], []
    for key in keys:
        part, pair = parts[key], pairs[key]
        ours, theirs = (_curves([c[s] for s in pair.seeds], part)[..., 0] for c in (pair.ours, pair.theirs))
        base = theirs.mean(axis=1, keepdims=True)
        gain = ours - theirs
        own.append(sampled(gain, part.images))
        relative.append(sampled(shares(gain, base, trends.LEAST_BASE), part.images))
    rows: dict[Key, dict[str, object]] = {}
    estimated = zip(*(over_pairs([pairs[k] for k in keys], samples) for samples in (own, relative)), strict=True)
    for key, (gain_of, share_of) in zip(keys, estimated, strict=True):
        row: dict[str, object] = {"gain": gain_of.mean, "gain_half": gain_of.half}
        row |= {"relative_gain": share_of.mean, "relative_gain_half": share_of.half}
        row |= {"gain_n": str(gain_of.n), "gain_population": gain_of.population}
        row |= {"p": gain_of.p, "untestable": "", "estimate": gain_of}
        if parts[key].images < measures.LEAST_IMAGES:
            row |= {"p": np.nan, "estimate": None, "untestable": f"fewer than {measures.LEAST_IMAGES} images hold one"}
        rows[key] = row
    return rows


def measured_table(study: StudyRecord, names: Sequence[str]) -> pd.DataFrame:
    """One row per data set, detector and method: measures by name, each with its half-width; n, and for whom it is."""
    cells = by_method(study)
    rows: dict[Key, dict[str, object]] = {k: dict(zip(("data", "detector", "method"), k, strict=True)) for k in cells}
    ends: dict[Key, dict[str, object]] = {k: {"n": 0, "population": ""} for k in cells}
    for name in names:
        samples = [of_measure(list(of_method.values()), name) for of_method in cells.values()]
        for key, estimate in zip(cells, own_estimates(list(cells), samples), strict=True):
            rows[key] |= {name: estimate.mean, f"{name}_half": estimate.half}
            ends[key] |= {"n": estimate.n, "population": estimate.population} if estimate.n else {}
    return pd.DataFrame([{**rows[k], **ends[k]} for k in cells])


def of_measure(cells: Sequence[CellData], measure: str) -> Measured:
    """A measure of a method's cells, seed by seed, and its replicates over test images."""
    values = np.asarray([measures.measured(c, measure) for c in cells], float)
    if measures.too_few_images(cells[0], measure):
        return Measured(values)
    replicates = np.stack([measures.replicated(c, measure) for c in cells], axis=1)
    return Measured(values, replicates, measures.image_freedom(cells[0], measure))
